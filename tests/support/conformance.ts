/**
 * What every connection and listener of the library does, over any transport: cases that take a pair of
 * `listen` and `dial`. They use no test runner, so that a guest without one can run them.
 */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import type { Conn, Listener, ReadOptions } from "../../src/index.ts";
import { Addr, VsockboxError } from "../../src/index.ts";

/** A way to connect two ends. Each case uses a new one. */
export interface Transport extends AsyncDisposable {
  /** Listens on an address that nothing else uses. */
  listen(): Listener;
  /** Connects to what {@link listen} has returned. */
  dial(options?: { signal?: AbortSignal }): Promise<Conn>;
  /** The network of both addresses, as each end sees it. */
  network: { near: string; far: string };
}

/** Makes a {@link Transport}. */
export type MakeTransport = () => Transport | Promise<Transport>;

/** Both ends of a connection. */
interface Pipe extends AsyncDisposable {
  /** The end that has dialled. */
  near: Conn;
  /** The end that was accepted. */
  far: Conn;
}

/** More than the kernel and both buffers hold on any transport, in bytes. */
const TOO_MUCH_BYTES = 24 * 1024 * 1024;

/** Bytes of a transfer each way. */
const TRANSFER_BYTES = 4 * 1024 * 1024;

/** So much later a deadline is, if a case waits for it, in milliseconds. */
const SOON_MS = 30;

async function makePipe(transport: Transport): Promise<Pipe> {
  const listener = transport.listen();
  const [near, far] = await Promise.all([transport.dial(), listener.accept()]);
  listener.close();
  return {
    near,
    far,
    async [Symbol.asyncDispose]() {
      await Promise.all([near.close(), far.close()]);
    },
  };
}

/** Returns the error of something that must fail. */
async function failureOf(promise: Promise<unknown>): Promise<VsockboxError> {
  let result: unknown;
  try {
    result = await promise;
  } catch (thrown) {
    assert(thrown instanceof VsockboxError, `thrown: ${String(thrown)}`);
    return thrown;
  }
  throw new assert.AssertionError({ message: `it did not fail: ${String(result)}` });
}

/** Waits for something that must fail with this code. */
async function failsWith(code: string, promise: Promise<unknown>): Promise<void> {
  const { code: actual, message } = await failureOf(promise);
  assert.equal(actual, code, message);
}

/** Reads exactly this many bytes. */
async function readExactly(conn: Conn, count: number, options?: ReadOptions): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for (let left = count; left > 0;) {
    const chunk = await conn.read({ ...options, maxBytes: left });
    assert(chunk !== undefined, `the input ended ${left} bytes too early`);
    chunks.push(chunk);
    left -= chunk.length;
  }
  return Buffer.concat(chunks);
}

const hashOf = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

/** Reads to the end. */
async function readAll(input: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of input) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** Shows that both directions still work. */
async function assertUsable({ near, far }: Pipe): Promise<void> {
  for (const [from, to] of [
    [near, far],
    [far, near],
  ] as const) {
    const probe = randomBytes(100);
    await from.write(probe);
    assert.deepEqual(await readExactly(to, probe.length), probe);
  }
}

/** A case of the suite, for connections. */
type PipeCase = (pipe: Pipe) => Promise<void>;

