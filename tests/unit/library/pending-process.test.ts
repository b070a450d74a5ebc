/** A command whose connection is being made: order of its input, and its output read ahead. */
import { describe, expect, test } from "bun:test";
import type {
  OutputPiece,
  RemoteExit,
  RemoteProcess,
} from "../../../src/agent/client/remote-process.ts";
import { VsockboxError } from "../../../src/errors.ts";
import { PendingProcess } from "../../../src/library/pending-process.ts";

const MIB = 1024 * 1024;

/** A command that notes what it is sent, and prints what the test says. */
class NotedProcess implements RemoteProcess {
  readonly hasBegun = true;
  readonly notes: string[] = [];
  readonly exit = Promise.withResolvers<RemoteExit>();
  readonly exited = this.exit.promise;
  /** Resolves the writes. */
  readonly accepts = Promise.withResolvers<void>();
  printed = 0;
  readonly #pieces: readonly Uint8Array[];

  constructor(pieces: readonly Uint8Array[] = []) {
    this.#pieces = pieces;
    this.exited.catch(() => undefined);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<OutputPiece> {
    for (const bytes of this.#pieces) {
      this.printed++;
      yield { stream: "stdout", bytes };
    }
    await this.exited;
  }

  async write(bytes: Uint8Array): Promise<void> {
    this.notes.push(`write ${bytes.length}`);
    await this.accepts.promise;
  }

  endInput(): void {
    this.notes.push("end of input");
  }

  signal(signal: number): void {
    this.notes.push(`signal ${signal}`);
  }

  resize({ rows, cols }: { rows: number; cols: number }): void {
    this.notes.push(`size ${rows} ${cols}`);
  }

  leave(reason: VsockboxError): void {
    this.notes.push("leave");
    this.exit.reject(reason);
  }

  close(): Promise<void> {
    this.notes.push("close");
    return Promise.resolve();
  }
}

const closed = new VsockboxError({ code: "ABORTED", operation: "use agent", message: "closed" });

/** Lets everything that is due happen. */
const settle = () => Bun.sleep(0);

describe("a pending command", () => {
  test("sends input in order, and its end after the last write; a signal does not wait", async () => {
    const remote = new NotedProcess();
    const started = Promise.withResolvers<RemoteProcess>();
    const command = new PendingProcess(() => started.promise);
    const written = [command.write(new Uint8Array(3)), command.write(new Uint8Array(4))];
    command.endInput();
    command.signal(15);
    expect(command.hasBegun).toBe(true);
    command.resize({ rows: 2, cols: 3 });
    await settle();
    expect(remote.notes).toEqual([]);
    started.resolve(remote);
    await settle();
    expect(remote.notes.toSorted()).toEqual(["signal 15", "size 2 3", "write 3"]);
    remote.accepts.resolve();
    await Promise.all(written);
    await settle();
    expect(remote.notes.filter((note) => !/signal|size/.test(note))).toEqual([
      "write 3",
      "write 4",
      "end of input",
    ]);
  });

  test("reads at most 2 MiB ahead, and exits without a reader if there is less", async () => {
    const remote = new NotedProcess([1, 2, 3, 4].map(() => new Uint8Array(MIB)));
    remote.exit.resolve({ exitCode: 7, signal: undefined });
    const command = new PendingProcess(() => Promise.resolve(remote));
    await settle();
    expect(remote.printed).toBe(2);
    let bytes = 0;
    for await (const piece of command) bytes += piece.bytes.length;
    expect(bytes).toBe(4 * MIB);
    expect(await command.exited).toEqual({ exitCode: 7, signal: undefined });

    const small = new NotedProcess([new Uint8Array(10)]);
    small.exit.resolve({ exitCode: 0, signal: undefined });
    const unread = new PendingProcess(() => Promise.resolve(small));
    expect(await unread.exited).toEqual({ exitCode: 0, signal: undefined });
    const kept: number[] = [];
    for await (const piece of unread) kept.push(piece.bytes.length);
    expect(kept).toEqual([10]);
  });

  test("a failed start rejects exited, its output and its writes", async () => {
    const command = new PendingProcess(() => Promise.reject(closed));
    const iterate = async () => {
      for await (const _ of command);
    };
    const failures = [command.exited, iterate(), command.write(new Uint8Array(1))];
    command.endInput();
    command.signal(9);
    for (const failure of failures) {
      expect(await failure.catch((thrown: unknown) => thrown)).toBe(closed);
    }
    await command.close();
  });

  test("leave ends it while it is being started, while it runs, and while its output is unread", async () => {
    const starting = new PendingProcess(
      (signal) =>
        new Promise((_, reject) => {
          signal.addEventListener("abort", () => reject(signal.reason as Error));
        }),
    );
    starting.leave(closed);
    expect(await starting.exited.catch((thrown: unknown) => thrown)).toBe(closed);

    const remote = new NotedProcess([new Uint8Array(3 * MIB), new Uint8Array(MIB)]);
    const full = new PendingProcess(() => Promise.resolve(remote));
    await settle();
    full.leave(closed);
    expect(await full.exited.catch((thrown: unknown) => thrown)).toBe(closed);
    expect(remote.notes).toEqual(["leave"]);
    expect(remote.printed).toBe(1);
  });

  test("the closing of its agent leaves it, and none is left after its end", async () => {
    const closing = new AbortController();
    const remote = new NotedProcess();
    const command = new PendingProcess(() => Promise.resolve(remote), closing.signal);
    const ended = new NotedProcess();
    ended.exit.resolve({ exitCode: 0, signal: undefined });
    const other = new PendingProcess(() => Promise.resolve(ended), closing.signal);
    await other.exited;
    await settle();
    closing.abort(closed);
    expect(await command.exited.catch((thrown: unknown) => thrown)).toBe(closed);
    expect([remote.notes, ended.notes]).toEqual([["leave"], []]);
    await command.close();
    expect(remote.notes).toEqual(["leave", "close"]);
  });
});
