/** The readers of the guest-exec protocol, and what each of them promises. */
import { parseTarget } from "../../src/guest-exec/target.ts";
import { formatAddress, parseAddress } from "../../src/net/address.ts";
import { COMMAND_MAX_BYTES, whyUnsendable } from "../../src/protocols/guest-exec/command.ts";
import { DisposableReader } from "../../src/protocols/guest-exec/disposable.ts";
import { CommandDecoder, encodeCommandFrame } from "../../src/protocols/guest-exec/frame.ts";
import { decodeReport, encodeReport, ReportReader } from "../../src/protocols/guest-exec/report.ts";
import { reasonOf } from "../../src/errors.ts";
import { type Target, Violation } from "./targets.ts";

function demand(holds: boolean, promise: string): asserts holds {
  if (!holds) throw new Violation(promise);
}

const bytes = (text: string) => new TextEncoder().encode(text);

/** What came of a stream: what was read before the error, and the error's words. */
interface Outcome {
  read: unknown[];
  error: string | undefined;
  thrown: unknown;
}

/** Reads a stream in chunks of so many bytes. */
function outcomeOf(
  input: Uint8Array,
  size: number,
  reader: { push(chunk: Uint8Array): Iterable<unknown>; finish(): void },
): Outcome {
  const read: unknown[] = [];
  try {
    for (let at = 0; at < input.length; at += size) {
      for (const one of reader.push(input.subarray(at, at + size))) read.push(one);
    }
    reader.finish();
    return { read, error: undefined, thrown: undefined };
  } catch (thrown) {
    return { read, error: reasonOf(thrown).message, thrown };
  }
}

/** A size of chunks that the input itself chooses, so that a replay has the same. */
const chunkOf = (input: Uint8Array) => 1 + ((input[0] ?? 0) % (input.length > 100 ? 97 : 7));

/** The frames by hand, from the protocol's page: what is whole, and whether all of it is. */
function referenceCommands(input: Uint8Array): { commands: string[]; valid: boolean } {
  const commands: string[] = [];
  let at = 0;
  while (at + 2 <= input.length) {
    const length = (input[at] ?? 0) + 256 * (input[at + 1] ?? 0);
    if (length > 2048 || at + 2 + length > input.length) break;
    const text = Buffer.from(input.subarray(at + 2, at + 2 + length)).toString("latin1");
    const trimmed = text.replace(/[\n\0]+$/, "");
    if (trimmed.includes("\0")) break;
    commands.push(trimmed);
    at += 2 + length;
  }
  return { commands, valid: at === input.length };
}

const latin1 = (command: unknown) => Buffer.from(command as Uint8Array).toString("latin1");

const FRAMES: Target = {
  name: "guest-exec-frames",
  corpus: [
    encodeCommandFrame(bytes("echo hello")),
    Buffer.concat(["", "a", "b\n", "c\0"].map((text) => encodeCommandFrame(bytes(text)))),
    encodeCommandFrame(new Uint8Array(COMMAND_MAX_BYTES).fill(0x78)),
    Buffer.concat([encodeCommandFrame(bytes("x".repeat(255))), encodeCommandFrame(bytes("y"))]),
  ],
  codes: ["BAD_DATA"],
  run(input) {
    const whole = outcomeOf(input, input.length || 1, new CommandDecoder());
    const cut = outcomeOf(input, chunkOf(input), new CommandDecoder());
    demand(
      Bun.deepEquals([whole.read, whole.error], [cut.read, cut.error]),
      "it does not matter how the stream is cut",
    );
    const { commands, valid } = referenceCommands(input);
    demand(Bun.deepEquals(whole.read.map(latin1), commands), "exactly the whole commands are read");
    demand(valid === (whole.error === undefined), "what is not whole is an error");
    for (const command of whole.read as Uint8Array[]) {
      demand(whyUnsendable(command, true) === undefined, "a command can be run whole");
    }
    if (whole.thrown !== undefined) throw whole.thrown;
  },
};

const DISPOSABLE: Target = {
  name: "guest-exec-single",
  corpus: [bytes("echo hi"), bytes("echo hi\n"), bytes("a\0\0\0"), bytes("x".repeat(2048))],
  codes: ["BAD_DATA"],
  run(input) {
    const reader = new DisposableReader();
    const size = chunkOf(input);
    for (let at = 0; at < input.length; at += size) reader.push(input.subarray(at, at + size));
    const command = latin1(reader.finish());
    demand(input.length <= 2048, "nothing that is too long is taken");
    demand(command === latin1(input).replace(/[\n\0]+$/, ""), "the command is what was sent");
    demand(!command.includes("\0"), "a command has no NUL");
  },
};

const SAMPLE = {
  exitCode: 137,
  signal: "SIGKILL",
  stdout: bytes("out\n"),
  stderr: Uint8Array.of(255, 0),
  durationMs: 12,
  droppedBytes: 7,
};

const REPORTS: Target = {
  name: "guest-exec-reports",
  corpus: [
    encodeReport(SAMPLE),
    encodeReport({ ...SAMPLE, signal: undefined, exitCode: 0, droppedBytes: 0 }),
    Buffer.concat([encodeReport(SAMPLE), encodeReport({ ...SAMPLE, exitCode: 1 })]),
  ],
  codes: ["BAD_DATA"],
  run(input) {
    const whole = outcomeOf(input, input.length || 1, new ReportReader());
    const cut = outcomeOf(input, 1 + chunkOf(input) * 40, new ReportReader());
    demand(
      Bun.deepEquals([whole.read, whole.error], [cut.read, cut.error]),
      "it does not matter how the stream is cut",
    );
    for (const report of whole.read as ReturnType<typeof decodeReport>[]) {
      demand(report.exitCode >= 0 && report.exitCode <= 255, "an exit code is one byte");
      const line = encodeReport(report);
      const again = decodeReport(line.subarray(0, line.length - 1));
      // 0 and -0 are the same in JSON.
      demand(JSON.stringify(again) === JSON.stringify(report), "decode(encode(x)) is x");
    }
    if (whole.thrown !== undefined) throw whole.thrown;
  },
};

const ADDRESSES: Target = {
  name: "guest-exec-target",
  corpus: [
    "1:2049",
    "-1:",
    ":1025",
    "foo:bar",
    "2",
    "unix:/run/x",
    "vsock:2:1024",
    "hybrid:/x:1",
  ].map(bytes),
  codes: ["USAGE"],
  run(input) {
    const { address, warnings } = parseTarget(new TextDecoder().decode(input));
    demand(warnings.length <= 2, "one warning for each of CID and port");
    demand(
      Bun.deepEquals(parseAddress(formatAddress(address)), address),
      "the target is an address that can be written",
    );
  },
};

/** All of them. */
export const GUEST_EXEC_TARGETS: readonly Target[] = [FRAMES, DISPOSABLE, REPORTS, ADDRESSES];
