/** What `rm` refuses. The decision alone is tested: nothing here removes anything. */
import { describe, expect, test } from "bun:test";
import { assertRemovable } from "../../../src/agent/file-requests.ts";

describe("assertRemovable", () => {
  test.each([
    "/",
    "//",
    "/.",
    "/./",
    "/..",
    "/etc/..",
    "/etc/../",
    "/proc/self/root/",
    ".",
    "..",
    "./",
    "a/.",
    "/tmp/..",
  ])("refuses %s", (path) => {
    expect(() => assertRemovable(Buffer.from(path))).toThrow("never removed");
  });

  test.each(["/etc", "etc", "...", ".a", "/tmp/x/", "a/..b"])("lets %s through", (path) => {
    expect(() => assertRemovable(Buffer.from(path))).not.toThrow();
  });
});
