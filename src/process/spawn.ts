/** Starting commands: own session and process group, real pipes, another user, a clean ending. */
import { fchownSync } from "node:fs";
import { reasonOf, VsockboxError } from "../errors.ts";
import { closeDescriptor, openPipe } from "../ffi/socket.ts";
import { StartError } from "../start-error.ts";
import { decodeUtf8, DEFAULT_PATH, type Environment } from "./environment.ts";
import { openOutput, type OutputReader } from "../io/output-reader.ts";
import { PipeWriter } from "../io/pipe.ts";
import { ProcessGroup, type StartedProcess } from "./process-group.ts";
import { findDirectory, findProgram, programError } from "./program.ts";
import { type Handover, handOver, type ResolvedSpawn } from "./start-instructions.ts";
import type { SandboxOption } from "./sandbox/sandbox-options.ts";
import { ownerOf, sandboxForUser } from "./sandbox/sandbox-user.ts";
import type { User } from "./users.ts";

/** An argument: text, or bytes that need not be UTF-8. */
export type Word = string | Uint8Array;

/** What to run. */
export interface SpawnRequest {
  /** Program and arguments; a program without a slash is looked up in the environment's PATH. */
  argv: readonly [Word, ...Word[]];
  /** What the program sees as its own name; undefined: the first word of `argv`. */
  argv0?: Word | undefined;
  /** The whole environment of the command. */
  env: Environment;
  /** Undefined: this process's directory. */
  cwd?: Word | undefined;
  /** Undefined: this process's user. */
  user?: User | undefined;
  /** What the command is kept from; undefined or empty: nothing. */
  sandbox?: readonly SandboxOption[] | undefined;
}

/** A line for the shell as an argument vector. */
export function shellCommand(line: string): [string, ...string[]] {
  return ["sh", "-c", line];
}

/** A running command with three pipes. */
export class Child extends ProcessGroup {
  readonly stdin: PipeWriter;
  readonly stdout: OutputReader;
  readonly stderr: OutputReader;

  constructor(
    process: StartedProcess,
    pipes: { stdin: PipeWriter; stdout: OutputReader; stderr: OutputReader },
  ) {
    super(process);
    this.stdin = pipes.stdin;
    this.stdout = pipes.stdout;
    this.stderr = pipes.stderr;
  }

  /** Closes this side of all pipes; input that the command has not read is dropped. */
  async closePipes(): Promise<void> {
    this.stdin.close();
    await Promise.all([this.stdout.close(), this.stderr.close()]);
  }
}

/**
 * Starts a command with three pipes.
 *
 * @throws {StartError} if the directory, the program or the right to change the user is missing; a
 * failure of a later step rejects `started` of the result.
 */
export function spawnCommand(request: SpawnRequest): Child {
  const resolved = resolveSpawn(request);
  const opened: number[] = [];
  const pipe = () => {
    const ends = openPipe();
    opened.push(ends.read, ends.write);
    return ends;
  };
  try {
    const [stdin, stdout, stderr] = [pipe(), pipe(), pipe()];
    const { owner } = resolved;
    // The command opens them anew by /dev/stdin and others; both ends are one file.
    if (owner !== undefined && process.geteuid?.() === 0) {
      for (const { read } of [stdin, stdout, stderr]) fchownSync(read, owner.uid, owner.gid);
    }
    const started = startProcess(resolved, [stdin.read, stdout.write, stderr.write]);
    opened.length = 0;
    for (const childEnd of [stdin.read, stdout.write, stderr.write]) closeDescriptor(childEnd);
    return new Child(started, {
      stdin: new PipeWriter(stdin.write),
      stdout: openOutput(stdout.read),
      stderr: openOutput(stderr.read),
    });
  } catch (thrown) {
    for (const fd of opened) closeDescriptor(fd);
    throw startError(thrown, request.argv[0]);
  }
}

/**
 * Finds program and directory first, so that each failure names which of the two it was.
 *
 * @throws {StartError} as {@link spawnCommand}.
 */
