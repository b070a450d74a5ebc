/** Both ends of the guest-exec protocol without a line of ours: raw bytes, and a guest written in C. */
import { join } from "node:path";
import { createServer, type Server, type Socket } from "node:net";

/** A host that sends what it is told, byte for byte. */
export class RawHost implements AsyncDisposable {
  readonly #server: Server;
  readonly #sockets: Socket[] = [];
  readonly #waiting: ((socket: Socket) => void)[] = [];
  readonly #all: Socket[] = [];

  private constructor() {
    this.#server = createServer({ allowHalfOpen: true }, (socket) => {
      socket.on("error", () => undefined);
      this.#all.push(socket);
      const take = this.#waiting.shift();
      if (take === undefined) this.#sockets.push(socket);
      else take(socket);
    });
  }

  /** Listens on a Unix socket. */
  static async listen(path: string): Promise<RawHost> {
    const host = new RawHost();
    await new Promise<void>((resolve) => host.#server.listen(path, resolve));
    return host;
  }

  /** The next guest that connects. */
  guest(): Promise<Socket> {
    const socket = this.#sockets.shift();
    if (socket !== undefined) return Promise.resolve(socket);
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#all) socket.destroy();
    return new Promise((resolve) => this.#server.close(() => resolve()));
  }
}

/** Everything that a guest sends until it closes. */
export function received(socket: Socket): Promise<Buffer> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    socket.on("data", (chunk) => void chunks.push(chunk as Buffer));
    socket.on("close", () => resolve(Buffer.concat(chunks)));
    socket.on("end", () => socket.end());
  });
}

/** A persistent frame, made by hand. */
export function commandFrame(command: string | Uint8Array, length?: number): Buffer {
  const bytes = Buffer.from(command as Uint8Array);
  const header = Buffer.alloc(2);
  header.writeUInt16LE(length ?? bytes.length);
  return Buffer.concat([header, bytes]);
}

const C_SOURCE = join(import.meta.dir, "../fixtures/vsock-guest-exec.c");

/** Compiles the guest in C to `path`; `-static` for a guest without libraries. */
export async function buildCGuest(path: string, ...options: string[]): Promise<string> {
  const gcc = Bun.spawn(
    ["gcc", "-Wall", "-Wextra", "-Werror", "-O1", "-s", ...options, "-o", path, C_SOURCE],
    { stderr: "pipe" },
  );
  if ((await gcc.exited) === 0) return path;
  throw new Error(await new Response(gcc.stderr).text());
}