const PIPE_CASES: Readonly<Record<string, PipeCase>> = {
  async "bytes of both directions at once arrive whole and in order"({ near, far }) {
    const sent = [randomBytes(TRANSFER_BYTES), randomBytes(TRANSFER_BYTES)] as const;
    const send = async (conn: Conn, bytes: Uint8Array) => {
      for (let at = 0; at < bytes.length;) {
        const size = 1 + Math.floor(Math.random() * 100_000);
        await conn.write(bytes.subarray(at, at + size));
        at += size;
      }
      await conn.closeWrite();
    };
    const [, , toFar, toNear] = await Promise.all([
      send(near, sent[0]),
      send(far, sent[1]),
      readAll(far),
      readAll(near),
    ]);
    assert.equal(hashOf(toFar), hashOf(sent[0]));
    assert.equal(hashOf(toNear), hashOf(sent[1]));
  },

  async "one write of many bytes is complete when it resolves"({ near, far }) {
    const bytes = randomBytes(TOO_MUCH_BYTES);
    const [, received] = await Promise.all([
      near.write(bytes).then(() => near.closeWrite()),
      readAll(far),
    ]);
    assert.equal(near.bytesWritten, bytes.length);
    assert.equal(hashOf(received), hashOf(bytes));
  },

  async "messages go to and fro"({ near, far }) {
    const rounds = 200;
    const answer = async () => {
      for (let round = 0; round < rounds; round++) {
        const value = (await readExactly(far, 8)).readBigUInt64BE();
        const next = Buffer.alloc(8);
        next.writeBigUInt64BE(value + 1n);
        await far.write(next);
      }
    };
    const ask = async () => {
      let value: Buffer = Buffer.alloc(8);
      for (let round = 0; round < rounds; round++) {
        await near.write(value);
        value = await readExactly(near, 8);
      }
      return value.readBigUInt64BE();
    };
    const [, last] = await Promise.all([answer(), ask()]);
    assert.equal(last, BigInt(rounds));
  },

  async "a text is written as UTF-8, and an empty write writes nothing"({ near, far }) {
    await near.write("");
    await near.write("ä€");
    await near.write(new Uint8Array(0));
    await near.closeWrite();
    assert.equal((await readAll(far)).toString(), "ä€");
    assert.equal(near.bytesWritten, 5);
  },

  async "reads that overlap get different bytes, in the order of their calls"({ near, far }) {
    const reads = Array.from({ length: 5 }, () => far.read({ maxBytes: 1 }));
    await near.write("abcde");
    assert.equal(Buffer.concat((await Promise.all(reads)) as Uint8Array[]).toString(), "abcde");
  },

  async "reads that overlap and time out lose no bytes"({ near, far }) {
    const total = 400_000;
    const chunks: Uint8Array[] = [];
    let received = 0;
    const readSome = async () => {
      while (received < total) {
        far.setReadDeadline(Date.now() + Math.random() * 3);
        try {
          const chunk = await far.read({ maxBytes: 1000 });
          if (chunk === undefined) return;
          chunks.push(chunk);
          received += chunk.length;
        } catch (thrown) {
          assert(thrown instanceof VsockboxError && thrown.code === "TIMEOUT", String(thrown));
          // A timer, and not a promise alone: else the event loop would bring no bytes.
          await Bun.sleep(0);
        }
      }
    };
    const bytes = randomBytes(total);
    const send = async () => {
      for (let at = 0; at < total; at += 4000) {
        await near.write(bytes.subarray(at, at + 4000));
        if (at % 40_000 === 0) await Bun.sleep(1);
      }
      await near.closeWrite();
    };
    await Promise.all([send(), ...Array.from({ length: 4 }, readSome)]);
    assert.equal(hashOf(Buffer.concat(chunks)), hashOf(bytes));
  },

  async "writes that overlap stay whole"({ near, far }) {
    const size = 30_000;
    const writers = Array.from({ length: 20 }, (_, index) =>
      near.write(new Uint8Array(size).fill(index)),
    );
    const [received] = await Promise.all([readExactly(far, size * 20), ...writers]);
    for (let index = 0; index < 20; index++) {
      const part = received.subarray(index * size, (index + 1) * size);
      assert(
        part.every((byte) => byte === index),
        `write ${index} was mixed with another`,
      );
    }
  },

  async "writes that overlap and time out send what bytesWritten counts"({ near, far }) {
    const received = readAll(far);
    const writeSome = async () => {
      for (let round = 0; round < 10; round++) {
        near.setWriteDeadline(Date.now() + Math.random() * 3);
        const written = near.write(randomBytes(1_000_000));
        await written.catch((thrown: unknown) => {
          assert(thrown instanceof VsockboxError && thrown.code === "TIMEOUT", String(thrown));
        });
      }
    };
    await Promise.all(Array.from({ length: 4 }, writeSome));
    near.setWriteDeadline(undefined);
    await near.write("end");
    await near.closeWrite();
    const bytes = await received;
    assert.equal(bytes.length, near.bytesWritten);
    assert.equal(bytes.subarray(-3).toString(), "end");
  },

  async "a read deadline in the future ends a read, and the next one gets the bytes"(pipe) {
    const { near, far } = pipe;
    near.setReadDeadline(new Date(Date.now() + SOON_MS));
    await failsWith("TIMEOUT", near.read());
    await far.write("late");
    await failsWith("TIMEOUT", near.read());
    near.setReadDeadline(undefined);
    assert.equal((await readExactly(near, 4)).toString(), "late");
    await assertUsable(pipe);
  },

  async "a write deadline in the future ends a write that waits, and bytesWritten counts its part"(
    pipe,
  ) {
    const { near, far } = pipe;
    near.setWriteDeadline(Date.now() + SOON_MS);
    await failsWith("TIMEOUT", near.write(new Uint8Array(TOO_MUCH_BYTES)));
    assert(near.bytesWritten < TOO_MUCH_BYTES);
    await failsWith("TIMEOUT", near.write("x"));
    near.setWriteDeadline(undefined);
    await readExactly(far, near.bytesWritten);
    await assertUsable(pipe);
  },

  async "a deadline in the past fails both directions at once, though bytes are there"(pipe) {
    const { near, far } = pipe;
    await far.write("there");
    await readExactly(near, 1);
    near.setDeadline(new Date(Date.now() - 1000));
    await failsWith("TIMEOUT", near.read());
    await failsWith("TIMEOUT", near.write("x"));
    assert.equal(near.bytesWritten, 0);
    near.setDeadline(undefined);
    assert.equal((await readExactly(near, 4)).toString(), "here");
    await assertUsable(pipe);
  },

  async "a deadline of now ends a pending read and a pending write"(pipe) {
    const { near, far } = pipe;
    const read = failsWith("TIMEOUT", near.read());
    const written = failsWith("TIMEOUT", near.write(new Uint8Array(TOO_MUCH_BYTES)));
    near.setDeadline(Date.now());
    await Promise.all([read, written]);
    near.setDeadline(undefined);
    await readExactly(far, near.bytesWritten);
    await assertUsable(pipe);
  },

  async "each direction has a deadline of its own"({ near, far }) {
    near.setReadDeadline(0);
    await near.write("a");
    assert.equal((await readExactly(far, 1)).toString(), "a");
    near.setReadDeadline(undefined);
    near.setWriteDeadline(0);
    await far.write("b");
    assert.equal((await readExactly(near, 1)).toString(), "b");
    await failsWith("TIMEOUT", near.write("c"));
  },

  async "a deadline that is replaced before it passes has no effect"({ near, far }) {
    near.setReadDeadline(Date.now() + SOON_MS);
    const read = near.read();
    near.setReadDeadline(Date.now() + 3_600_000);
    await Bun.sleep(2 * SOON_MS);
    await far.write("x");
    assert.equal(Buffer.from((await read) ?? []).toString(), "x");
  },

  async "a signal ends one read or write, and no bytes are lost"(pipe) {
    const { near, far } = pipe;
    const abort = new AbortController();
    const { signal } = abort;
    const reads = [failsWith("ABORTED", near.read({ signal })), readExactly(near, 3)] as const;
    const written = failsWith("ABORTED", near.write(new Uint8Array(TOO_MUCH_BYTES), { signal }));
    abort.abort();
    await Promise.all([reads[0], written]);
    await far.write("abc");
    assert.equal((await reads[1]).toString(), "abc");
    await failsWith("ABORTED", near.read({ signal }));
    await readExactly(far, near.bytesWritten);
    await assertUsable(pipe);
  },

  async "closing ends a pending read and a pending write, and may be repeated"({ near, far }) {
    const pending = [
      failsWith("ABORTED", near.read()),
      failsWith("ABORTED", near.read()),
      failsWith("ABORTED", near.write(new Uint8Array(TOO_MUCH_BYTES))),
      failsWith("ABORTED", near.write("x")),
    ];
    await Promise.all([near.close(), near.close()]);
    await Promise.all(pending);
    await near.close();
    await near.closed;
    await failsWith("ABORTED", near.read());
    await failsWith("ABORTED", near.write("x"));
    await near.closeWrite();
    near.closeRead();
    near.setDeadline(undefined);
    await readAll(far);
  },

  async "bytes written before a close are delivered, then the end of input"({ near, far }) {
    const bytes = randomBytes(50_000);
    await near.write(bytes);
    await near.close();
    assert.equal(hashOf(await readAll(far)), hashOf(bytes));
    assert.equal(await far.read(), undefined);
  },

  async "writes to a peer that has closed fail"({ near, far }) {
    await near.close();
    const { code } = await failureOf(
      (async () => {
        for (;;) await far.write(new Uint8Array(10_000));
      })(),
    );
    assert.equal(code, "TRANSPORT");
  },

  async "a half-close ends the peer's input, and its answer still comes"({ near, far }) {
    const question = randomBytes(100_000);
    const answer = randomBytes(TRANSFER_BYTES);
    const ask = async () => {
      await near.write(question);
      await near.closeWrite();
      await near.closeWrite();
      return readAll(near);
    };
    const reply = async () => {
      const asked = await readAll(far);
      assert.equal(await far.read(), undefined);
      await far.write(answer);
      await far.closeWrite();
      return asked;
    };
    const [answered, asked] = await Promise.all([ask(), reply()]);
    assert.equal(hashOf(asked), hashOf(question));
    assert.equal(hashOf(answered), hashOf(answer));
    await failsWith("TRANSPORT", near.write("x"));
  },

  async "closeRead ends the own input, and the output goes on"({ near, far }) {
    await far.write("unread");
    const pending = near.read();
    await pending;
    const waiting = near.read();
    near.closeRead();
    assert.equal(await waiting, undefined);
    assert.equal(await near.read(), undefined);
    await near.write("still here");
    await near.closeWrite();
    assert.equal((await readAll(far)).toString(), "still here");
  },

  async "closeRead discards bytes that are under way"({ near, far }) {
    const writing = far.write(new Uint8Array(TOO_MUCH_BYTES)).catch(() => undefined);
    const turn = () => new Promise((resolve) => setTimeout(resolve, 1));
    // Enough that the receiver has paused, with more in the kernel.
    for (let before = -1; far.bytesWritten > before || before === 0; await turn()) {
      before = far.bytesWritten;
      for (let turns = 0; turns < 20; turns++) await turn();
    }
    near.closeRead();
    for (let turns = 0; turns < 20; turns++) {
      assert.equal(await near.read(), undefined);
      await turn();
    }
    await Promise.all([near.close(), far.close()]);
    await writing;
  },

  async "maxBytes limits a read, and the rest is not lost"({ near, far }) {
    await near.write("abcdef");
    assert.equal((await readExactly(far, 2)).toString(), "ab");
    assert.equal((await readExactly(far, 4, { maxBytes: 3 })).toString(), "cdef");
    for (const maxBytes of [0, -1, Number.NaN]) {
      await assert.rejects(far.read({ maxBytes }), RangeError);
    }
  },

  async "an interrupted iteration leaves the rest to be read"({ near, far }) {
    await near.write("one");
    for await (const chunk of far) {
      assert.equal(Buffer.from(chunk).toString(), "one");
      break;
    }
    await near.write("two");
    assert.equal((await readExactly(far, 3)).toString(), "two");
  },

  async "all methods may be called at once"({ near, far }) {
    void readAll(far).catch(() => undefined);
    const call = async () => {
      for (let round = 0; round < 20; round++) {
        const time = Date.now() + Math.random() * 4 - 1;
        near.setDeadline(time);
        near.setReadDeadline(time);
        near.setWriteDeadline(time);
        assert.equal(String(near.localAddress), String(near.localAddress));
        assert(near.descriptor >= 0);
        await Promise.allSettled([near.read(), near.write(randomBytes(10_000)), far.write("x")]);
      }
    };
    await Promise.all(Array.from({ length: 10 }, call));
    near.setDeadline(undefined);
    await Promise.all([near.closeWrite(), near.close(), call().catch(() => undefined)]);
  },

  async "the streams of the Web carry both directions and the half-close"({ near, far }) {
    const bytes = randomBytes(TRANSFER_BYTES);
    assert.equal(near.readable, near.readable);
    assert.equal(near.writable, near.writable);
    const echoed = far.readable.pipeTo(far.writable);
    const send = async () => {
      const writer = near.writable.getWriter();
      for (let at = 0; at < bytes.length; at += 70_000) {
        await writer.write(bytes.subarray(at, at + 70_000));
      }
      await writer.close();
    };
    const [received] = await Promise.all([new Response(near.readable).bytes(), send(), echoed]);
    assert.equal(hashOf(received), hashOf(bytes));
  },

  async "a Web stream reads nothing ahead, and cancelling it ends the input"({ near, far }) {
    await far.write("abc");
    const { readable } = near;
    await Bun.sleep(SOON_MS);
    assert.equal((await readExactly(near, 3)).toString(), "abc");
    const reader = readable.getReader();
    await far.write("def");
    assert.equal(Buffer.from((await reader.read()).value ?? []).toString(), "def");
    await reader.cancel();
    assert.equal(await near.read(), undefined);
    await near.write("still here");
    assert.equal((await readExactly(far, 10)).toString(), "still here");
  },

  async "aborting the writable Web stream closes the connection"({ near, far }) {
    await near.writable.abort();
    await near.closed;
    assert.equal(await far.read(), undefined);
  },

  async "the stream of Node carries both directions and the half-close"({ near, far }) {
    const bytes = randomBytes(TRANSFER_BYTES);
    const echo = far.toDuplex();
    echo.pipe(echo);
    const duplex = near.toDuplex();
    duplex.end(bytes);
    assert.equal(hashOf(await readAll(duplex)), hashOf(bytes));
    await Promise.all([near.closed, far.closed]);
  },

  async "the stream of Node fails with the connection, and destroying it closes that"({
    near,
    far,
  }) {
    const duplex = near.toDuplex();
    near.setReadDeadline(0);
    const failed = new Promise((resolve) => duplex.once("error", resolve));
    duplex.resume();
    assert.equal(((await failed) as VsockboxError).code, "TIMEOUT");
    await near.closed;
    far.toDuplex().destroy();
    await far.closed;
  },

  async "disposing closes"({ near, far }) {
    {
      await using disposed = near;
      assert.equal(disposed, near);
    }
    await failsWith("ABORTED", near.read());
    assert.equal(await far.read(), undefined);
  },
};

