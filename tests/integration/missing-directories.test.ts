/** A directory of this machine that is missing: each command has the same error, and makes none. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, writeFileSync } from "node:fs";
import { ScratchDirectory, vsockbox } from "../support/binary.ts";
import { packetBytes, pcapBytes } from "../support/vsock-packets.ts";

let scratch: ScratchDirectory;
beforeAll(() => {
  scratch = new ScratchDirectory();
});
afterAll(() => scratch[Symbol.dispose]());

/** Nothing listens there: the directory is examined before. */
const NOWHERE = "unix:/nonexistent/x.sock";

describe("a directory that is missing has one error:", () => {
  test.each([
    ["export", (directory: string) => ["export", directory, "--listen", NOWHERE]],
    ["share", (directory: string) => ["share", directory, `${NOWHERE}:/work`]],
    ["sync", (directory: string) => ["sync", directory, `${NOWHERE}:/work`]],
    ["sync --watch", (directory: string) => ["sync", "--watch", directory, `${NOWHERE}:/work`]],
    ["mount", (directory: string) => ["mount", NOWHERE, directory]],
    ["initramfs", (directory: string) => ["initramfs", "-o", "x", "--kernel-modules", directory]],
    ["install", (directory: string) => ["install", "--dry-run", "--root", directory]],
    [
      "shell-server",
      (directory: string) => ["shell-server", "--root", directory, "--listen", NOWHERE],
    ],
  ])("%s", async (_, words) => {
    const directory = scratch.file("none");
    const file = scratch.file("file");
    writeFileSync(file, "");
    for (const [path, reason] of [
      [directory, "no such file or directory (ENOENT)"],
      [file, "not a directory (ENOTDIR)"],
    ] as const) {
      const { status, stderr } = await vsockbox(words(path), { cwd: scratch.path });
      expect(stderr.split("\n")[0]).toBe(`vsockbox: cannot open directory ${path}: ${reason}`);
      expect(status).toBe(74);
    }
    expect(existsSync(directory)).toBe(false);
  });
});

describe("a file is not made in a directory that is missing:", () => {
  test.each([
    ["bench run --plot", (file: string) => ["bench", "run", NOWHERE, "--plot", file]],
    ["initramfs -o", (file: string) => ["initramfs", "-o", file]],
    [
      "export --pid-file",
      (file: string) => ["export", ".", "--listen", NOWHERE, "--pid-file", file],
    ],
    ["agent --pid-file", (file: string) => ["agent", "--listen", NOWHERE, "--pid-file", file]],
    ["agent --log-file", (file: string) => ["agent", "--listen", NOWHERE, "--log-file", file]],
    [
      "agent --daemon",
      (file: string) => ["agent", "--daemon", "--listen", NOWHERE, "--pid-file", file],
    ],
    ["agent --listen", (file: string) => ["agent", "--listen", `unix:${file}`]],
    ["monitor --write", (file: string) => ["monitor", "--read", "x.pcap", "--write", file]],
  ])("%s", async (_, words) => {
    writeFileSync(scratch.file("x.pcap"), pcapBytes([{ bytes: packetBytes({ payload: "x" }) }]));
    const file = scratch.file("none/file");
    const { status, stderr } = await vsockbox(words(file), { cwd: scratch.path });
    expect({ status, stderr }).toMatchObject({ status: 73 });
    expect(stderr).toContain(`${file}: no such file or directory (ENOENT)\n`);
    expect(existsSync(scratch.file("none"))).toBe(false);
  });
});
