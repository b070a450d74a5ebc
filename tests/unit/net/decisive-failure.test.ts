import { expect, test } from "bun:test";
import { decisiveFailure } from "../../../src/net/decisive-failure.ts";

test.each([
  [["EADDRNOTAVAIL", "ECONNREFUSED"], "ECONNREFUSED"],
  [["ECONNREFUSED", "ENETUNREACH"], "ECONNREFUSED"],
  [["ENETUNREACH", "EHOSTUNREACH"], "EHOSTUNREACH"],
  [["EAFNOSUPPORT", "ENETUNREACH"], "EAFNOSUPPORT"],
  [["ETIMEDOUT"], "ETIMEDOUT"],
])("of the failures %p the decisive one is %p", (errnos, expected) => {
  expect(decisiveFailure(errnos.map((errno) => ({ errno })))).toEqual({ errno: expected });
});

test("without a failure none is decisive", () => {
  expect(decisiveFailure([])).toBeUndefined();
});
