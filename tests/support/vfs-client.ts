/** Clients of an export: one that sends bytes as they are, and one of the dialect of two of ours. */
import { connect, type Socket } from "node:net";
import { goField, goMap, type GoValue } from "./go-cbor.ts";
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

/**
 * Returns the payload of a request as the Go guest writes it: its fields in the order of its structure,
 * without those that are zero.
 */
export function goRequest(op: number, fields: Readonly<Record<string, GoValue>> = {}): Buffer {
  const order = ["path", "new_path", "fh", "off", "sz", "data", "flags", "mode", "uid", "gid"];
  const present = order.flatMap((key) => goField(key, fields[key]));
  return goMap([["op", op], ...present]);
}
