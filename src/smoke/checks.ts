/** The checks of `vsockbox smoke`: does this kernel carry what vsockbox needs? */
import { createHash, randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { startAgent } from "../agent/server/agent-server.ts";
import { feedInput } from "../agent/client/remote-process.ts";
import { startCommand } from "../agent/client/start-command.ts";
import { VsockboxError } from "../errors.ts";
import { localCid } from "../ffi/vsock.ts";
import { ANY, CID_HOST, type SocketAddress } from "../net/address.ts";
import { dial } from "../net/dial.ts";
import { listen, type Listener } from "../net/listen.ts";
import { copy } from "../io/pump.ts";
import type { SocketStream } from "../io/stream.ts";
import { type CheckOf, expectEqual, fail } from "./check.ts";

/** How much is sent there and back in the transfer check, in bytes. */
export const TRANSFER_BYTES = 64 * 1024 * 1024;

/** A check of an address. */
type Check = CheckOf<SocketAddress>;

const bytes = (text: string) => new TextEncoder().encode(text);

async function readAll(stream: SocketStream): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of stream) text += decoder.decode(chunk, { stream: true });
  return text;
}

/** Listens with `serve` for as long as `use` runs. */
async function withListener<T>(
  address: SocketAddress,
  serve: (stream: SocketStream) => Promise<unknown>,
  use: (listener: Listener) => Promise<T>,
  options: { seqpacket?: boolean; hostOnly?: boolean } = {},
): Promise<T> {
  const failed = Promise.withResolvers<never>();
  const listener = listen(address, {
    allowed: options.hostOnly === true ? new Set([CID_HOST]) : "any",
    seqpacket: options.seqpacket,
    onConnection: (stream) => void serve(stream).catch(failed.reject),
  });
  try {
    return await Promise.race([use(listener), failed.promise]);
  } finally {
    listener.close();
    failed.promise.catch(() => undefined);
  }
}

const echo = (stream: SocketStream) => copy(stream, stream).then(() => stream.close());

const connectCheck: Check = {
  name: "listen and connect",
  run: (address) =>
    withListener(address, echo, async (listener) => {
      const stream = await dial(listener.address);
      await stream.write(bytes("ping"));
      expectEqual("the echo", new TextDecoder().decode(await stream.readExactly(4)), "ping");
      await stream.close();
      return "4 bytes there and back";
    }),
};

const halfCloseCheck: Check = {
  name: "half-close",
  run: (address) =>
    withListener(
      address,
      async (stream) => {
        const request = await readAll(stream);
        await stream.write(bytes(`answer to ${request}`));
        await stream.close();
      },
      async (listener) => {
        const stream = await dial(listener.address);
        await stream.write(bytes("question"));
        await stream.end();
        expectEqual("the answer", await readAll(stream), "answer to question");
        return "an answer came after the end of input";
      },
    ),
};

const deadPortCheck: Check = {
  name: "dead port",
  async run(address) {
    const dead = await withListener(address, echo, (listener) => Promise.resolve(listener.address));
    try {
      await dial(dead);
    } catch (thrown) {
      if (thrown instanceof VsockboxError && thrown.code === "UNAVAILABLE") {
        return `refused with ${thrown.errno ?? "no errno"}`;
      }
      throw thrown;
    }
    return fail("a port without a listener accepted a connection");
  },
};

const allowCidCheck: Check = {
  name: "allow-cid",
  run: (address) =>
    withListener(
      address,
      echo,
      async (listener) => {
        const stream = await dial(listener.address);
        const answer = await stream.read().catch(() => undefined);
        if (answer !== undefined) fail("a CID that is not allowed was served");
        await stream.close();
        return "a CID that is not in the list is refused";
      },
      { hostOnly: true },
    ),
};

const seqpacketCheck: Check = {
  name: "seqpacket",
  run: (address) =>
    withListener(
      address,
      async (stream) => {
        for (const packet of ["one", "three", "x".repeat(4000)]) await stream.write(bytes(packet));
        await stream.read();
        await stream.close();
      },
      async (listener) => {
        const stream = await dial(listener.address, { seqpacket: true });
        const sizes: number[] = [];
        for (let count = 0; count < 3; count++) sizes.push((await stream.read())?.length ?? 0);
        expectEqual("packet sizes", sizes.join(), "3,5,4000");
        await stream.write(bytes("end"));
        await stream.close();
        return "packets keep their borders";
      },
      { seqpacket: true },
    ),
};

