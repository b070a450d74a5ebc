/**
 * One connection of an export: the first frame decides the dialect, then requests are answered until the
 * guest closes.
 *
 * A request is served when its frame is complete, most of them within the same turn of the event loop; its
 * answer is joined with others. Only fsync, and files of a program, answer later.
 */
import { ERRNO } from "../../ffi/errno.ts";
import { nextTurn } from "../../io/fair-turns.ts";
import type { SocketStream } from "../../io/stream.ts";
import { decodeMap } from "../../protocols/vfs/cbor.ts";
import type { CborMap } from "../../protocols/vfs/cbor-values.ts";
import { RefusedField } from "../../protocols/vfs/fields.ts";
import { VfsFrameReader } from "../../protocols/vfs/frame.ts";
import {
  encodeGoResponse,
  type GoResponse,
  readGoRequest,
} from "../../protocols/vfs/go-messages.ts";
import {
  encodeHelloRefusal,
  encodeWelcome,
  isHello,
  readHello,
  type VfsHello,
} from "../../protocols/vfs/hello.ts";
import {
  MAX_FRAME_BYTES,
  MAX_IN_FLIGHT,
  MAX_IO_BYTES,
  VFS_VERSION,
} from "../../protocols/vfs/operations.ts";
import { decodeVfsRequest, type VfsRequest } from "../../protocols/vfs/requests.ts";
import { encodeResponse, type VfsResponse } from "../../protocols/vfs/responses.ts";
import { AnswerBuffer } from "./answer-buffer.ts";
import type { ExportedFiles, FileSession } from "./file-session.ts";
import { GoSession } from "./go-session.ts";
import { NoteQueue } from "./note-queue.ts";
import type { ConnectionCounters } from "./server-counters.ts";

/** Options of {@link serveVfsConnection}. */
export interface ConnectionOptions {
  /** By their names, in the order of the command line; the first one is for guests that name none. */
  readonly exports: ReadonlyMap<string, ExportedFiles>;
  /** Random for each start of the server. */
  readonly serverId: Uint8Array;
  /** Mount point of guests of the Go dialect; undefined: what their first request shows. */
  readonly mountPoint?: string | undefined;
  /** Those of this connection. */
  readonly counters: ConnectionCounters;
  /** Called with the export, the dialect and the open files once they are known. */
  readonly onOpen?:
    ((name: string, isGo: boolean, session: Pick<FileSession, "openFiles">) => void) | undefined;
}

/** Requests, and their time in milliseconds, after which other connections have their turn. */
const TURN_REQUESTS = 256;
const TURN_MS = 10;

/** In place of the files of a server without exports. */
const NO_FILES: FileSession = {
  openFiles: 0,
  handle: () => ({ errno: ERRNO.ENOENT }),
  close: () => undefined,
};

/**
 * Serves a connection until the guest closes it.
 *
 * @throws {VsockboxError} BAD_DATA for a broken frame, TRANSPORT if the connection broke.
 */
export async function serveVfsConnection(
  stream: SocketStream,
  options: ConnectionOptions,
): Promise<void> {
  using connection = new Connection(stream, options);
  await connection.serve();
}

class Connection implements Disposable {
  readonly #stream: SocketStream;
  readonly #options: ConnectionOptions;
  readonly #reader = new VfsFrameReader(MAX_FRAME_BYTES);
  readonly #answers: AnswerBuffer;
  #session: FileSession | undefined;
  #files: ExportedFiles | undefined;
  #go: GoSession | undefined;
  #subscription: Disposable | undefined;
  /** Requests whose answers come later. */
  #pending = 0;
  #onAnswered: (() => void) | undefined;
  #isRefused = false;
  #isSubscribed = false;
  #isEnded = false;

  constructor(stream: SocketStream, options: ConnectionOptions) {
    this.#stream = stream;
    this.#options = options;
    this.#answers = new AnswerBuffer(stream);
  }

  async serve(): Promise<void> {
    let served = 0;
    for await (const chunk of this.#stream) {
      let sinceMs = performance.now();
      for (const payload of this.#reader.push(chunk)) {
        await this.#serveFrame(payload);
        if (this.#answers.isFull) await this.#answers.flush();
        if (++served % TURN_REQUESTS === 0 || performance.now() - sinceMs > TURN_MS) {
          await this.#answers.flush();
          await nextTurn();
          sinceMs = performance.now();
        }
        if (this.#pending >= MAX_IN_FLIGHT) await this.#oneAnswered();
      }
      await this.#answers.flush();
      if (this.#isRefused) break;
    }
    await this.#stream.finish();
  }

  [Symbol.dispose](): void {
    this.#isEnded = true;
    this.#subscription?.[Symbol.dispose]();
    this.#session?.close();
  }

  #serveFrame(payload: Uint8Array): Promise<void> | undefined {
    this.#options.counters.requests++;
    if (this.#go !== undefined) return this.#serveGo(this.#go, decodeMap(payload));
    if (this.#session !== undefined) {
      this.#serveRequest(this.#session, payload);
      return undefined;
    }
    const map = decodeMap(payload);
    if (!isHello(map)) return this.#serveGo(this.#beginGo(), map);
    return this.#welcome(map);
  }

  /** The export of a name; the first one for an empty name. */
  #find(name: string): [string, ExportedFiles] | undefined {
    const { exports } = this.#options;
    if (name === "") return exports.entries().next().value;
    const files = exports.get(name);
    return files === undefined ? undefined : [name, files];
  }

  #beginGo(): GoSession {
    const [name, files] = this.#find("") ?? ["", undefined];
    this.#session = files?.open(true);
    const session = this.#session ?? NO_FILES;
    this.#go = new GoSession(session, this.#options.mountPoint);
    this.#options.onOpen?.(name, true, session);
    return this.#go;
  }

  async #serveGo(go: GoSession, map: CborMap): Promise<void> {
    const decoded = readGoRequest(map);
    const answer: GoResponse = "request" in decoded ? await go.handle(decoded.request) : decoded;
    this.#count(answer.written, answer.data);
    this.#answers.add(encodeGoResponse(answer));
  }

