import { expect, test } from "bun:test";
import { VfsFrameReader } from "../../../../src/protocols/vfs/frame.ts";
import { decodeServerFrame, type VfsNote } from "../../../../src/protocols/vfs/responses.ts";
import { NoteQueue } from "../../../../src/vfs/server/note-queue.ts";
import { eventually } from "../../../support/eventually.ts";
import { pathBytes } from "../../../support/vfs-export.ts";

/** A writer that keeps what it gets, and may hold the first write. */
function writer() {
  const reader = new VfsFrameReader(1_000_000);
  const notes: VfsNote[] = [];
  const gate = Promise.withResolvers<void>();
  let writes = 0;
  const write = async (bytes: Uint8Array) => {
    writes++;
    await gate.promise;
    for (const payload of reader.push(bytes)) {
      const frame = decodeServerFrame(payload.slice());
      if ("note" in frame) notes.push(frame.note);
    }
  };
  return { notes, gate, write, count: () => writes };
}

const name = (note: VfsNote | undefined) => Buffer.from(note?.path ?? []).toString();

test("notifications are sent in order, several in one write", async () => {
  const { notes, gate, write, count } = writer();
  const queue = new NoteQueue(write);
  for (let i = 0; i < 600; i++) queue.add({ kind: "created", path: pathBytes(`${i}`) });
  gate.resolve();
  await eventually("all are sent", () => notes.length === 600);
  expect(notes.map(name)).toEqual(Array.from({ length: 600 }, (_, i) => `${i}`));
  expect(count()).toBeLessThan(10);
  queue.add({ kind: "renamed", path: pathBytes("a"), newPath: pathBytes("b") });
  await eventually("one more is sent", () => notes.length === 601);
  expect(notes.at(-1)).toEqual({ kind: "renamed", path: pathBytes("a"), newPath: pathBytes("b") });
});

test("too many become an overflow", async () => {
  const { notes, gate, write } = writer();
  const queue = new NoteQueue(write);
  for (let i = 0; i < 10_000; i++) queue.add({ kind: "modified", path: pathBytes(`${i}`) });
  gate.resolve();
  await eventually("the last is sent", () => name(notes.at(-1)) === "9999");
  expect(notes.some(({ kind }) => kind === "overflow")).toBe(true);
  expect(notes.length).toBeLessThan(2 * 4096);
});

test("a connection that has ended ends them", async () => {
  let writes = 0;
  const queue = new NoteQueue(() => {
    writes++;
    return Promise.reject(new Error("closed"));
  });
  for (let i = 0; i < 600; i++) queue.add({ kind: "created", path: pathBytes("a") });
  await Bun.sleep(0);
  await Bun.sleep(0);
  expect(writes).toBe(1);
});
