import { expect, test } from "bun:test";
import { asRoot } from "../../../src/diagnose/as-root.ts";

test("root needs no sudo", () => {
  expect([asRoot("a", 0), asRoot("a", 1)]).toEqual(["a", "sudo a"]);
});
