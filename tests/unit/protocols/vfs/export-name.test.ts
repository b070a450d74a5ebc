import { expect, test } from "bun:test";
import { isExportName } from "../../../../src/protocols/vfs/export-name.ts";

test.each(["src", "my data-1.2", "3", "host", "a:b", "é", ".", "a=b,c", "x".repeat(255)])(
  "%p can name an export",
  (name) => {
    expect(isExportName(name)).toBe(true);
  },
);

test.each([
  "",
  "a/b",
  "/",
  "a\n",
  "a\0",
  "\u001B[2J",
  "\u007F",
  "\u0085",
  "\uD800",
  "x".repeat(256),
])("%p cannot", (name) => {
  expect(isExportName(name)).toBe(false);
});
