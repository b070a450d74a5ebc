import { afterEach, describe, expect, test } from "bun:test";
import { openPty } from "../../../src/ffi/pty.ts";
import { closeDescriptor, openPipe, readDescriptor } from "../../../src/ffi/socket.ts";
import { PipeReader, PipeWriter } from "../../../src/io/pipe.ts";

const open: number[] = [];
afterEach(() => {
  for (const fd of open.splice(0)) closeDescriptor(fd);
});

/** More than any pipe or terminal holds, no two bytes after each other the same. */
const MUCH = Uint8Array.from({ length: 3_000_000 }, (_, index) => index % 251);

const BUFFER = new Uint8Array(1024 * 1024);

const errnoOf = (work: Promise<unknown>) =>
  work.then(
    () => "written",
    (thrown: { errno?: string }) => thrown.errno,
  );

describe("PipeWriter", () => {
  test("carries more than a pipe holds, in order, and ends", async () => {
    const pipe = openPipe();
    const writer = new PipeWriter(pipe.write);
    const reader = new PipeReader(pipe.read);
    const written = Promise.all([
      writer.write(MUCH),
      writer.write(Uint8Array.of(1, 2)),
      writer.end(),
    ]);
    const chunks: Uint8Array[] = [];
    for await (const chunk of reader) chunks.push(chunk.slice());
    await written;
    expect(Buffer.concat(chunks).equals(Buffer.concat([MUCH, Uint8Array.of(1, 2)]))).toBe(true);
    await reader.close();
  });

  test("EPIPE if the reader closes, before a write or during one", async () => {
    const pipe = openPipe();
    const writer = new PipeWriter(pipe.write);
    const waiting = errnoOf(writer.write(MUCH));
    await Bun.sleep(0);
    closeDescriptor(pipe.read);
    expect(await waiting).toBe("EPIPE");
    expect(await errnoOf(writer.write(Uint8Array.of(1)))).toBe("EPIPE");
    writer.close();
    expect(await errnoOf(writer.write(Uint8Array.of(1)))).toBe("EPIPE");
  });

  test("close ends a write that waits; end waits for it", async () => {
    const pipe = openPipe();
    open.push(pipe.read);
    const writer = new PipeWriter(pipe.write);
    const waiting = errnoOf(writer.write(MUCH));
    const ended = writer.end();
    await Bun.sleep(0);
    writer.close();
    expect(await waiting).toBe("EPIPE");
    await ended;
    // Nothing holds the writing end any more: the reader sees its end.
    while (readDescriptor(pipe.read, BUFFER) > 0);
    expect(readDescriptor(pipe.read, BUFFER)).toBe(0);
  });

  test("EIO on a terminal whose other end is closed, before a write or during one", async () => {
    const during = openPty({ rows: 1, cols: 1 });
    const writer = new PipeWriter(during.master);
    const waiting = errnoOf(writer.write(MUCH));
    await Bun.sleep(0);
    closeDescriptor(during.slave);
    expect(await waiting).toBe("EIO");
    writer.close();
    const earlier = openPty({ rows: 1, cols: 1 });
    closeDescriptor(earlier.slave);
    const late = new PipeWriter(earlier.master);
    expect(await errnoOf(late.write(MUCH))).toBe("EIO");
    late.close();
  });
});
