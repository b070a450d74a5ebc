/** The suite as a host: what a guest must make of what it is sent. */
import type { SocketStream } from "../../../src/io/stream.ts";
import { type Case, frame, holds, type Program, same } from "./suite.ts";

/** Starts the guest under test; gives it and its connection. */
export interface GuestPeer {
  start(mode: "" | "persistent", options?: string): Promise<{ guest: Program; host: SocketStream }>;
}

/** Sends parts and the end of input, and waits for the guest to end. */
async function play(
  peer: GuestPeer,
  mode: "" | "persistent",
  parts: readonly (string | Uint8Array)[],
  options = "",
) {
  const { guest, host } = await peer.start(mode, options);
  for (const part of parts) await host.write(Buffer.from(part as Uint8Array));
  await host.end();
  const answer: Uint8Array[] = [];
  for await (const chunk of host) answer.push(chunk);
  await host.close();
  return { ...(await guest.end()), answer: Buffer.concat(answer).toString() };
}

const sized = (bytes: number) => `echo ${"x".repeat(bytes - 5)}`;

const MARK = "echo ran";

/** Ends a disposable command for guests that look for it as C strings do. */
const NUL = Uint8Array.of(0);

/** All cases. */
export const GUEST_CASES: readonly Case<GuestPeer>[] = [
  {
    name: "disposable: runs one command with sh -c on its own output",
    level: "required",
    run: async (peer) => {
      const { stdout, stderr } = await play(peer, "", ["echo out; echo err >&2\0"]);
      same("stdout", stdout, "out\n");
      holds(stderr.includes("err\n"), `stderr is ${JSON.stringify(stderr)}`);
    },
  },
  {
    name: "disposable: 2,047 bytes",
    level: "required",
    run: async (peer) =>
      same("stdout", (await play(peer, "", [`${sized(2047)}\0`])).stdout.length, 2043),
  },
  {
    name: "disposable: a host that keeps its end open",
    level: "required",
    run: async (peer) => {
      const { guest, host } = await peer.start("");
      await host.write(Buffer.from(`${MARK}\0`));
      same("stdout", (await guest.end()).stdout, "ran\n");
      host.abort();
    },
  },
  {
    name: "disposable: exits with the command's status",
    level: "strict",
    run: async (peer) => {
      same("exit", (await play(peer, "", ["exit 7"])).status, 7);
      same("SIGKILL", (await play(peer, "", ["kill -9 $$"])).status, 137);
    },
  },
  {
    name: "disposable: a command in two segments is one",
    level: "strict",
    run: async (peer) => {
      const { guest, host } = await peer.start("");
      await host.write(Buffer.from("echo one; ec"));
      await Bun.sleep(30);
      await host.write(Buffer.from("ho two"));
      await host.end();
      same("stdout", (await guest.end()).stdout, "one\ntwo\n");
      host.abort();
    },
  },
  {
    name: "disposable: 2,048 bytes are run, 2,049 are not, not even their beginning",
    level: "strict",
    run: async (peer) => {
      same("2,048", (await play(peer, "", [sized(2048)])).stdout.length, 2044);
      const { status, stdout } = await play(peer, "", [sized(2049)]);
      same("2,049", [status, stdout], [65, ""]);
    },
  },
  {
    name: "disposable: NUL and newline at the end are none of the command",
    level: "strict",
    run: async (peer) => {
      for (const end of ["\n", "\0", "\n\0\0"]) {
        same("stdout", (await play(peer, "", [MARK + end])).stdout, "ran\n");
      }
    },
  },
  {
    name: "disposable: a host that closes without a word brings 65",
    level: "strict",
    run: async (peer) => {
      const { status, stderr } = await play(peer, "", []);
      same("status", status, 65);
      holds(stderr !== "", "nothing is said");
    },
  },
  {
    name: "persistent: commands in order until the host closes, then 0",
    level: "required",
    run: async (peer) => {
      const commands = ["sleep 0.1; echo a", "echo b", "exit 3", "echo c"];
      const { status, stdout, answer } = await play(
        peer,
        "persistent",
        commands.map((line) => frame(line)),
      );
      same("output, status and answer", [stdout, status, answer], ["a\nb\nc\n", 0, ""]);
    },
  },
  {
    name: "persistent: lengths 255, 256 and 2,047, little-endian",
    level: "required",
    run: async (peer) => {
      const frames = [255, 256, 2047].map((length) => frame(sized(length)));
      const { stdout } = await play(peer, "persistent", frames);
      same(
        "lengths",
        stdout
          .trim()
          .split("\n")
          .map(({ length }) => length),
        [250, 251, 2042],
      );
    },
  },
  {
    name: "persistent: an empty command, and one of 2,048 bytes",
    level: "strict",
    run: async (peer) => {
      const { status, stdout } = await play(peer, "persistent", [frame(""), frame(sized(2048))]);
      same("status and length", [status, stdout.length], [0, 2044]);
    },
  },
  {
    name: "persistent: frames cut into single bytes",
    level: "strict",
    run: async (peer) => {
      const { guest, host } = await peer.start("persistent");
      for (const byte of Buffer.concat([frame("echo a"), frame("echo b")])) {
        await host.write(Uint8Array.of(byte));
        await Bun.sleep(3);
      }
      await host.end();
      same("stdout", (await guest.end()).stdout, "a\nb\n");
      host.abort();
    },
  },
  {
    name: "persistent: a length above 2,048 is named, closes, brings 65, and nothing of it is run",
    level: "strict",
    run: async (peer) => {
      for (const length of [2049, 65_535]) {
        const { guest, host } = await peer.start("persistent");
        await host.write(
          Buffer.concat([frame("echo before"), frame(`${MARK} #`.padEnd(length, "x"), length)]),
        );
        // The guest closes, though the host does not.
        const { status, stdout, stderr } = await guest.end();
        same("status and output", [status, stdout], [65, "before\n"]);
        holds(stderr.includes(String(length)), `the length is not named: ${stderr}`);
        host.abort();
      }
    },
  },
  {
    name: "persistent: an end inside a frame says how many bytes are missing, and brings 65",
    level: "strict",
    run: async (peer) => {
      const bytes = frame(`${MARK} #`.padEnd(1000, "x"));
      for (const [sent, missing] of [
        [1, 1],
        [2, 1000],
        [502, 500],
      ] as const) {
        const { status, stdout, stderr } = await play(peer, "persistent", [
          bytes.subarray(0, sent),
        ]);
        same("status and output", [status, stdout], [65, ""]);
        holds(stderr.includes(String(missing)), `${missing} is not named: ${stderr}`);
      }
    },
  },
  {
    name: "persistent: a failing command is said on stderr",
    level: "strict",
    run: async (peer) => {
      const { status, stderr } = await play(peer, "persistent", [frame("exit 43")]);
      same("status", status, 0);
      holds(stderr.includes("43"), `stderr is ${JSON.stringify(stderr)}`);
    },
  },
  {
    name: "bytes that are not UTF-8 are run byte for byte",
    level: "required",
    run: async (peer) => {
      const command = Buffer.from("printf 'a\xff\xc3(' | od -An -tx1", "latin1");
      same(
        "disposable",
        (await play(peer, "", [Buffer.concat([command, NUL])])).stdout,
        " 61 ff c3 28\n",
      );
      same(
        "persistent",
        (await play(peer, "persistent", [frame(command)])).stdout,
        " 61 ff c3 28\n",
      );
    },
  },
  {
    name: "report: a JSON line on the same socket for each command",
    level: "strict",
    run: async (peer) => {
      const frames = [frame("echo out; echo err >&2"), frame("kill -9 $$")];
      const { answer } = await play(peer, "persistent", frames, "--report");
      const lines = answer
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line) as Record<string, unknown>);
      const facts = lines.map(({ exit_code, signal, stdout, stderr, duration_ms: duration }) => [
        exit_code,
        signal,
        stdout,
        stderr,
        typeof duration,
      ]);
      same("reports", facts, [
        [0, null, "b3V0Cg==", "ZXJyCg==", "number"],
        [137, "SIGKILL", "", "", "number"],
      ]);
    },
  },
];
