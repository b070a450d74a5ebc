/** What clients of the bridge have sent reaches the guest, also if they close right behind it. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { ERRNO } from "../../src/ffi/errno.ts";
import { closeDescriptor, shutdownRead, writeDescriptor } from "../../src/ffi/socket.ts";
import { openUnixListener } from "../../src/net/listen.ts";
import { eventually, Running, shell, ScratchDirectory } from "../support/binary.ts";
import { acceptFrom, readAll } from "../support/local-device.ts";
import { connectUnix } from "../support/raw-vmm.ts";

const PORT = 1234;
const CLIENTS = 20;

let scratch: ScratchDirectory;
let path: string;
let prefix: string;
let bridge: Running;
let server: Server | undefined;
beforeEach(async () => {
  scratch = new ScratchDirectory();
  [path, prefix] = [scratch.file("vm.vsock"), scratch.file("guest")];
  bridge = new Running(["bridge", "--uds-path", path, "--to", `unix:${prefix}`]);
  await bridge.says("listening on");
});
afterEach(async () => {
  server?.close();
  await bridge[Symbol.asyncDispose]();
  scratch[Symbol.dispose]();
});

interface Received {
  bytes: number;
  hasEnded: boolean;
}

/** A service of the guest that counts what each of its clients sends. */
async function serve(greet: (socket: Socket) => void): Promise<Received[]> {
  const all: Received[] = [];
  server = createServer({ allowHalfOpen: true }, (socket) => {
    const received = { bytes: 0, hasEnded: false };
    all.push(received);
    socket.on("error", () => undefined);
    socket.on("data", (chunk) => (received.bytes += chunk.length));
    socket.on("end", () => {
      received.hasEnded = true;
      socket.end();
    });
    greet(socket);
  });
  await new Promise<void>((resolve) => server?.listen(`${prefix}_${PORT}`, resolve));
  return all;
}

describe.each([
  ["a few bytes", 6],
  ["more than all buffers hold", 3_000_000],
])("%s of clients that close right after them", (_, size) => {
  test.each<[string, (socket: Socket) => void]>([
    ["reads at once", () => undefined],
    ["greets first", (socket) => socket.write("220 welcome\n")],
    [
      "greets with more than its client's buffers hold",
      (socket) => socket.write(Buffer.alloc(1_000_000)),
    ],
    [
      "is slow",
      (socket) => {
        socket.pause();
        setTimeout(() => socket.resume(), 300);
      },
    ],
  ])("reach a service that %s", async (_name, greet) => {
    const before = readdirSync(`/proc/${bridge.pid}/fd`).length;
    const received = await serve(greet);
    const one = `{ printf 'CONNECT ${PORT}\\n'; head -c ${size} /dev/zero; } | socat -u - UNIX-CONNECT:${path}`;
    const { status, stderr } = await shell(`for i in $(seq ${CLIENTS}); do ${one} & done; wait`);
    expect([status, stderr]).toEqual([0, ""]);
    const ended = () => received.filter(({ hasEnded }) => hasEnded).length;
    await eventually("all have ended", () => ended() === CLIENTS);
    expect(received.map(({ bytes }) => bytes)).toEqual(Array.from({ length: CLIENTS }, () => size));
    const left = () => readdirSync(`/proc/${bridge.pid}/fd`).length;
    await eventually("no descriptor is left", () => left() <= before);
  });
});

describe("a side that shuts down reading", () => {
  async function join(): Promise<{ client: number; service: number }> {
    const listener = openUnixListener({ kind: "unix", path: `${prefix}_${PORT}` });
    const client = connectUnix(path);
    writeDescriptor(client, Buffer.from(`CONNECT ${PORT}\n`));
    let service: number | undefined;
    const isAccepted = () => (service = acceptFrom(listener)) !== undefined;
    await eventually("it is connected", isAccepted);
    closeDescriptor(listener.fd);
    return { client, service: service ?? -1 };
  }

  test.each<["client" | "service", "client" | "service"]>([
    ["service", "client"],
    ["client", "service"],
  ])("as the %s ends the writing of the %s, and goes on to write", async (deaf, writer) => {
    const ends = await join();
    shutdownRead(ends[deaf]);
    const isRefused = () => writeDescriptor(ends[writer], new Uint8Array(1000)) === -ERRNO.EPIPE;
    await eventually("the writer gets EPIPE", isRefused);
    writeDescriptor(ends[deaf], Buffer.from("still here"));
    let text = "";
    await eventually("it arrives", () => {
      text += readAll(ends[writer])?.toString() ?? "";
      return text.endsWith("still here");
    });
    closeDescriptor(ends.client);
    closeDescriptor(ends.service);
  });
});
