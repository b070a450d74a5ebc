import { describe, expect, test } from "bun:test";
import { readFileSync, statSync } from "node:fs";
import { createServer } from "node:net";
import {
  inodeOfLink,
  processesOfSockets,
  socketDescriptors,
} from "../../../src/process/socket-processes.ts";
import { FakeRoot } from "../../support/fake-root.ts";
import { ScratchDirectory } from "../../support/scratch-directory.ts";

test.each([
  ["socket:[4711]", 4711],
  ["pipe:[4711]", undefined],
  ["/srv/socket:[4711]", undefined],
  ["socket:[4711] (deleted)", undefined],
  ["", undefined],
])("the inode of the link %p", (link, inode) => {
  expect(inodeOfLink(link)).toBe(inode);
});

test("the descriptors of sockets are found below another root, by ascending process id", () => {
  using root = new FakeRoot({
    "/proc/self/fd/1": "->socket:[41]",
    "/proc/100/fd/3": "->socket:[41]",
    "/proc/12/fd/3": "->socket:[41]",
    "/proc/12/fd/4": "->socket:[43]",
    "/proc/9/fd/0": "->/dev/null",
    "/proc/7/comm": "no descriptors",
  });
  const { found, hiddenProcesses } = socketDescriptors(new Set([41]), root.files.root);
  expect(found.map(({ inode, pid, fd }) => [inode, pid, fd])).toEqual([
    [41, 12, 3],
    [41, 100, 3],
  ]);
  expect(hiddenProcesses).toBe(0);
  expect(socketDescriptors(new Set([41]), `${root.files.root}/none`).found).toEqual([]);
});

describe("the processes of a socket", () => {
  test("are those that have it open, with its descriptor and its user", async () => {
    using scratch = new ScratchDirectory();
    const path = scratch.file("listener.sock");
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(path, resolve));
    try {
      const line = readFileSync("/proc/net/unix", "utf8")
        .split("\n")
        .find((row) => row.endsWith(` ${path}`));
      const inode = Number(line?.split(/\s+/)[6]);
      const { sockets } = processesOfSockets(new Set([inode, 1]));
      expect([...sockets.keys()]).toEqual([inode]);
      const found = sockets.get(inode);
      expect(found?.uid).toBe(process.getuid?.());
      expect(found?.processes.map(({ pid }) => pid)).toEqual([process.pid]);
      const [{ fd = -1, name = "" } = {}] = found?.processes ?? [];
      expect(statSync(`/proc/self/fd/${fd}`).ino).toBe(inode);
      expect(name).toBe(readFileSync("/proc/self/comm", "utf8").trimEnd());
    } finally {
      server.close();
    }
  });

  test("are not searched without an inode", () => {
    expect(processesOfSockets(new Set())).toEqual({ sockets: new Map(), hiddenProcesses: 0 });
  });
});
