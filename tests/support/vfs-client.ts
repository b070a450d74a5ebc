/** Clients of an export: one that sends bytes as they are, and one of the dialect of two of ours. */
import { connect, type Socket } from "node:net";
import { decodeMap } from "../../src/protocols/vfs/cbor.ts";
import type { CborMap } from "../../src/protocols/vfs/cbor-values.ts";
import { VfsFrameReader } from "../../src/protocols/vfs/frame.ts";
import { encodeVfsHello, readWelcome, type VfsWelcome } from "../../src/protocols/vfs/hello.ts";
import { encodeVfsRequest, type VfsRequest } from "../../src/protocols/vfs/requests.ts";
import {
  decodeServerFrame,
  type VfsNote,
  type VfsResponse,
} from "../../src/protocols/vfs/responses.ts";

const MAX_FRAME_BYTES = 64 * 1024 * 1024;
const MAX_ITEMS = 10_000_000;

/** A connection that sends bytes and collects the payloads of answers. */
export class RawVfsClient implements Disposable {
  readonly socket: Socket;
  readonly #reader = new VfsFrameReader(MAX_FRAME_BYTES);
  readonly #payloads: Uint8Array[] = [];
  #isClosed = false;
  #wake: (() => void) | undefined;

  constructor(path: string) {
    this.socket = connect({ path });
    this.socket.on("data", (chunk: Buffer) => {
      for (const payload of this.#reader.push(chunk)) this.#payloads.push(payload.slice());
      this.#wake?.();
    });
    this.socket.on("error", () => undefined);
    this.socket.on("close", () => {
      this.#isClosed = true;
      this.#wake?.();
    });
  }

  /** Sends bytes, whatever they are. */
  send(bytes: Uint8Array): void {
    this.socket.write(bytes);
  }

  /** Sends a payload as a frame. */
  sendFrame(payload: Uint8Array): void {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(payload.length);
    this.send(Buffer.concat([length, payload]));
  }

  /** Returns the next payload; undefined if the server has closed the connection. */
  async next(): Promise<Uint8Array | undefined> {
    for (;;) {
      const payload = this.#payloads.shift();
      if (payload !== undefined || this.#isClosed) return payload;
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      await promise;
    }
  }

  /** Sends a payload as a frame and returns the answer. */
  async ask(payload: Uint8Array): Promise<CborMap> {
    this.sendFrame(payload);
    const answer = await this.next();
    if (answer === undefined) throw new Error("the server has closed the connection");
    return decodeMap(answer, MAX_ITEMS);
  }

  [Symbol.dispose](): void {
    this.socket.destroy();
  }
}

/** A guest of ours. */
export class VfsTestClient implements Disposable {
  readonly raw: RawVfsClient;
  readonly welcome: VfsWelcome;
  readonly notes: VfsNote[] = [];
  /** The ids of answers in the order in which they came. */
  readonly answered: number[] = [];
  readonly #waiting = new Map<number, PromiseWithResolvers<VfsResponse>>();
  #id = 0;

  private constructor(raw: RawVfsClient, welcome: VfsWelcome) {
    this.raw = raw;
    this.welcome = welcome;
    void this.#receive();
  }

  /** Connects and says Hello; fails with the errno of a refusal. */
  static async open(path: string, name = ""): Promise<VfsTestClient> {
    const raw = new RawVfsClient(path);
    const map = await raw.ask(encodeVfsHello({ name, features: [] }).subarray(4));
    const welcome = readWelcome(map);
    if ("errno" in welcome) throw new Error(`refused: errno ${welcome.errno}`);
    return new VfsTestClient(raw, welcome);
  }

  async #receive(): Promise<void> {
    for (;;) {
      const payload = await this.raw.next();
      if (payload === undefined) break;
      const frame = decodeServerFrame(payload);
      if ("note" in frame) this.notes.push(frame.note);
      else {
        this.answered.push(frame.id);
        this.#waiting.get(frame.id)?.resolve(frame.response);
        this.#waiting.delete(frame.id);
      }
    }
    for (const { reject } of this.#waiting.values()) reject(new Error("the connection has ended"));
  }

  /** Sends a request; resolves with its answer. */
  ask(request: VfsRequest): Promise<VfsResponse> {
    const id = ++this.#id;
    const waiting = Promise.withResolvers<VfsResponse>();
    this.#waiting.set(id, waiting);
    this.raw.send(encodeVfsRequest(id, request));
    return waiting.promise;
  }

  [Symbol.dispose](): void {
    this.raw[Symbol.dispose]();
  }
}

type GoValue = number | bigint | string | Uint8Array;

/** CBOR's head of an item (RFC 8949, section 3). */
function head(major: number, value: number | bigint): Buffer {
  const number = BigInt(value);
  const first = major << 5;
  if (number < 24n) return Buffer.from([first | Number(number)]);
  const sizes = [1, 2, 4, 8] as const;
  const index = sizes.findIndex((size) => number < 1n << BigInt(8 * size));
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(number);
  return Buffer.concat([
    Buffer.from([first | (24 + index)]),
    bytes.subarray(8 - (sizes[index] ?? 8)),
  ]);
}

function item(value: GoValue): Buffer {
  if (typeof value === "string") {
    const bytes = Buffer.from(value);
    return Buffer.concat([head(3, bytes.length), bytes]);
  }
  if (value instanceof Uint8Array) return Buffer.concat([head(2, value.length), value]);
  return value < 0 ? head(1, -1n - BigInt(value)) : head(0, value);
}

/**
 * Returns the payload of a request as the Go guest writes it: its fields in the order of its structure,
 * without those that are zero.
 */
export function goRequest(op: number, fields: Readonly<Record<string, GoValue>> = {}): Buffer {
  const order = ["path", "new_path", "fh", "off", "sz", "data", "flags", "mode", "uid", "gid"];
  const isZero = (value: GoValue | undefined) =>
    value === undefined || value === 0 || value === "" || (value as Uint8Array).length === 0;
  const present = order.filter((key) => !isZero(fields[key]));
  const pairs = present.flatMap((key) => [item(key), item(fields[key] ?? 0)]);
  return Buffer.concat([head(5, present.length + 1), item("op"), item(op), ...pairs]);
}
