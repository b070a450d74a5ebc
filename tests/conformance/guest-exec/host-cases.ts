/** The suite as a guest: what a host must send. */
import type { SocketStream } from "../../../src/io/stream.ts";
import { type Case, frame, holds, type Program, same } from "./suite.ts";

/** Starts the host under test with commands, a line each; connects to it as a guest. */
export interface HostPeer {
  start(
    mode: "" | "persistent",
    commands: readonly string[],
    options?: string,
  ): Promise<{ host: Program; guest: SocketStream }>;
}

async function all(stream: SocketStream): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}

const REPORT = '{"exit_code":0,"signal":null,"stdout":"aGkK","stderr":"","duration_ms":1}\n';

/** All cases. */
export const HOST_CASES: readonly Case<HostPeer>[] = [
  {
    name: "disposable: the command's bytes and nothing else, then the end of input",
    level: "required",
    run: async (peer) => {
      const { guest } = await peer.start("", ["echo hello"]);
      same("bytes", (await all(guest)).toString().replace(/[\n\0]+$/, ""), "echo hello");
      await guest.close();
    },
  },
  {
    name: "disposable: the first read has the whole command, also at 2,048 bytes",
    level: "required",
    run: async (peer) => {
      const line = `echo ${"x".repeat(2043)}`;
      const { guest } = await peer.start("", [line]);
      same("length", (await guest.read())?.length, 2048);
      await guest.close();
    },
  },
  {
    name: "persistent: a little-endian length before each command, then the end of input",
    level: "required",
    run: async (peer) => {
      const lines = ["echo a", `: ${"y".repeat(254)}`, `: ${"z".repeat(2045)}`];
      const { guest } = await peer.start("persistent", lines);
      same(
        "bytes",
        (await all(guest)).toString("latin1"),
        Buffer.concat(lines.map((line) => frame(line))).toString("latin1"),
      );
      await guest.close();
    },
  },
  {
    name: "persistent: many commands to a guest that reads slowly",
    level: "required",
    run: async (peer) => {
      const lines = Array.from({ length: 300 }, (_, index) => `echo ${index} ${"w".repeat(1500)}`);
      const { guest } = await peer.start("persistent", lines);
      await Bun.sleep(100);
      same(
        "length",
        (await all(guest)).length,
        lines.reduce((sum, line) => sum + line.length + 2, 0),
      );
      await guest.close();
    },
  },
  {
    name: "ends with 0 once the guest has closed, and reads nothing of it",
    level: "required",
    run: async (peer) => {
      const { host, guest } = await peer.start("", ["true"]);
      same("bytes", (await all(guest)).length > 0, true);
      await guest.close();
      same("status", (await host.end()).status, 0);
    },
  },
  {
    name: "a command that no guest takes is refused before one connects",
    level: "strict",
    run: async (peer) => {
      const started = await peer
        .start("persistent", [`: ${"x".repeat(2100)}`])
        .catch(() => undefined);
      if (started === undefined) return;
      const { host, guest } = started;
      const bytes = await all(guest).catch(() => Buffer.alloc(0));
      guest.abort();
      same("bytes", bytes.length, 0);
      holds((await host.end()).status !== 0, "its status is 0");
    },
  },
  {
    name: "report: output and exit status become the host's",
    level: "strict",
    run: async (peer) => {
      const { host, guest } = await peer.start("persistent", ["one", "two"], "--report");
      await guest.readExactly(10);
      await guest.write(Buffer.from(REPORT + REPORT.replace(":0,", ":9,")));
      await guest.close();
      const { status, stdout } = await host.end();
      same("status", status, 9);
      same("output", stdout, "hi\nhi\n");
    },
  },
  {
    name: "report: missing, broken and superfluous reports bring 65",
    level: "strict",
    run: async (peer) => {
      for (const answer of ["", "nonsense\n", REPORT.slice(0, 30), REPORT + REPORT]) {
        const { host, guest } = await peer.start("", ["true"], "--report");
        await guest.readExactly("true".length);
        await guest.write(Buffer.from(answer));
        await guest.close();
        same(JSON.stringify(answer), (await host.end()).status, 65);
      }
    },
  },
];