const execCheck: Check = {
  name: "exec",
  async run(address) {
    const ignore = () => undefined;
    const quiet = { debug: ignore, info: ignore, warn: ignore };
    const agent = startAgent({
      listen: address,
      readyListen: undefined,
      allowed: "any",
      log: quiet,
    });
    try {
      const input = (async function* () {
        yield bytes("input");
      })();
      const target = { address: agent.listening, options: {} };
      const argv = ["sh", "-c", "cat; echo err >&2; exit 7"].map(bytes);
      const remote = await startCommand(
        target,
        {
          program: { kind: "vector", argv },
          workingDir: undefined,
          env: [],
          user: undefined,
          sandbox: undefined,
          tty: undefined,
          input: true,
        },
        () => undefined,
      );
      void feedInput(remote, input);
      const decoder = new TextDecoder();
      const output = { stdout: "", stderr: "" };
      for await (const piece of remote) output[piece.stream] += decoder.decode(piece.bytes);
      const { exitCode: status } = await remote.exited;
      const { stdout, stderr } = output;
      void remote.close();
      expectEqual("stdout", stdout, "input");
      expectEqual("stderr", stderr, "err\n");
      expectEqual("the exit status", status, 7);
      return "input, output, errors and exit status 7 came through the agent";
    } finally {
      await agent.stop(0);
    }
  },
};

const transferCheck: Check = {
  name: "transfer",
  run: (address) =>
    withListener(address, echo, async (listener) => {
      const stream = await dial(listener.address);
      const block = randomBytes(256 * 1024);
      const [sent, received] = [createHash("sha256"), createHash("sha256")];
      const begin = performance.now();
      const sending = (async () => {
        for (let offset = 0; offset < TRANSFER_BYTES; offset += block.length) {
          sent.update(block);
          await stream.write(block);
        }
        await stream.end();
      })();
      // If it fails, reading fails too, with the reason.
      sending.catch(() => undefined);
      let count = 0;
      for await (const chunk of stream) {
        received.update(chunk);
        count += chunk.length;
      }
      await sending;
      const seconds = (performance.now() - begin) / 1000;
      expectEqual("the count of bytes", count, TRANSFER_BYTES);
      expectEqual("the checksum", received.digest("hex"), sent.digest("hex"));
      const megabytes = TRANSFER_BYTES / 1e6 / seconds;
      return `${TRANSFER_BYTES / 1024 / 1024} MiB there and back with equal sha256, ${megabytes.toFixed(0)} MB/s each way`;
    }),
};

const cidCheck: Check = {
  name: "local CID",
  run() {
    const cid = localCid();
    return Promise.resolve(cid === ANY ? "none: only loopback" : String(cid));
  },
};

/** Loads vsock_loopback if it is missing. */
const moduleCheck: Check = {
  name: "vsock modules",
  async run() {
    const loaded = () => existsSync("/sys/module/vsock_loopback");
    if (loaded()) return "vsock_loopback is loaded";
    const modprobe = Bun.which("modprobe");
    const result =
      modprobe === null
        ? undefined
        : Bun.spawnSync([modprobe, "vsock_loopback"], { stderr: "pipe" });
    if (loaded()) return "vsock_loopback was loaded by modprobe";
    const reason = result?.stderr.toString().trim() || "modprobe does not exist";
    return fail(
      `vsock_loopback is not loaded: ${reason}`,
      "run `sudo modprobe vsock_loopback` once before (in CI: a step of its own), or use a kernel with CONFIG_VSOCKETS_LOOPBACK",
    );
  },
};

/** The checks over this address, in order. */
export function checksFor(address: SocketAddress): Check[] {
  const common = [
    connectCheck,
    halfCloseCheck,
    deadPortCheck,
    seqpacketCheck,
    execCheck,
    transferCheck,
  ];
  return address.kind === "vsock" ? [moduleCheck, cidCheck, ...common, allowCidCheck] : common;
}
