import { expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { exportDirectory, exportFiles, serveFilesAt } from "../../../src/library/file-export.ts";
import { ScratchDirectory } from "../../support/scratch-directory.ts";
import { VfsTestClient } from "../../support/vfs-client.ts";
import { pathBytes } from "../../support/vfs-export.ts";

test("a program serves a directory and files of its own to guests", async () => {
  using scratch = new ScratchDirectory();
  mkdirSync(scratch.file("root"));
  writeFileSync(scratch.file("root/seen"), "12345");
  writeFileSync(scratch.file("root/.env"), "secret");
  const path = scratch.file("files.sock");
  await using server = serveFilesAt({
    address: `unix:${path}`,
    exports: {
      directory: exportDirectory(scratch.file("root"), { readOnly: true, hide: [".env"] }),
      own: exportFiles({
        stat: (name) => (name === "" ? { type: "directory" } : { type: "file", size: 7 }),
        read: (name, offset) => Buffer.from(`file: ${name}`).subarray(offset),
      }),
    },
  });
  expect(String(server.address)).toBe(`unix:${path}`);
  using guest = await VfsTestClient.open(path);
  expect(guest.welcome.isReadOnly).toBe(true);
  expect((await guest.ask({ op: "lookup", path: pathBytes("seen") })).stat?.size).toBe(5);
  expect((await guest.ask({ op: "lookup", path: pathBytes(".env") })).errno).toBe(2);
  using other = await VfsTestClient.open(path, "own");
  expect([other.welcome.isReadOnly, other.welcome.features]).toEqual([false, []]);
  const { handle = 0 } = await other.ask({ op: "open", path: pathBytes("x"), flags: 0 });
  const { data } = await other.ask({ op: "read", handle, offset: 0, size: 100 });
  expect(Buffer.from(data ?? []).toString()).toBe("file: x");
  expect((await other.ask({ op: "subscribe" })).errno).toBe(38);
  expect(server.connections).toBe(2);
  await Promise.all([server.close(), server.close()]);
  expect(server.connections).toBe(0);
  expect(guest.ask({ op: "statfs" })).rejects.toThrow();
});

test("a directory that does not exist is not exported", () => {
  expect(() => exportDirectory("/nonexistent/directory")).toThrow("cannot open directory");
});
