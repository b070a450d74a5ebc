import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import * as fs from "node:fs";
import { join } from "node:path";
import { DirectoryFiles } from "../../../../src/vfs/server/directory-files.ts";
import { codeOf, contentOf, treeOf } from "../../../support/provided-tree.ts";
import { ScratchDirectory } from "../../../support/scratch-directory.ts";

let scratch: ScratchDirectory;
let files: DirectoryFiles;

const at = (path: string) => join(scratch.path, "root", path);
const bytes = (text: string) => new TextEncoder().encode(text);

beforeEach(() => {
  scratch = new ScratchDirectory();
  fs.mkdirSync(at("d"), { recursive: true });
  fs.writeFileSync(at("d/f"), "0123456789", { mode: 0o640 });
  fs.symlinkSync("f", at("d/link"));
  files = new DirectoryFiles(at(""));
});

afterEach(() => {
  files.close();
  scratch[Symbol.dispose]();
});

describe("a directory as files of a program", () => {
  test("shows files, directories and links, and their facts", async () => {
    fs.chmodSync(at("d"), 0o751);
    fs.utimesSync(at("d/f"), 1, 1234.5);
    expect(await treeOf(files)).toEqual([
      ...["directory 751 d: ", "file 640 d/f: 0123456789", "link  d/link: f"],
    ]);
    expect(files.stat("d/f")).toMatchObject({ size: 10, mtimeMs: 1_234_500 });
    expect([files.stat("none"), files.stat("d/f/none")]).toEqual([undefined, undefined]);
  });

  test("reads parts of a file", () => {
    const read = (offset: number, size: number) =>
      Buffer.from(files.read("d/f", offset, size)).toString();
    expect([read(2, 3), read(8, 9), read(20, 1), read(0, 0)]).toEqual(["234", "89", "", ""]);
  });

  test("changes files as they are asked for", async () => {
    files.create("new", 0o600);
    files.write("new", 3, bytes("abc"));
    files.truncate("new", 5);
    files.setMode("new", 0o666);
    files.setTime("new", 2500);
    files.makeDirectory("e", 0o777);
    files.makeLink("e/l", "target");
    files.rename("new", "e/new");
    files.remove("d/f");
    expect(fs.readFileSync(at("e/new"), "latin1")).toBe("\0\0\0ab");
    expect(fs.statSync(at("e/new"))).toMatchObject({ mode: 0o100_666, mtimeMs: 2500 });
    expect(fs.statSync(at("e")).mode & 0o777).toBe(0o777);
    expect(fs.readlinkSync(at("e/l"))).toBe("target");
    files.remove("d/link");
    files.remove("d");
    expect(fs.readdirSync(at(""))).toEqual(["e"]);
    expect(await contentOf(files, "e/new")).toBe("\0\0\0ab");
  });

  test("does not leave the directory by links", async () => {
    fs.mkdirSync(join(scratch.path, "outside"));
    fs.writeFileSync(join(scratch.path, "outside/secret"), "secret");
    fs.symlinkSync("../outside", at("out"));
    fs.symlinkSync("../outside/secret", at("file"));
    expect(files.stat("out/secret")).toBeUndefined();
    expect(await codeOf(() => files.list("out"))).toBe("ENOTDIR");
    expect(await codeOf(() => files.read("file", 0, 9))).toBe("ENOTDIR");
    expect(await codeOf(() => files.read("out/secret", 0, 9))).toBe("ELOOP");
    expect(await codeOf(() => files.create("out/new", 0o644))).toBe("ELOOP");
    expect(fs.readdirSync(join(scratch.path, "outside"))).toEqual(["secret"]);
  });

  test("shows no FIFOs, and opens none", async () => {
    expect(Bun.spawnSync(["mkfifo", at("fifo")]).exitCode).toBe(0);
    expect(files.stat("fifo")).toBeUndefined();
    expect(await codeOf(() => files.read("fifo", 0, 1))).toBe("ENOTDIR");
  });

  test.each<[string, () => void]>([
    ["ENOENT", () => files.read("none", 0, 1)],
    ["EEXIST", () => files.create("d", 0o644)],
    ["EISDIR", () => files.read("d", 0, 1)],
    ["ENOTEMPTY", () => files.remove("d")],
    ["ENOENT", () => files.rename("none", "other")],
  ])("throws %s as the host reports it", async (code, call) => {
    expect(await codeOf(call)).toBe(code);
  });
});
