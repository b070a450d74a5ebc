import { describe, expect, test } from "bun:test";
import { VsockboxError } from "../../../src/errors.ts";
import { PendingOperations } from "../../../src/library/pending-operations.ts";

/** An event that tests fire, and that counts who waits for it. */
function makeEvent() {
  const waiting = new Set<{ resolve: () => void; reject: (reason: unknown) => void }>();
  return {
    waiting,
    subscribe(resolve: () => void, reject: (reason: unknown) => void): Disposable {
      const waiter = { resolve, reject };
      waiting.add(waiter);
      return { [Symbol.dispose]: () => void waiting.delete(waiter) };
    },
    fire: () => {
      for (const { resolve } of waiting) resolve();
    },
    fail: (reason: unknown) => {
      for (const { reject } of waiting) reject(reason);
    },
  };
}

function makeOperations() {
  const event = makeEvent();
  const operations = new PendingOperations("read from", "vsock:3:5");
  const wait = (signal?: AbortSignal) =>
    operations.wait(event.subscribe, signal).then(
      () => "done",
      (thrown: unknown) => (thrown instanceof VsockboxError ? thrown.code : String(thrown)),
    );
  return { operations, event, wait };
}

async function isPending(promise: Promise<unknown>): Promise<boolean> {
  for (let turn = 0; turn < 20; turn++) await Promise.resolve();
  const pending = Symbol("pending");
  return (await Promise.race([promise, Promise.resolve(pending)])) === pending;
}

const closed = new VsockboxError({ code: "ABORTED", operation: "read" });

describe("PendingOperations", () => {
  test("each waits for its event, and leaves nothing subscribed", async () => {
    const { event, wait } = makeOperations();
    const waits = [wait(), wait()];
    expect(await isPending(Promise.race(waits))).toBe(true);
    event.fire();
    expect(await Promise.all(waits)).toEqual(["done", "done"]);
    expect(event.waiting.size).toBe(0);
  });

  test("an event that has come already does not wait", async () => {
    const { operations } = makeOperations();
    await operations.wait((resolve) => {
      resolve();
      return { [Symbol.dispose]: () => undefined };
    });
  });

  test("an event may fail", async () => {
    const { event, wait } = makeOperations();
    const waiting = wait();
    event.fail(new VsockboxError({ code: "TRANSPORT", operation: "read" }));
    expect(await waiting).toBe("TRANSPORT");
  });

  test("a deadline that passes ends all, at once those that follow, and another one allows more", async () => {
    const { operations, event, wait } = makeOperations();
    const waits = [wait(), wait()];
    operations.setDeadline(Date.now() + 20);
    expect(await Promise.all(waits)).toEqual(["TIMEOUT", "TIMEOUT"]);
    expect(event.waiting.size).toBe(0);
    expect(() => operations.check()).toThrow(
      "cannot read from vsock:3:5: the deadline has passed (ETIMEDOUT)",
    );
    expect(await wait()).toBe("TIMEOUT");
    operations.setDeadline(undefined);
    operations.check();
    const later = wait();
    event.fire();
    expect(await later).toBe("done");
  });

  test.each([
    ["a time before now", new Date(Date.now() - 1000)],
    ["the epoch", 0],
    ["minus infinity", -Infinity],
  ])("%s ends all at once", async (_, deadline) => {
    const { operations, event, wait } = makeOperations();
    const waiting = wait();
    operations.setDeadline(deadline);
    expect(event.waiting.size).toBe(0);
    expect(await waiting).toBe("TIMEOUT");
  });

  test.each([
    ["none", undefined],
    ["infinity", Infinity],
    ["in a thousand years", Date.now() + 1000 * 365 * 86_400_000],
    ["as a Date", new Date(Date.now() + 3_600_000)],
  ])("a deadline that replaces an earlier one is the one that counts: %s", async (_, deadline) => {
    const { operations, event, wait } = makeOperations();
    operations.setDeadline(Date.now() + 5);
    operations.setDeadline(deadline);
    const waiting = wait();
    await Bun.sleep(20);
    expect(await isPending(waiting)).toBe(true);
    event.fire();
    expect(await waiting).toBe("done");
  });

  test("a deadline that is not a time is refused, and the one before stays", async () => {
    const { operations, wait } = makeOperations();
    operations.setDeadline(Date.now() + 20);
    expect(() => operations.setDeadline(new Date("never"))).toThrow(RangeError);
    expect(await wait()).toBe("TIMEOUT");
  });

  test("a signal ends its own operation alone", async () => {
    const { operations, event, wait } = makeOperations();
    const abort = new AbortController();
    const [ended, other] = [wait(abort.signal), wait()];
    abort.abort();
    expect(event.waiting.size).toBe(1);
    expect(await ended).toBe("ABORTED");
    expect(await wait(abort.signal)).toBe("ABORTED");
    expect(() => operations.check(abort.signal)).toThrow("read from vsock:3:5");
    event.fire();
    expect(await other).toBe("done");
  });

  test("close ends all with its reason, for good", async () => {
    const { operations, event, wait } = makeOperations();
    operations.setDeadline(Date.now() + 20);
    const waiting = operations.wait(event.subscribe).catch((thrown: unknown) => thrown);
    operations.close(closed);
    operations.close(new VsockboxError({ code: "TIMEOUT", operation: "end" }));
    expect(await waiting).toBe(closed);
    expect(await wait()).toBe("ABORTED");
    operations.setDeadline(undefined);
    expect(() => operations.check()).toThrow(closed);
  });

  test("an event after an operation has ended is not spent on it", async () => {
    const { operations, event, wait } = makeOperations();
    const waiting = wait();
    operations.setDeadline(0);
    event.fire();
    expect(event.waiting.size).toBe(0);
    expect(await waiting).toBe("TIMEOUT");
  });
});
