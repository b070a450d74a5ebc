/** Commands over channels behind a Hello, as agents with the feature `argv` run them. */
import { holds, same } from "../expect.ts";
import type { Guest } from "../guest.ts";
import { casesOf } from "../runner.ts";
import { frame, jsonFrame, Type, type Wire } from "../wire.ts";

/** Frames that only come after a Hello. */
const ChannelType = { Open: 65, Data: 66, Record: 67, Control: 68, End: 70, Close: 71 } as const;

const CHANNEL = 1;
const WINDOW_BYTES = 2 * 1024 * 1024;

interface Ending {
  stdout: string;
  stderr: string;
  /** The payload of Close. */
  close: Record<string, Record<string, unknown> | undefined>;
}

function onChannel(type: number, payload: Uint8Array | string = ""): Buffer {
  const number = Buffer.alloc(4);
  number.writeUInt32BE(CHANNEL);
  return frame(type, Buffer.concat([number, Buffer.from(payload)]));
}

const json = (type: number, value: unknown) => onChannel(type, JSON.stringify(value));

/** A connection on which both sides have sent a Hello. */
async function greeted(guest: Guest): Promise<Wire> {
  const wire = await guest.open();
  const hello = { protocol: 1, version: "conformance", features: ["argv"], window: WINDOW_BYTES };
  await wire.send(jsonFrame(Type.Hello, hello));
  const answer = await wire.next();
  const { features = [] } =
    answer?.type === Type.Hello
      ? (JSON.parse(answer.payload.toString()) as { features?: string[] })
      : {};
  holds(features.includes("argv"), "the agent has no feature argv");
  return wire;
}

/** Everything up to the Close of the channel. */
async function ending(wire: Wire): Promise<Ending> {
  const output: [string, string, string] = ["", "", ""];
  for (;;) {
    const next = await wire.next();
    holds(next !== undefined, "the connection ended before the channel");
    if (next?.type === ChannelType.Data) {
      const stream = next.payload[4] ?? 0;
      output[stream] += next.payload.subarray(5).toString("latin1");
    }
    if (next?.type === ChannelType.Close) {
      const close = JSON.parse(next.payload.subarray(4).toString()) as Ending["close"];
      return { stdout: output[1], stderr: output[2], close };
    }
  }
}

async function run(guest: Guest, request: Record<string, unknown>): Promise<Ending> {
  const wire = await greeted(guest);
  await wire.send(json(ChannelType.Open, { op: "exec", ...request }), onChannel(ChannelType.End));
  return ending(wire);
}

const base64 = (bytes: number[]) => ({ base64: Buffer.from(bytes).toString("base64") });

export const channelCases = [
  ...casesOf("exec on a channel", "strict", {
    "a vector arrives as it is: empty words, and bytes that are not UTF-8": async (guest) => {
      const argv = ["printf", "<%s>", "", "a b", "$HOME'\"", base64([0xff, 0xfe])];
      const { stdout, close } = await run(guest, { argv });
      same("output", stdout, "<><a b><$HOME'\"><\xff\xfe>");
      same("result", close, { result: { exit_code: 0 } });
    },
    "no shell reads the environment: dots, spaces, SHELLOPTS and bytes arrive": async (guest) => {
      const environment = ["a.b-c d=1", "SHELLOPTS=noexec", "OPTIND=x", base64([0x52, 0x3d, 0xff])];
      const { stdout } = await run(guest, { argv: ["env"], environment });
      for (const setting of ["a.b-c d=1", "SHELLOPTS=noexec", "OPTIND=x", "R=\xff"]) {
        holds(stdout.split("\n").includes(setting), `${setting} is missing in ${stdout}`);
      }
    },
    "a request goes on in Records, and its input follows": async (guest) => {
      const wire = await greeted(guest);
      const more = { argv: ["echo $#; cat", "sh"], more: true };
      await wire.send(
        json(ChannelType.Open, { op: "exec", argv: ["sh", "-c"], input: true, more: true }),
        json(ChannelType.Record, more),
        json(ChannelType.Record, { argv: ["1", "2", "3"] }),
        onChannel(ChannelType.Data, Buffer.from("\0input")),
        onChannel(ChannelType.End),
      );
      const { stdout, close } = await ending(wire);
      same("output", stdout, "3\ninput");
      same("result", close, { result: { exit_code: 0 } });
    },
    "a shell_line runs in a shell, a login_shell reads its input": async (guest) => {
      const line = await run(guest, { shell_line: "echo $((1 + 1)); exit 3" });
      same("line", [line.stdout, line.close], ["2\n", { result: { exit_code: 3 } }]);
      const wire = await greeted(guest);
      await wire.send(
        json(ChannelType.Open, { op: "exec", login_shell: true, input: true }),
        onChannel(ChannelType.Data, Buffer.from("\0exit 4\n")),
        onChannel(ChannelType.End),
      );
      same("login", (await ending(wire)).close, { result: { exit_code: 4 } });
    },
    "a failed start closes with its kind, stage and errno": async (guest) => {
      const cases = [
        [{ argv: ["/no/such"] }, "not_found", "program", "ENOENT"],
        [{ argv: ["/etc/passwd"] }, "permission_denied", "program", "EACCES"],
        [{ argv: ["true"], working_dir: "/no/such" }, "bad_cwd", "directory", "ENOENT"],
        [{ argv: ["true"], user: "no-such-user" }, "user_unknown", "user", undefined],
      ] as const;
      for (const [request, kind, stage, errno] of cases) {
        const { close, stdout } = await run(guest, request);
        const error = close["error"] ?? {};
        same(
          "error",
          [error["code"], error["kind"], error["stage"], error["errno"]],
          ["NOT_STARTED", kind, stage, errno],
        );
        same("output", stdout, "");
      }
      await guest.alive();
    },
    "with the fields of an ExecRequest it is a result": async (guest) => {
      const { close } = await run(guest, { command: "/no/such", args: ["x"] });
      same("exit code", close["result"]?.["exit_code"], 127);
      const { stdout } = await run(guest, { command: "echo $A", env: { A: "b" } });
      same("output", stdout, "b\n");
    },
    "a signal does not wait behind input that is not read": async (guest) => {
      const wire = await greeted(guest);
      await wire.send(
        json(ChannelType.Open, { op: "exec", argv: ["sleep", "600"], input: true }),
        ...Array.from({ length: 15 }, () => onChannel(ChannelType.Data, Buffer.alloc(128 * 1024))),
        json(ChannelType.Control, { signal: 15 }),
      );
      same("result", (await ending(wire)).close, { result: { exit_code: 143, signal: "SIGTERM" } });
    },
    "a request without anything to run closes its channel alone": async (guest) => {
      for (const request of [{}, { argv: [] }, { argv: ["x"], shell_line: "y" }]) {
        const { close } = await run(guest, request);
        same("code", close["error"]?.["code"], "BAD_DATA");
      }
      await guest.alive();
    },
  }),
];
