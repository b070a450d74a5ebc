import { expect, test } from "bun:test";
import { SystemFiles } from "../../../../src/diagnose/facts/system-files.ts";
import { FakeRoot } from "../../../support/fake-root.ts";

test("files below the root", () => {
  using root = new FakeRoot({ "/a/b": "text", "/a/link": "->b", "/a/broken": "->none" });
  const { files } = root;
  expect(files.isRunning).toBe(false);
  expect(files.text("/a/b")).toBe("text");
  expect(files.bytes("/a/b")).toEqual(new TextEncoder().encode("text"));
  expect(files.names("/a").sort()).toEqual(["b", "broken", "link"]);
  expect(files.link("/a/link")).toBe("b");
  expect(files.status("/a/link")?.isFile()).toBe(true);
  expect(files.isAccessible("/a/b", true)).toBe(true);
  expect(files.isAccessible("/a/b", false)).toBe(true);
  const status = files.statusOrErrno("/a/broken");
  expect(typeof status === "object" && status.isSymbolicLink()).toBe(true);
});

test("missing files", () => {
  using root = new FakeRoot({ "/a": "" });
  const { files } = root;
  for (const found of [files.text("/x"), files.bytes("/x"), files.link("/a"), files.status("/x")]) {
    expect(found).toBeUndefined();
  }
  expect(files.names("/x")).toEqual([]);
  expect(files.isAccessible("/x", false)).toBe(false);
  expect(files.statusOrErrno("/x")).toBe("ENOENT");
  expect(files.statusOrErrno("/a/b")).toBe("ENOTDIR");
});

test("the running system", () => {
  expect(new SystemFiles().isRunning).toBe(true);
  expect(new SystemFiles().text("/proc/sys/kernel/ostype")).toBe("Linux\n");
});
