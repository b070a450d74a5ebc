/** Streams of connected descriptors, by sockets of our own and by the runtime's: the same behaviour. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { ERRNO } from "../../../src/ffi/errno.ts";
import {
  closeDescriptor,
  readDescriptor,
  shutdownWrite,
  writeDescriptor,
} from "../../../src/ffi/socket.ts";
import { adoptDescriptor } from "../../../src/io/adopt-descriptor.ts";
import type { SocketStream } from "../../../src/io/stream.ts";
import { openUnixListener } from "../../../src/net/listen.ts";
import { eventually } from "../../support/eventually.ts";
import { acceptFrom } from "../../support/local-device.ts";
import { connectUnix } from "../../support/raw-vmm.ts";
import { ScratchDirectory } from "../../support/scratch-directory.ts";

/** More than the kernel and the buffers of a stream hold, no two bytes after each other the same. */
const MUCH = Uint8Array.from({ length: 5_000_000 }, (_, index) => index % 251);

const errnoOf = (work: Promise<unknown>) =>
  work.then(
    () => "done",
    (thrown: { code?: string; errno?: string }) => thrown.errno ?? thrown.code,
  );

let scratch: ScratchDirectory;
const open = new Set<number>();
beforeEach(() => {
  scratch = new ScratchDirectory();
});
afterEach(() => {
  delete process.env["VSOCKBOX_RUNTIME_SOCKETS"];
  for (const fd of open) closeDescriptor(fd);
  open.clear();
  scratch[Symbol.dispose]();
});

/** Two connected descriptors, non-blocking. */
async function pair(): Promise<[number, number]> {
  const path = scratch.file("s");
  const listener = openUnixListener({ kind: "unix", path });
  const near = connectUnix(path);
  let far: number | undefined;
  await eventually("it is accepted", () => (far = acceptFrom(listener)) !== undefined);
  closeDescriptor(listener.fd);
  listener.removeFile();
  return [near, far ?? -1];
}

/** A stream and the descriptor of its peer. */
async function streamAndPeer(): Promise<{ stream: SocketStream; peer: number }> {
  const [near, peer] = await pair();
  open.add(peer);
  return { stream: await adoptDescriptor(near, "bulk"), peer };
}

function closePeer(peer: number): void {
  open.delete(peer);
  closeDescriptor(peer);
}

/** Writes all to a non-blocking descriptor, with turns of the event loop between. */
async function writeAll(fd: number, bytes: Uint8Array): Promise<void> {
  for (let rest = bytes; rest.length > 0;) {
    const count = writeDescriptor(fd, rest);
    if (count > 0) rest = rest.subarray(count);
    else await Bun.sleep(0);
  }
}

async function readAll(fd: number): Promise<Buffer> {
  const buffer = new Uint8Array(1024 * 1024);
  const chunks: Uint8Array[] = [];
  for (;;) {
    const count = readDescriptor(fd, buffer);
    if (count > 0) chunks.push(buffer.slice(0, count));
    else if (count === -ERRNO.EAGAIN) await Bun.sleep(0);
    else return Buffer.concat(chunks);
  }
}

