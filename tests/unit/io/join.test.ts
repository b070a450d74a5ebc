import { describe, expect, test } from "bun:test";
import { VsockboxError } from "../../../src/errors.ts";
import { joinConnections, type ResettableConnection } from "../../../src/io/join.ts";

const RESET = new VsockboxError({ code: "TRANSPORT", operation: "read", message: "reset" });
const OTHER = new VsockboxError({ code: "TRANSPORT", operation: "write", message: "closed" });

/** An end whose input, failures and writes the test decides. */
class FakeEnd implements ResettableConnection {
  readonly events: string[] = [];
  readonly #breaking = Promise.withResolvers<VsockboxError>();
  readonly broken = this.#breaking.promise;
  readonly #input: (string | VsockboxError | undefined)[] = [];
  #wake = Promise.withResolvers<void>();
  /** Replaces what a write does. */
  onWrite: (text: string) => Promise<void> = () => Promise.resolve();
  resetLimitMs: number | undefined;

  /** Its peer sends text, undefined for the end of input, or an error. */
  receive(...items: (string | VsockboxError | undefined)[]): this {
    this.#input.push(...items);
    this.#wake.resolve();
    return this;
  }

  break(reason: VsockboxError): void {
    this.#breaking.resolve(reason);
  }

  async *[Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    for (;;) {
      while (this.#input.length === 0) {
        await this.#wake.promise;
        this.#wake = Promise.withResolvers();
      }
      const item = this.#input.shift();
      if (item instanceof VsockboxError) throw item;
      if (item === undefined) return;
      yield new TextEncoder().encode(item);
    }
  }

  async write(bytes: Uint8Array): Promise<void> {
    const text = new TextDecoder().decode(bytes);
    await this.onWrite(text);
    this.events.push(text);
  }

  end(): Promise<void> {
    this.events.push("end");
    return Promise.resolve();
  }

  reset(reason: VsockboxError, limitMs: number): Promise<void> {
    this.resetLimitMs = limitMs;
    this.events.push(`reset: ${reason.message}`);
    this.receive(reason);
    return Promise.resolve();
  }
}

const ends = () => [new FakeEnd(), new FakeEnd()] as const;

describe("joinConnections", () => {
  test("passes bytes and the end of input on in both directions", async () => {
    const [a, b] = ends();
    a.receive("one", "two", undefined);
    b.receive("three", undefined);
    expect(await joinConnections(a, b)).toBeUndefined();
    expect(a.events).toEqual(["three", "end"]);
    expect(b.events).toEqual(["one", "two", "end"]);
  });

  test("the other direction goes on after an end of input", async () => {
    const [a, b] = ends();
    const joined = joinConnections(a.receive("question", undefined), b);
    b.onWrite = () => Promise.resolve(void b.receive("answer", undefined));
    expect(await joined).toBeUndefined();
    expect(a.events).toEqual(["answer", "end"]);
  });

  test.each([0, 1])(
    "end %i breaks: the bytes before arrive, then both are reset",
    async (broken) => {
      const both = ends();
      const [a, b] = broken === 0 ? both : [both[1], both[0]];
      a.receive("before", RESET);
      a.break(RESET);
      const written = Promise.withResolvers<void>();
      b.onWrite = () => written.promise;
      const joined = joinConnections(...both, 60_000);
      await Bun.sleep(0);
      expect(b.events).toEqual([]);
      written.resolve();
      expect(await joined).toBe(RESET);
      expect(b.events).toEqual(["before", `reset: ${RESET.message}`]);
      expect(a.events).toEqual([`reset: ${RESET.message}`]);
      expect(b.resetLimitMs).toBeGreaterThan(0);
      expect(b.resetLimitMs).toBeLessThanOrEqual(60_000);
    },
  );

  test("a read error alone is a break", async () => {
    const [a, b] = ends();
    expect(await joinConnections(a.receive("before", RESET), b)).toBe(RESET);
    expect(b.events).toEqual(["before", `reset: ${RESET.message}`]);
  });

  test("an end that breaks after its end of input resets the other", async () => {
    const [a, b] = ends();
    const joined = joinConnections(a.receive(undefined), b, 60_000);
    a.break(RESET);
    expect(await joined).toBe(RESET);
    expect(b.events).toEqual(["end", `reset: ${RESET.message}`]);
  });

  test("a failed write leaves the bytes of that end to be delivered", async () => {
    const [a, b] = ends();
    b.onWrite = () => Promise.reject(OTHER);
    const joined = joinConnections(a.receive("lost"), b, 60_000);
    await Bun.sleep(0);
    expect(a.events).toEqual([]);
    b.receive("kept", undefined);
    expect(await joined).toBe(OTHER);
    expect(a.events).toEqual(["kept", "end", `reset: ${OTHER.message}`]);
    expect(b.events).toEqual([`reset: ${OTHER.message}`]);
  });

  test("a reader that has stopped delays a reset no longer than the limit", async () => {
    const [a, b] = ends();
    b.onWrite = () => new Promise(() => undefined);
    a.receive("stuck", RESET);
    a.break(RESET);
    expect(await joinConnections(a, b, 1)).toBe(RESET);
    expect(b.events).toEqual([`reset: ${RESET.message}`]);
    expect(b.resetLimitMs).toBe(0);
  });
});
