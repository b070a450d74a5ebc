import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Tree } from "../../../src/install/tree.ts";

describe("a tree", () => {
  let scratch: string;
  let tree: Tree;
  beforeAll(() => {
    scratch = mkdtempSync(join(tmpdir(), "vsockbox-tree-"));
    const root = join(scratch, "root");
    mkdirSync(join(root, "usr/bin"), { recursive: true });
    mkdirSync(join(scratch, "outside"));
    writeFileSync(join(scratch, "outside/secret"), "s");
    writeFileSync(join(root, "file"), "f");
    const links = {
      bin: "usr/bin",
      absolute: "/usr/bin",
      out: join(scratch, "outside"),
      up: "../../../../outside",
      chain: "absolute/../../bin",
      loop: "loop",
      dangling: "/not/there",
    };
    for (const [name, target] of Object.entries(links)) symlinkSync(target, join(root, name));
    tree = new Tree(root);
  });
  afterAll(() => rmSync(scratch, { recursive: true }));

  test.each([
    ["/bin/x", "/usr/bin/x"],
    ["/absolute/x", "/usr/bin/x"],
    ["/chain/x", "/usr/bin/x"],
    ["/up/secret", "/outside/secret"],
    ["/../../etc/passwd", "/etc/passwd"],
    ["/dangling/x", "/not/there/x"],
    ["/dangling", "/not/there"],
    ["/", "/"],
  ])("%s leads to %s", (path, resolved) => {
    expect(tree.resolve(path)).toBe(resolved);
  });

  test("an absolute link has the tree as its root", () => {
    expect(tree.resolve("/out/secret")).toBe(`${scratch}/outside/secret`);
    expect(tree.has("/out/secret")).toBe(false);
    expect(tree.has("/up/secret")).toBe(false);
    expect(tree.has("/bin")).toBe(true);
  });

  test("links that go round and files in the way are errors", () => {
    const error = { code: "CANNOT_CREATE" };
    expect(() => tree.resolve("/loop/x")).toThrow(expect.objectContaining(error));
    expect(() => tree.resolve("/file/x")).toThrow(expect.objectContaining(error));
  });

  test("a directory that became a link to the outside is not used", () => {
    expect(() => tree.directory("/out/secret")).toThrow(
      expect.objectContaining({ code: "REFUSED" }),
    );
    expect(() => tree.find("/out/secret")).toThrow(expect.objectContaining({ code: "REFUSED" }));
  });

  test("knows what directories are missing", () => {
    expect(tree.missingParents("/usr/lib/vsockbox/x")).toEqual(["/usr/lib", "/usr/lib/vsockbox"]);
    expect(tree.missingParents("/x")).toEqual([]);
  });
});