/** A case of the suite, for listeners. */
type ListenerCase = (transport: Transport) => Promise<void>;

const LISTENER_CASES: Readonly<Record<string, ListenerCase>> = {
  async "the addresses name the network, are readable, and stay after a close"(transport) {
    const listener = transport.listen();
    const [near, far] = await Promise.all([transport.dial(), listener.accept()]);
    const addresses = () => [
      near.localAddress,
      near.remoteAddress,
      far.localAddress,
      far.remoteAddress,
    ];
    const before = addresses().map(String);
    assert.equal(near.remoteAddress.network, transport.network.near);
    assert.equal(far.localAddress.network, transport.network.far);
    assert.equal(String(far.localAddress), String(listener.address));
    for (const address of [near.remoteAddress, far.localAddress]) {
      assert.equal(String(Addr.parse(String(address))), String(address));
    }
    assert.notEqual(near.descriptor, far.descriptor);
    await Promise.all([near.close(), far.close()]);
    assert.deepEqual(addresses().map(String), before);
    listener.close();
    assert.equal(String(listener.address), before[2]);
  },

  async "accept calls that overlap get different connections"(transport) {
    await using listener = transport.listen();
    const accepted = Promise.all([listener.accept(), listener.accept(), listener.accept()]);
    const dialled = await Promise.all([transport.dial(), transport.dial(), transport.dial()]);
    for (const [index, conn] of dialled.entries()) await conn.write(String(index));
    const received = await Promise.all((await accepted).map((conn) => readExactly(conn, 1)));
    assert.deepEqual(received.map(String).toSorted(), ["0", "1", "2"]);
    await Promise.all([...dialled, ...(await accepted)].map((conn) => conn.close()));
  },

  async "connections that wait are accepted later, with what they have sent"(transport) {
    await using listener = transport.listen();
    const dialled = await Promise.all(
      Array.from({ length: 10 }, async (_, index) => {
        const conn = await transport.dial();
        await conn.write(String(index));
        return conn;
      }),
    );
    const received: string[] = [];
    for (let count = 0; count < 10; count++) {
      const conn = await listener.accept();
      received.push(String(await readExactly(conn, 1)));
      await conn.close();
    }
    assert.deepEqual(received.toSorted(), [..."0123456789"]);
    await Promise.all(dialled.map((conn) => conn.close()));
  },

  async "a signal ends one accept, and no connection is lost"(transport) {
    await using listener = transport.listen();
    const abort = new AbortController();
    const ended = failsWith("ABORTED", listener.accept({ signal: abort.signal }));
    const accepted = listener.accept();
    abort.abort();
    await ended;
    await failsWith("ABORTED", listener.accept({ signal: abort.signal }));
    const conn = await transport.dial();
    await (await accepted).close();
    await conn.close();
  },

  async "closing a listener ends pending accepts and the iteration, and may be repeated"(
    transport,
  ) {
    const listener = transport.listen();
    const accepted = failsWith("ABORTED", listener.accept());
    const iterated = (async () => {
      for await (const conn of listener) await conn.close();
    })();
    listener.close();
    listener.close();
    await Promise.all([accepted, iterated]);
    await failsWith("ABORTED", listener.accept());
  },

  async "closing a listener leaves accepted connections, and closes those that wait"(transport) {
    const listener = transport.listen();
    const [near, far] = await Promise.all([transport.dial(), listener.accept()]);
    const waiting = await transport.dial();
    await waiting.write("x").catch(() => undefined);
    listener.close();
    await waiting.read().catch(() => undefined);
    await waiting.close();
    await assertUsable({ near, far, [Symbol.asyncDispose]: () => Promise.resolve() });
    await Promise.all([near.close(), far.close()]);
  },

  async "iterating a listener yields connections until it is closed"(transport) {
    const listener = transport.listen();
    const served = (async () => {
      let count = 0;
      for await (const conn of listener) {
        await conn.write(String(count++));
        await conn.close();
        if (count === 3) listener.close();
      }
      return count;
    })();
    for (let index = 0; index < 3; index++) {
      const conn = await transport.dial();
      assert.equal(String(await readAll(conn)), String(index));
      await conn.close();
    }
    assert.equal(await served, 3);
  },

  async "nothing listens after a close"(transport) {
    const listener = transport.listen();
    listener.close();
    const error = await failureOf(transport.dial());
    assert.equal(error.code, "UNAVAILABLE", error.message);
    assert.equal(error.step, "connect");
  },

  async "a signal that has fired ends a dial"(transport) {
    await using _listener = transport.listen();
    await failsWith("ABORTED", transport.dial({ signal: AbortSignal.abort() }));
  },
};

/** A case: it throws what does not conform. */
export interface ConformanceCase {
  name: string;
  run(make: MakeTransport): Promise<void>;
}

/** All cases. */
export const CONFORMANCE_CASES: readonly ConformanceCase[] = [
  ...Object.entries(PIPE_CASES).map(([name, run]) => ({
    name,
    async run(make: MakeTransport) {
      await using transport = await make();
      await using pipe = await makePipe(transport);
      await run(pipe);
    },
  })),
  ...Object.entries(LISTENER_CASES).map(([name, run]) => ({
    name,
    async run(make: MakeTransport) {
      await using transport = await make();
      await run(transport);
    },
  })),
];
