import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { PathRoot } from "../../../src/files/path-root.ts";
import { ScratchDirectory } from "../../support/scratch-directory.ts";

let scratch: ScratchDirectory;
let root: string;
beforeEach(() => {
  scratch = new ScratchDirectory();
  root = scratch.file("root");
  mkdirSync(`${root}/sub`, { recursive: true });
  mkdirSync(scratch.file("root-beside"));
  writeFileSync(`${root}/sub/inside`, "inside");
  writeFileSync(scratch.file("outside"), "outside");
  symlinkSync("sub/inside", `${root}/good`);
  symlinkSync("../outside", `${root}/relative`);
  symlinkSync(scratch.file("outside"), `${root}/absolute`);
  symlinkSync("..", `${root}/up`);
  symlinkSync("/", `${root}/sub/slash`);
});
afterEach(() => scratch[Symbol.dispose]());

const bytes = (path: string) => Buffer.from(path);

describe("below a root", () => {
  test.each([["sub/inside"], ["good"], ["sub/../good"], ["./sub//inside"]])(
    "%s is there",
    (path) => {
      using opened = new PathRoot(root).open(bytes(path));
      expect(readFileSync(opened.path, "utf8")).toBe("inside");
    },
  );

  test("an absolute path has to lead there, too", () => {
    using opened = new PathRoot(root).open(bytes(`${root}/good`));
    expect(readFileSync(opened.path, "utf8")).toBe("inside");
  });

  test.each([["../outside"], ["relative"], ["absolute"], ["up/outside"], ["sub/slash/etc/passwd"]])(
    "%s leads out",
    (path) => {
      expect(() => new PathRoot(root).open(bytes(path))).toThrow(/leads out of/);
    },
  );

  test.each([[".."], ["up"], ["sub/slash"], ["../root-beside"], ["/"]])(
    "%s is a directory outside",
    (path) => {
      expect(() => new PathRoot(root).openDirectory(bytes(path))).toThrow(/leads out of/);
    },
  );

  test("the root itself is below it, also as a link", () => {
    symlinkSync(root, scratch.file("link"));
    for (const path of [root, scratch.file("link")]) {
      using opened = new PathRoot(path).openDirectory(bytes("."));
      expect(opened.fd).toBeGreaterThan(2);
    }
  });

  test("a directory that is replaced later changes nothing", () => {
    using opened = new PathRoot(root).openDirectory(bytes("sub"));
    symlinkSync("/etc", `${root}/sub2`);
    expect(readFileSync(`${opened.path.toString()}/inside`, "utf8")).toBe("inside");
  });

  test("the root of the file system holds everything", () => {
    using opened = new PathRoot("/").openDirectory(bytes("/tmp"));
    expect(opened.fd).toBeGreaterThan(2);
  });
});

describe("without a root", () => {
  test("paths are returned unchanged", () => {
    using opened = new PathRoot().open(bytes(scratch.file("outside")));
    expect(opened.path.toString()).toBe(scratch.file("outside"));
  });

  test("a missing path is named", () => {
    expect(() => new PathRoot().open(bytes("/no/such"))).toThrow(/open \/no\/such: .*ENOENT/);
  });
});

test.each([["/no/such"], ["/etc/passwd"]])("%s is refused as a root", (path) => {
  expect(() => new PathRoot(path)).toThrow(`cannot open directory ${path}: `);
});