describe.each([
  ["a socket of our own", ""],
  ["a socket of the runtime", "1"],
])("%s", (_, byRuntime) => {
  beforeEach(() => {
    process.env["VSOCKBOX_RUNTIME_SOCKETS"] = byRuntime;
  });

  test.each(["iterating", "lending"])("more than all buffers hold, %s", async (way) => {
    const { stream, peer } = await streamAndPeer();
    const sent = writeAll(peer, MUCH).then(() => shutdownWrite(peer));
    const chunks: Uint8Array[] = [];
    for await (const chunk of way === "lending" ? stream.lend() : stream) {
      chunks.push(chunk.slice());
      if (chunks.length % 5 === 0) await Bun.sleep(0);
    }
    await sent;
    expect(Buffer.concat(chunks).equals(MUCH)).toBe(true);
    expect(stream.receivedBytes).toBe(MUCH.length);
    expect(stream.hasPeerEnded).toBe(true);
    await stream.peerEnded;
    const answered = stream.write(MUCH).then(() => stream.end());
    expect((await readAll(peer)).equals(MUCH)).toBe(true);
    await answered;
    expect(stream.sentBytes).toBe(MUCH.length);
    await stream.closed;
  });

  test("bytes that came before lending begins are the first", async () => {
    const { stream, peer } = await streamAndPeer();
    await writeAll(peer, Uint8Array.of(1, 2));
    expect(await stream.readExactly(1)).toEqual(Uint8Array.of(1));
    await writeAll(peer, Uint8Array.of(3));
    await eventually("they are received", () => stream.unreadBytes === 2);
    shutdownWrite(peer);
    const bytes: number[] = [];
    for await (const chunk of stream.lend()) bytes.push(...chunk);
    expect(bytes).toEqual([2, 3]);
    await stream.close();
  });

  test("a consumer that stops borrowing can read on", async () => {
    const { stream, peer } = await streamAndPeer();
    await writeAll(peer, Uint8Array.of(1));
    for await (const chunk of stream.lend()) {
      expect(chunk).toEqual(Uint8Array.of(1));
      break;
    }
    await writeAll(peer, Uint8Array.of(2));
    expect(await stream.read()).toEqual(Uint8Array.of(2));
    shutdownWrite(peer);
    expect(await stream.read()).toBeUndefined();
    await stream.close();
  });

  test("the peer's end is known while nothing is read", async () => {
    const { stream, peer } = await streamAndPeer();
    const lent = stream.lend();
    await writeAll(peer, Uint8Array.of(1));
    await lent.next();
    await writeAll(peer, new Uint8Array(100_000));
    expect(stream.hasPeerEnded).toBe(false);
    shutdownWrite(peer);
    await eventually("it has ended", () => stream.hasPeerEnded);
    let bytes = 0;
    for await (const chunk of lent) bytes += chunk.length;
    expect(bytes).toBe(100_000);
    expect(stream.isPeerGone).toBe(false);
    closePeer(peer);
    await eventually("it is closed", () => stream.isPeerGone);
    stream.abort();
  });

  test("a peer that closes ends a write that waits, and one that resets the reads", async () => {
    const { stream, peer } = await streamAndPeer();
    const waiting = errnoOf(stream.write(MUCH));
    await Bun.sleep(5);
    // The bytes that it has not read make this a reset.
    closePeer(peer);
    expect(await waiting).not.toBe("done");
    expect(await errnoOf(stream.read())).toBe("ECONNRESET");
    expect((await stream.broken).errno).toBe("ECONNRESET");
    await stream.closed;
  });

  test("the bytes before a reset are read, also if they are more than the buffers hold", async () => {
    const { stream, peer } = await streamAndPeer();
    await stream.write(Uint8Array.of(1));
    const sent = writeAll(peer, MUCH).then(() => closePeer(peer));
    let bytes = 0;
    const end = await errnoOf(
      (async () => {
        for await (const chunk of stream) {
          bytes += chunk.length;
          await Bun.sleep(0);
        }
      })(),
    );
    await sent;
    expect([bytes, end]).toEqual([MUCH.length, "ECONNRESET"]);
  });

  test("abort ends a read and a write that wait, and the peer is reset", async () => {
    const { stream, peer } = await streamAndPeer();
    const [read, write] = [errnoOf(stream.read()), errnoOf(stream.write(MUCH))];
    stream.abort();
    expect([await read, await write]).toEqual(["ABORTED", "ABORTED"]);
    await stream.closed;
    await readAll(peer);
    expect(writeDescriptor(peer, Uint8Array.of(1))).toBe(-ERRNO.EPIPE);
  });

  test("abort ends a consumer that borrows", async () => {
    const { stream, peer } = await streamAndPeer();
    const borrowed = errnoOf(stream.lend().next());
    await Bun.sleep(1);
    stream.abort();
    expect(await borrowed).toBe("ABORTED");
    expect(writeDescriptor(peer, Uint8Array.of(1))).toBe(-ERRNO.EPIPE);
  });
});

test("bytes that no consumer has borrowed stay in the kernel, so that closing resets the peer", async () => {
  const { stream, peer } = await streamAndPeer();
  const lent = stream.lend();
  await writeAll(peer, Uint8Array.of(1));
  await lent.next();
  await writeAll(peer, new Uint8Array(1000));
  await lent.return(undefined);
  await Bun.sleep(1);
  stream.abort();
  let count = 0;
  await eventually("it ends", () => (count = readDescriptor(peer, MUCH.slice())) !== -ERRNO.EAGAIN);
  expect(count).toBe(-ERRNO.ECONNRESET);
});