  async #welcome(map: CborMap): Promise<void> {
    const answer = await this.#open(map);
    this.#isRefused = typeof answer === "number";
    this.#answers.add(typeof answer === "number" ? encodeHelloRefusal(answer) : answer);
  }

  /** Returns the answer to a Hello, or the errno of its refusal. */
  async #open(map: CborMap): Promise<Uint8Array | number> {
    let hello: VfsHello;
    try {
      hello = readHello(map);
    } catch (thrown) {
      if (thrown instanceof RefusedField) return thrown.number;
      throw thrown;
    }
    const [name, files] = this.#find(hello.name) ?? [];
    if (name === undefined || files === undefined) return ERRNO.ENOENT;
    const session = files.open(false);
    this.#session = session;
    const root = await session.handle({ op: "getattr", path: new Uint8Array(0) });
    if (root.stat === undefined) return root.errno;
    this.#files = files;
    this.#options.onOpen?.(name, false, session);
    return encodeWelcome({
      version: Math.min(VFS_VERSION, hello.version),
      name,
      features: files.features,
      maxReadBytes: MAX_IO_BYTES,
      maxWriteBytes: MAX_IO_BYTES,
      inFlight: MAX_IN_FLIGHT,
      isReadOnly: files.isReadOnly,
      root: root.stat,
      serverId: this.#options.serverId,
    });
  }

  #serveRequest(session: FileSession, payload: Uint8Array): void {
    const decoded = decodeVfsRequest(payload);
    const { id } = decoded;
    if ("errno" in decoded) {
      this.#answers.add(encodeResponse(id, { errno: decoded.errno }));
      return;
    }
    const { request } = decoded;
    const { readInto } = session;
    if (request.op === "read" && readInto !== undefined && request.size > 0) {
      const bytes = Math.min(request.size, MAX_IO_BYTES);
      this.#answers.addData(id, bytes, (address) => {
        const count = readInto.call(session, request, address, bytes);
        this.#options.counters.readBytes += Math.max(0, count);
        return count;
      });
      return;
    }
    const answer = this.#handle(session, request);
    if (answer instanceof Promise) void this.#answerLater(id, answer);
    else this.#answer(id, answer);
  }

  #handle(session: FileSession, request: VfsRequest): VfsResponse | Promise<VfsResponse> {
    switch (request.op) {
      case "subscribe":
        return this.#subscribe();
      case "cancel":
        // What can still be canceled has begun already.
        return { errno: 0 };
      default:
        return session.handle(request);
    }
  }

  #answer(id: number, answer: VfsResponse): void {
    this.#count(answer.written, answer.data);
    this.#answers.add(encodeResponse(id, answer));
  }

  #count(written: number | undefined, data: Uint8Array | undefined): void {
    const { counters } = this.#options;
    counters.writtenBytes += written ?? 0;
    counters.readBytes += data?.length ?? 0;
  }

  async #answerLater(id: number, answer: Promise<VfsResponse>): Promise<void> {
    this.#pending++;
    this.#options.counters.inFlight = this.#pending;
    try {
      const response = await answer.catch(() => ({ errno: ERRNO.EIO }));
      await this.#stream.write(encodeResponse(id, response));
    } catch {
      // The connection has ended.
    } finally {
      this.#pending--;
      this.#options.counters.inFlight = this.#pending;
      this.#onAnswered?.();
    }
  }

  /** Resolves when fewer requests wait than are allowed; answers so far are sent before. */
  async #oneAnswered(): Promise<void> {
    await this.#answers.flush();
    while (this.#pending >= MAX_IN_FLIGHT) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#onAnswered = resolve;
      await promise;
    }
  }

  async #subscribe(): Promise<VfsResponse> {
    const files = this.#files;
    if (files?.subscribe === undefined) return { errno: ERRNO.ENOSYS };
    if (this.#isSubscribed) return { errno: 0 };
    this.#isSubscribed = true;
    const notes = new NoteQueue((bytes) => this.#stream.write(bytes));
    const subscription = await files.subscribe((change) => {
      if (this.#session?.isOwn?.(change) !== true) notes.add(change);
    });
    if (this.#isEnded) subscription[Symbol.dispose]();
    else this.#subscription = subscription;
    return { errno: 0 };
  }
}
