/**
 * What must happen in the child between fork and exec, and the runtime does not do: supplementary
 * groups, a controlling terminal, a sandbox. Our own file is executed again, does it, and becomes
 * the command.
 */
import { VsockboxError } from "../errors.ts";
import { replaceProcess } from "../ffi/credentials.ts";
import { makeControllingTerminal, takeForeground } from "../ffi/pty.ts";
import { decodeBase64, encodeBase64 } from "../protocols/agent/base64.ts";
import { RUN_AS_WORD } from "./run-as-word.ts";
import { type InitPipes, runAsInit, runInPidNamespace } from "./pid-namespace.ts";
import { becomeRestricted, type SandboxOption } from "./sandbox.ts";
import { selfCommand } from "./self.ts";
import type { User } from "./users.ts";

/** Carries the command's environment, so that nothing in it (LD_PRELOAD…) acts on our own start. */
const INSTRUCTIONS_VARIABLE = "VSOCKBOX_RUN_AS";

interface RunAsRequest {
  argv: readonly [string, ...string[]];
  env: Readonly<Record<string, string>>;
  /** Undefined: the user stays. */
  user: User | undefined;
  /** Whether standard input is a terminal that becomes the controlling one. */
  onTerminal: boolean;
  sandbox: readonly SandboxOption[];
  /** One more argument, behind `argv`, that need not be UTF-8. */
  lastArgument?: Uint8Array | undefined;
}

/** What the re-execution is told, beside the command itself. */
interface Instructions {
  env: Readonly<Record<string, string>>;
  user: { uid: number; gid: number; groups: number[] } | null;
  /** What becomes of standard input: the session's terminal, or that with us in its foreground. */
  terminal: "controlling" | "foreground" | null;
  sandbox: readonly SandboxOption[];
  /** Not null: be PID 1 of the namespace. */
  init: InitPipes | null;
  /** One more argument in base64: the runtime's own strings lose what is not UTF-8. */
  lastArgument: string | null;
}

/** Argument vector and environment of the re-execution. */
export function runAsCommand(request: RunAsRequest): {
  argv: [string, ...string[]];
  env: Record<string, string>;
} {
  const { argv, env, user, onTerminal, sandbox, lastArgument } = request;
  return reexecution(argv, {
    env,
    user: user === undefined ? null : { uid: user.uid, gid: user.gid, groups: user.groups },
    terminal: onTerminal ? "controlling" : null,
    sandbox,
    init: null,
    lastArgument: lastArgument === undefined ? null : encodeBase64(lastArgument),
  });
}

function reexecution(words: readonly string[], instructions: Instructions) {
  const [program, ...rest] = selfCommand();
  const argv: [string, ...string[]] = [program, ...rest, RUN_AS_WORD, ...words];
  return { argv, env: { [INSTRUCTIONS_VARIABLE]: JSON.stringify(instructions) } };
}

/**
 * What the re-execution does with the words behind {@link RUN_AS_WORD}. Returns only by throwing.
 *
 * @throws {VsockboxError} REFUSED where the user cannot be changed or a right for the sandbox is
 * missing, CONFIG where the program cannot be executed.
 */
export function runAs(words: readonly string[]): never {
  const [program, ...args] = words;
  const given = process.env[INSTRUCTIONS_VARIABLE];
  if (program === undefined || given === undefined) {
    throw new VsockboxError({
      code: "USAGE",
      operation: RUN_AS_WORD,
      message: "this word is for the agent's own use",
    });
  }
  const instructions = JSON.parse(given) as Instructions;
  const { env, user, terminal, sandbox, init, lastArgument } = instructions;
  if (terminal === "controlling") makeControllingTerminal(0);
  if (init !== null) {
    const inside = sandbox.filter((option) => option !== "pid-namespace");
    runAsInit(init, reexecution(words, { ...instructions, sandbox: inside, init: null }));
  }
  if (sandbox.includes("pid-namespace")) {
    // The group that we are in has no number in the namespace, without which shells cannot give the
    // terminal back: the command gets a group of its own.
    const inside = terminal === null ? null : "foreground";
    runInPidNamespace((pipes) =>
      reexecution(words, { ...instructions, terminal: inside, init: pipes }),
    );
  }
  if (terminal === "foreground") takeForeground(0);
  becomeRestricted(user, sandbox);
  const settings = Object.entries(env).map(([name, value]) => `${name}=${value}`);
  const last = lastArgument === null ? undefined : decodeBase64(lastArgument);
  replaceProcess(program, [program, ...args, ...(last === undefined ? [] : [last])], settings);
}
