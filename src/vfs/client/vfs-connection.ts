/**
 * The guest's end of a connection between two of ours: many requests in flight, each with an id, answers
 * in any order, notifications between them.
 *
 * States: open; lost, when the connection has ended, broken, or sent what its protocol does not allow. All
 * requests then fail at once, those in flight and those to come.
 */
import { VsockboxError } from "../../errors.ts";
import { formatPeer } from "../../io/peer.ts";
import type { SocketStream } from "../../io/stream.ts";
import { VfsFrameReader } from "../../protocols/vfs/frame.ts";
import {
  encodeVfsRequest,
  encodeWriteHead,
  type VfsRequest,
} from "../../protocols/vfs/requests.ts";
import {
  decodeServerFrame,
  type ServerFrame,
  type VfsNote,
  type VfsResponse,
} from "../../protocols/vfs/responses.ts";
import { RemoteError } from "./remote-files.ts";

/** Settings of a {@link VfsConnection}. */
export interface VfsConnectionOptions {
  stream: SocketStream;
  /** The reader of the Hello's answer, which may hold the beginning of another frame. */
  reader: VfsFrameReader;
  /** Requests that the server accepts at a time. */
  inFlight: number;
  /** The errno of requests once the connection is lost. */
  lostErrno: number;
  onNote(note: VfsNote): void;
}

/** Ids are u32. */
const MAX_ID = 0xffff_ffff;

/** Frames up to this size are copied into one write, in bytes. */
const SMALL_BYTES = 16 * 1024;

/** Joins neighbouring small pieces; large ones stay as they are. */
export function joinSmall(pieces: readonly Uint8Array[]): Uint8Array[] {
  const joined: Uint8Array[] = [];
  let small: Uint8Array[] = [];
  const close = () => {
    const [only] = small;
    if (only !== undefined) joined.push(small.length === 1 ? only : Buffer.concat(small));
    small = [];
  };
  for (const piece of pieces) {
    if (piece.length <= SMALL_BYTES) small.push(piece);
    else {
      close();
      joined.push(piece);
    }
  }
  close();
  return joined;
}

/** A connection after its Hello. */
export class VfsConnection {
  /** Resolves with the reason when the connection is lost or closed. Never rejects. */
  readonly lost: Promise<VsockboxError>;
  readonly #losing = Promise.withResolvers<VsockboxError>();
  readonly #options: VfsConnectionOptions;
  readonly #pending = new Map<number, PromiseWithResolvers<VfsResponse>>();
  /** Requests beyond those that the server accepts. */
  readonly #waiting: (() => void)[] = [];
  readonly #outgoing: Uint8Array[] = [];
  #lastId = 0;
  #isLost = false;

  constructor(options: VfsConnectionOptions) {
    this.#options = options;
    this.lost = this.#losing.promise;
    void this.#receive();
  }

  /**
   * Sends a request; resolves with its answer.
   *
   * @throws {RemoteError} with the errno of the answer, or of a lost connection.
   */
  request(request: VfsRequest): Promise<VfsResponse> {
    return this.#begin((id) => {
      this.#send(encodeVfsRequest(id, request));
    });
  }

  /** Sends a write whose data is not copied: it must not change until the answer. */
  write(
    place: { handle: number; offset: number; flags: number | undefined },
    data: Uint8Array,
  ): Promise<VfsResponse> {
    return this.#begin((id) => {
      this.#send(encodeWriteHead(id, { ...place, dataBytes: data.length }));
      this.#send(data);
    });
  }

  /** Closes the connection; the requests in flight fail. */
  close(): void {
    const { stream } = this.#options;
    this.#lose(
      new VsockboxError({
        code: "ABORTED",
        operation: "continue with",
        address: formatPeer(stream.peer),
        message: "the connection was closed",
      }),
    );
  }

  #begin(send: (id: number) => void): Promise<VfsResponse> {
    const answer = Promise.withResolvers<VfsResponse>();
    const begin = () => {
      if (this.#isLost) {
        answer.reject(new RemoteError(this.#options.lostErrno));
        return;
      }
      const id = this.#freeId();
      this.#pending.set(id, answer);
      send(id);
    };
    if (this.#pending.size < this.#options.inFlight || this.#isLost) begin();
    else this.#waiting.push(begin);
    return answer.promise;
  }

  #freeId(): number {
    do this.#lastId = this.#lastId === MAX_ID ? 1 : this.#lastId + 1;
    while (this.#pending.has(this.#lastId));
    return this.#lastId;
  }

  /** Sends after the present turn: requests that were made in one go in one write. */
  #send(bytes: Uint8Array): void {
    if (this.#outgoing.push(bytes) === 1) queueMicrotask(() => this.#flush());
  }

  #flush(): void {
    for (const bytes of joinSmall(this.#outgoing.splice(0))) {
      // A failed write is the failure of the connection, which the reader gets as well.
      this.#options.stream.write(bytes).catch((thrown: unknown) => this.#lose(thrown));
    }
  }

  async #receive(): Promise<void> {
    const { stream, reader } = this.#options;
    try {
      for (;;) {
        const chunk = await stream.read();
        if (chunk === undefined) break;
        for (const payload of reader.push(chunk)) this.#handle(decodeServerFrame(payload));
      }
      this.#lose(
        new VsockboxError({
          code: "TRANSPORT",
          operation: "read from",
          address: formatPeer(stream.peer),
          message: "the host has closed the connection",
        }),
      );
    } catch (thrown) {
      this.#lose(thrown);
    }
  }

  #handle(frame: ServerFrame): void {
    if ("note" in frame) {
      this.#options.onNote(frame.note);
      return;
    }
    const answer = this.#pending.get(frame.id);
    // Of no request, or of one that was answered already.
    if (answer === undefined) return;
    this.#pending.delete(frame.id);
    const { errno } = frame.response;
    if (errno === 0) answer.resolve(frame.response);
    else answer.reject(new RemoteError(errno));
    this.#waiting.shift()?.();
  }

  #lose(thrown: unknown): void {
    if (this.#isLost) return;
    this.#isLost = true;
    const reason =
      thrown instanceof VsockboxError
        ? thrown
        : new VsockboxError({
            code: "SOFTWARE",
            operation: "read from",
            address: formatPeer(this.#options.stream.peer),
            message: thrown instanceof Error ? thrown.message : String(thrown),
            cause: thrown,
          });
    this.#options.stream.abort(reason);
    for (const answer of this.#pending.values()) {
      answer.reject(new RemoteError(this.#options.lostErrno));
    }
    this.#pending.clear();
    for (const begin of this.#waiting.splice(0)) begin();
    this.#losing.resolve(reason);
  }
}
