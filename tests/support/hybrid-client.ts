/** A client of a hybrid-vsock Unix socket, as others write them: without anything of vsockbox. */
import { connect, type Socket } from "node:net";

/** Connects to a port of the guest, and waits for `OK <n>`. */
export function connectHybrid(udsPath: string, port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path: udsPath, allowHalfOpen: true });
    let line = "";
    const onEnd = () => {
      socket.destroy();
      reject(new Error("closed without an answer"));
    };
    const onData = (chunk: Buffer) => {
      const end = chunk.indexOf(10);
      line += chunk.subarray(0, end === -1 ? chunk.length : end).toString();
      if (end === -1) return;
      socket.off("data", onData);
      socket.off("end", onEnd);
      socket.pause();
      if (end + 1 < chunk.length) socket.unshift(chunk.subarray(end + 1));
      if (/^OK \d+$/.test(line)) resolve(socket);
      else reject(new Error(`the answer is ${JSON.stringify(line)}`));
    };
    socket.on("data", onData);
    socket.on("end", onEnd);
    socket.on("error", reject);
    socket.write(`CONNECT ${port}\n`);
  });
}

/** Writes everything that `chunks` gives, as fast as the other side takes it, and ends the output. */
export async function writeAll(socket: Socket, chunks: Iterable<Uint8Array>): Promise<void> {
  for (const chunk of chunks) {
    if (socket.write(chunk)) continue;
    await new Promise((resolve) => socket.once("drain", resolve));
  }
  socket.end();
}

/** Everything until the other side's end. */
export async function readAll(socket: Socket, onChunk: (chunk: Uint8Array) => void): Promise<void> {
  for await (const chunk of socket) onChunk(chunk as Uint8Array);
}
