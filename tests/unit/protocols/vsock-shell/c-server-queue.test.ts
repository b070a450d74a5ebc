/** The queue of a C server, played: nothing may be lost at its end. */
import { describe, expect, test } from "bun:test";
import { CServerQueue } from "../../../../src/protocols/vsock-shell/c-server-queue.ts";
import { decodeText } from "../../../../src/protocols/vsock-shell/texts.ts";
import { ShellMessageReader, Type } from "../../../../src/protocols/vsock-shell/message.ts";

const QUEUE = 1_000_000;

/** A C server in a download, as the protocol's page describes its queue. */
class PlayedServer {
  /** Sizes of the messages in the queue, and what they are. */
  readonly #sent: { bytes: number; kind: "answer" | "data" | "end" }[] = [];
  readonly #reader = new ShellMessageReader();
  #begin = 0;
  #end = 0;
  #left: number;
  lost = 0;

  constructor(fileBytes: number, answerBytes: number) {
    this.#left = fileBytes;
    this.#put(answerBytes, "answer");
    this.#put(12, "answer");
    this.#fill();
  }

  #put(bytes: number, kind: "answer" | "data" | "end"): boolean {
    const room = this.#end >= this.#begin ? QUEUE - this.#end : this.#begin - this.#end;
    if (bytes > room) {
      this.lost++;
      return false;
    }
    this.#end = (this.#end + bytes) % QUEUE;
    this.#sent.push({ bytes, kind });
    return true;
  }

  #fill(): void {
    const pending = () => (this.#end - this.#begin + QUEUE) % QUEUE;
    while (this.#left >= 0) {
      const data = Math.min(this.#left, 4096);
      const isEnd = data === 0;
      if (!this.#put(12 + data, isEnd ? "end" : "data")) {
        this.#left = -1;
        return;
      }
      this.#left = isEnd ? -1 : this.#left - data;
      if (pending() > QUEUE / 2) return;
    }
  }

  /** Handles what came, fills the queue and empties it as far as its end. */
  wake(bytes: Uint8Array): { bytes: number; kind: string }[] {
    this.#reader.feed(bytes);
    for (let next = this.#reader.next(); next !== undefined; next = this.#reader.next()) {
      expect(next.type).toBe(Type.DownloadStart);
      const { text } = decodeText(next.data);
      const path = Buffer.from(text).toString().split(" ")[0] ?? "";
      this.#put(12 + Math.min(`KO source file '${path}' does not exist`.length + 1, 300), "answer");
    }
    this.#fill();
    return this.flush();
  }

  flush(): { bytes: number; kind: string }[] {
    const isSplit = this.#end < this.#begin;
    let room = isSplit ? QUEUE - this.#begin : this.#end - this.#begin;
    const out = [];
    while (room > 0) {
      const first = this.#sent.shift();
      if (first === undefined) throw new Error("the queue is out of step");
      room -= first.bytes;
      out.push(first);
    }
    this.#begin = isSplit ? 0 : this.#end;
    return out;
  }
}

/** Downloads a file of this size; gives the bytes that came, and what was lost. */
function play(
  fileBytes: number,
  answerBytes: number,
): { data: number; lost: number; end: boolean } {
  const server = new PlayedServer(fileBytes, answerBytes);
  const queue = new CServerQueue();
  let data = 0;
  let stalls = 0;
  const incoming = server.flush();
  const outgoing: Uint8Array[] = [];
  for (;;) {
    const message = incoming.shift();
    if (message === undefined) {
      const wake = outgoing.shift();
      if (wake === undefined && ++stalls > 20) return { data, lost: server.lost, end: false };
      incoming.push(...server.wake(wake ?? queue.wake()));
      continue;
    }
    queue.count(message.bytes);
    if (message.kind === "end") return { data, lost: server.lost, end: true };
    if (message.kind !== "data") continue;
    data += message.bytes - 12;
    stalls = 0;
    const next = queue.next();
    if (next.length > 0) outgoing.push(next);
  }
}

describe("a download from a C server", () => {
  test.each([0, 1, 4096, 400_000, 500_000, 995_000, 1_000_000, 5_000_001, 40_960_000, 100_000_000])(
    "%d bytes come whole",
    (fileBytes) => {
      for (const answerBytes of [20, 57, 128, 199, 300, 311]) {
        expect(play(fileBytes, answerBytes)).toEqual({ data: fileBytes, lost: 0, end: true });
      }
    },
  );

  test("without help the queue loses a message", () => {
    const server = new PlayedServer(3_000_000, 57);
    server.flush();
    for (let wakes = 0; wakes < 10; wakes++) server.wake(new Uint8Array(0));
    expect(server.lost).toBeGreaterThan(0);
  });

  test("a message that was begun can be finished, so that another may follow", () => {
    const queue = new CServerQueue();
    const bytes = Buffer.concat([queue.wake(), queue.wake(), queue.finish()]);
    const reader = new ShellMessageReader();
    reader.feed(bytes);
    expect(reader.next()?.type).toBe(Type.DownloadStart);
    expect(reader.isInside).toBe(false);
    expect(queue.finish()).toHaveLength(0);
  });
});
