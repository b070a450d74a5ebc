import { describe, expect, test } from "bun:test";
import { VsockboxError } from "../../../src/errors.ts";
import { type WriteCancellation, WriteQueue } from "../../../src/io/write-queue.ts";

const bytes = (text: string) => new Uint8Array(Buffer.from(text));

/** A socket that accepts as many bytes as `capacity` has; `capacity` -1: it is closed. */
function makeQueue(capacity: number) {
  const state = {
    capacity,
    failure: undefined as VsockboxError | undefined,
    written: "",
    waits: [] as boolean[],
  };
  const queue = new WriteQueue({
    failure: () => state.failure,
    write(chunk) {
      if (state.capacity < 0) return -1;
      const accepted = chunk.subarray(0, state.capacity);
      state.capacity -= accepted.length;
      state.written += Buffer.from(accepted).toString();
      return accepted.length;
    },
    writeError: (message) => new VsockboxError({ code: "TRANSPORT", operation: "write", message }),
    onWritten: (hasWaited) => void state.waits.push(hasWaited),
  });
  const drain = (free: number) => {
    state.capacity = free;
    queue.onDrain();
  };
  return { queue, state, drain };
}

const outcome = (promise: Promise<void>) =>
  promise.then(
    () => "written",
    (thrown: unknown) => (thrown instanceof Error ? thrown.message : "?"),
  );

async function isPending(promise: Promise<unknown>): Promise<boolean> {
  for (let turn = 0; turn < 20; turn++) await Promise.resolve();
  const pending = Symbol("pending");
  return (await Promise.race([promise, Promise.resolve(pending)])) === pending;
}

describe("WriteQueue", () => {
  test("a write that the kernel accepts at once does not wait", async () => {
    const { queue, state } = makeQueue(100);
    await queue.write(bytes("abc"));
    expect(state).toMatchObject({ written: "abc", waits: [false] });
    expect(queue.isBusy).toBe(false);
  });

  test("a write resolves when all of its bytes are accepted, in several steps", async () => {
    const { queue, state, drain } = makeQueue(2);
    const written = queue.write(bytes("abcdef"));
    expect(queue.isBusy).toBe(true);
    expect(await isPending(written)).toBe(true);
    drain(3);
    expect(await isPending(written)).toBe(true);
    drain(3);
    await written;
    expect(state.written).toBe("abcdef");
    expect(state.waits).toEqual([false, true, true]);
    await queue.settled;
    await Promise.resolve();
    expect(queue.isBusy).toBe(false);
  });

  test("bytes of several writers stay together, in the order of their calls", async () => {
    const { queue, state, drain } = makeQueue(1);
    const writes = [queue.write(bytes("aaa")), queue.write(bytes("bb")), queue.write(bytes("c"))];
    expect(await isPending(Promise.all(writes))).toBe(true);
    drain(3);
    expect(await isPending(Promise.all(writes))).toBe(true);
    drain(100);
    await Promise.all(writes);
    expect(state.written).toBe("aaabbc");
  });

  test("an empty write resolves after those before it", async () => {
    const { queue, drain } = makeQueue(0);
    await queue.write(bytes(""));
    const written = queue.write(bytes("a"));
    const empty = queue.write(bytes(""));
    expect(await isPending(empty)).toBe(true);
    drain(1);
    await Promise.all([written, empty]);
  });

  test("a write after the end fails, one before it is completed", async () => {
    const { queue, state, drain } = makeQueue(0);
    const before = queue.write(bytes("a"));
    drain(1);
    await before;
    expect(queue.isEnded).toBe(false);
    queue.end();
    expect(queue.isEnded).toBe(true);
    state.capacity = 10;
    expect(await outcome(queue.write(bytes("b")))).toContain("ended its output already");
    expect(state.written).toBe("a");
  });

  test("a write to a closed connection fails", async () => {
    const { queue } = makeQueue(-1);
    expect(await outcome(queue.write(bytes("a")))).toContain("the connection is closed");
  });

  test("a cancelled write ends with its reason; later writes go on", async () => {
    const { queue, state, drain } = makeQueue(1);
    const cancellation: WriteCancellation = { reason: undefined };
    const cancelled = outcome(queue.write(bytes("aaa"), cancellation));
    const later = queue.write(bytes("b"));
    expect(await isPending(cancelled)).toBe(true);
    cancellation.reason = new VsockboxError({
      code: "TIMEOUT",
      operation: "write",
      message: "late",
    });
    queue.onDrain();
    expect(await cancelled).toBe("cannot write: late");
    expect(await isPending(later)).toBe(true);
    drain(1);
    await later;
    expect(state.written).toBe("ab");
  });

  test("a write that is cancelled before its turn sends nothing", async () => {
    const { queue, state, drain } = makeQueue(0);
    const first = queue.write(bytes("a"));
    const cancellation: WriteCancellation = { reason: undefined };
    const second = outcome(queue.write(bytes("b"), cancellation));
    cancellation.reason = new VsockboxError({ code: "ABORTED", operation: "write", message: "no" });
    queue.onDrain();
    expect(await isPending(Promise.race([first, second]))).toBe(true);
    drain(10);
    await first;
    expect(await second).toBe("cannot write: no");
    expect(state.written).toBe("a");
  });

  test("a failure of the connection ends a waiting write and all after it", async () => {
    const { queue, state } = makeQueue(0);
    const writes = [outcome(queue.write(bytes("a"))), outcome(queue.write(bytes("b")))];
    expect(await isPending(Promise.all(writes))).toBe(true);
    state.failure = new VsockboxError({ code: "TRANSPORT", operation: "write", message: "reset" });
    queue.onDrain();
    expect(await Promise.all(writes)).toEqual(["cannot write: reset", "cannot write: reset"]);
    expect(state.written).toBe("");
  });
});
