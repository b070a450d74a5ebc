/** A host of the VFS protocol whose answers are written by a test, on a Unix socket. */
import { createServer, type Server, type Socket } from "node:net";
import { decodeMap } from "../../src/protocols/vfs/cbor.ts";
import type { CborMap, Encodable } from "../../src/protocols/vfs/cbor-values.ts";
import { encodeVfsFrame, VfsFrameReader } from "../../src/protocols/vfs/frame.ts";

/** Fields of an answer. */
export type AnswerFields = { readonly [key: string]: Encodable | undefined };

/** What a host does with a request: the fields of the answer, raw bytes, or nothing. */
export type OnRequest = (request: CborMap, socket: Socket) => AnswerFields | Uint8Array | undefined;

const LIMIT_BYTES = 16 * 1024 * 1024;

/** A listening host; requests are recorded. */
export class RawVfsHost {
  readonly path: string;
  readonly requests: CborMap[] = [];
  readonly sockets = new Set<Socket>();
  readonly #server: Server;
  readonly #onRequest: OnRequest;

  private constructor(path: string, onRequest: OnRequest) {
    this.path = path;
    this.#onRequest = onRequest;
    this.#server = createServer((socket) => this.#serve(socket));
  }

  static async listen(path: string, onRequest: OnRequest): Promise<RawVfsHost> {
    const host = new RawVfsHost(path, onRequest);
    await new Promise<void>((resolve) => host.#server.listen(path, resolve));
    return host;
  }

  #serve(socket: Socket): void {
    this.sockets.add(socket);
    const reader = new VfsFrameReader(LIMIT_BYTES);
    socket.on("error", () => undefined);
    socket.on("close", () => this.sockets.delete(socket));
    socket.on("data", (chunk: Buffer) => {
      for (const payload of reader.push(new Uint8Array(chunk))) {
        const request = decodeMap(payload.slice());
        this.requests.push(request);
        const answer = this.#onRequest(request, socket);
        if (answer === undefined) continue;
        socket.write(answer instanceof Uint8Array ? answer : encodeVfsFrame(answer));
      }
    });
  }

  /** Ends all connections. */
  disconnect(): void {
    for (const socket of this.sockets) socket.destroy();
  }

  async close(): Promise<void> {
    this.disconnect();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }
}