export function resolveSpawn(
  { argv, argv0, env, cwd, user, sandbox: wanted = [] }: SpawnRequest,
  onTerminal = false,
): ResolvedSpawn {
  const [first, ...rest] = argv.map(toBytes) as [Uint8Array, ...Uint8Array[]];
  if (user !== undefined) assertMayBecome(user);
  const sandbox = sandboxForUser(wanted, user?.uid ?? process.geteuid?.() ?? 0);
  const directory = findDirectory(cwd === undefined ? undefined : toBytes(cwd));
  const path = env.get("PATH") ?? Buffer.from(DEFAULT_PATH);
  return {
    program: findProgram(first, path, directory),
    argv: [argv0 === undefined ? first : toBytes(argv0), ...rest],
    env,
    cwd: directory,
    user,
    sandbox,
    owner: ownerOf(sandbox, user),
    onTerminal,
  };
}

const toBytes = (word: Word): Uint8Array =>
  typeof word === "string" ? new TextEncoder().encode(word) : word;

/** A standard stream of a child: a descriptor, or this process's own. */
export type StandardStream = number | "inherit";

/**
 * Starts a resolved command as the leader of its own session and process group.
 *
 * @param stdio stays the caller's.
 * @throws {StartError} if it cannot be started.
 */
export function startProcess(
  resolved: ResolvedSpawn,
  stdio: readonly [StandardStream, StandardStream, StandardStream],
): StartedProcess {
  const direct = directSpawn(resolved);
  let handover: Handover | undefined;
  try {
    if (direct !== undefined) {
      const subprocess = Bun.spawn(direct.argv, {
        ...direct.options,
        stdio: [...stdio],
        detached: true,
      });
      return { subprocess, started: Promise.resolve() };
    }
    // The runtime drops supplementary groups, knows neither controlling terminals nor sandboxes, and
    // passes on UTF-8 alone: our own file does all that and then becomes the command.
    handover = handOver(resolved);
    const subprocess = Bun.spawn(handover.argv, {
      env: handover.env,
      cwd: "/",
      stdio: [...stdio, ...handover.descriptors],
      detached: true,
    });
    return { subprocess, started: handover.started() };
  } catch (thrown) {
    throw startError(thrown, resolved.argv[0] ?? resolved.program);
  } finally {
    handover?.closeChildEnds();
  }
}

/** Largest uid and gid that the runtime accepts: its uid_t is signed. */
const MAX_DIRECT_ID = 0x7fff_ffff;

/** What the runtime itself can start; undefined if something of it needs the helper. */
function directSpawn({ program, argv, env, cwd, user, sandbox, onTerminal }: ResolvedSpawn) {
  if (onTerminal || sandbox.length > 0 || (user !== undefined && !isDirectUser(user))) return;
  const [path, directory, ...words] = [program, cwd, ...argv].map(decodeUtf8);
  const variables = env.toRecord();
  if (path === undefined || directory === undefined || variables === undefined) return;
  const texts = words.filter((word) => word !== undefined);
  const [argv0] = texts;
  if (texts.length < words.length || argv0 === undefined) return;
  const ids = user === undefined ? {} : { uid: user.uid, gid: user.gid };
  return {
    argv: [path, ...texts.slice(1)],
    options: { argv0, cwd: directory, env: variables, ...ids },
  };
}

const isDirectUser = ({ uid, gid, groups }: User) =>
  groups.length === 0 && uid <= MAX_DIRECT_ID && gid <= MAX_DIRECT_ID;

function assertMayBecome({ uid, gid }: User): void {
  const own = process.geteuid?.();
  if (own === 0 || (own === uid && process.getegid?.() === gid)) return;
  throw new StartError({
    kind: "permission_denied",
    stage: "user",
    operation: "run as",
    address: `${uid}:${gid}`,
    message: `only root may change the user, and the agent runs as uid ${own}`,
    errno: "EPERM",
  });
}

/** Why a command could not be started, in words. */
export function startError(thrown: unknown, program: Word): VsockboxError {
  if (thrown instanceof StartError) return thrown;
  const { errno } = reasonOf(thrown);
  return programError(program, errno);
}
