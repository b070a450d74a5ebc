import { expect, test } from "bun:test";
import { ServerRefusalError } from "../../../../src/protocols/vsock-shell/client-protocol.ts";
import { UNSPEAKABLE_PAIR } from "../../../../src/protocols/vsock-shell/texts.ts";

test.each([
  [`No such file: ${UNSPEAKABLE_PAIR.split(" ")[0] ?? ""}`, true],
  ["Invalid directory /-vsockbox-", true],
  ["No such file: /tmp/vsockbox", false],
  ["", false],
])("the refusal %j", (reason, expected) => {
  const error = new ServerRefusalError("upload", reason);
  expect([error.code, error.namesUnspeakablePair]).toEqual(["REFUSED", expected]);
  expect(error.message).toBe(`cannot upload: the server refused: ${reason}`);
});

test("the stand-in for paths with blanks", () => {
  expect(UNSPEAKABLE_PAIR).toBe("/-vsockbox-/- /-vsockbox-/-");
});
