/** Starting commands: own session and process group, real pipes, another user, a clean ending. */
import { accessSync, constants, statSync } from "node:fs";
import { isAbsolute, resolve } from "node:path";
import { reasonOf, VsockboxError } from "../errors.ts";
import { closeDescriptor, openPipe } from "../ffi/socket.ts";
import { DEFAULT_PATH } from "./environment.ts";
import { PipeReader, PipeWriter } from "./pipe.ts";
import { ProcessGroup } from "./process-group.ts";
import { runAsCommand } from "./run-as.ts";
import type { SandboxOption } from "./sandbox.ts";
import type { User } from "./users.ts";

/** What to run. */
export interface SpawnRequest {
  /** Program and arguments; a program without a slash is looked up in the environment's PATH. */
  argv: readonly [string, ...string[]];
  /** One more argument, behind `argv`, that need not be UTF-8. */
  lastArgument?: Uint8Array | undefined;
  /** The whole environment of the command. */
  env: Readonly<Record<string, string>>;
  /** Undefined: this process's directory. */
  cwd?: string | undefined;
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
  readonly stdout: PipeReader;
  readonly stderr: PipeReader;

  constructor(
    subprocess: Bun.Subprocess,
    pipes: { stdin: PipeWriter; stdout: PipeReader; stderr: PipeReader },
  ) {
    super(subprocess);
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
 * @throws {VsockboxError} CONFIG where the directory is no directory, the program is not found
 * (errno ENOENT) or not executable (EACCES), or the user cannot be changed.
 */
export function spawnCommand(request: SpawnRequest): Child {
  const { argv, options } = resolveSpawn(request);
  const opened: number[] = [];
  const pipe = () => {
    const ends = openPipe();
    opened.push(ends.read, ends.write);
    return ends;
  };
  try {
    const [stdin, stdout, stderr] = [pipe(), pipe(), pipe()];
    const subprocess = Bun.spawn([...argv], {
      ...options,
      stdio: [stdin.read, stdout.write, stderr.write],
      detached: true,
    });
    opened.length = 0;
    for (const childEnd of [stdin.read, stdout.write, stderr.write]) closeDescriptor(childEnd);
    return new Child(subprocess, {
      stdin: new PipeWriter(stdin.write),
      stdout: new PipeReader(stdout.read),
      stderr: new PipeReader(stderr.read),
    });
  } catch (thrown) {
    for (const fd of opened) closeDescriptor(fd);
    throw startError(thrown, argv[0]);
  }
}

/** What `Bun.spawn` is given. */
export interface ResolvedSpawn {
  argv: readonly [string, ...string[]];
  options: { cwd: string; env: Record<string, string>; uid?: number; gid?: number };
}

/**
 * Finds program and directory first, so that each failure says which of the two it was.
 *
 * @throws {VsockboxError} as {@link spawnCommand}.
 */
export function resolveSpawn(
  { argv, lastArgument, env, cwd = process.cwd(), user, sandbox = [] }: SpawnRequest,
  onTerminal = false,
): ResolvedSpawn {
  assertDirectory(cwd);
  const program = findProgram(argv[0], env["PATH"] ?? DEFAULT_PATH, cwd);
  const text = lastArgument === undefined ? undefined : decodeUtf8(lastArgument);
  const words = text === undefined ? argv.slice(1) : [...argv.slice(1), text];
  const command: [string, ...string[]] = [program, ...words];
  const bytes = text === undefined ? lastArgument : undefined;
  if (user !== undefined) assertMayBecome(user);
  const hasGroups = user !== undefined && user.groups.length > 0;
  if (!onTerminal && !hasGroups && sandbox.length === 0 && bytes === undefined) {
    const ids = user === undefined ? {} : { uid: user.uid, gid: user.gid };
    return { argv: command, options: { cwd, env: { ...env }, ...ids } };
  }
  // The runtime drops supplementary groups, knows neither controlling terminals nor sandboxes, and
  // passes on UTF-8 alone: our own file does all that and then becomes the command.
  const runAs = runAsCommand({
    argv: command,
    env,
    // Who is not root has been found to be that user already.
    user: process.geteuid?.() === 0 ? user : undefined,
    onTerminal,
    sandbox,
    lastArgument: bytes,
  });
  return { argv: runAs.argv, options: { cwd, env: runAs.env } };
}

function decodeUtf8(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

function assertDirectory(cwd: string): void {
  const fail = (errno: string, message: string): never => {
    throw new VsockboxError({
      code: "CONFIG",
      operation: "change to directory",
      address: cwd,
      message,
      errno,
    });
  };
  try {
    if (!statSync(cwd).isDirectory()) fail("ENOTDIR", "it is no directory");
  } catch (thrown) {
    if (thrown instanceof VsockboxError) throw thrown;
    const { errno = "EIO" } = reasonOf(thrown);
    fail(errno, errno === "ENOENT" ? "no such directory" : "it cannot be entered");
  }
}

function findProgram(name: string, path: string, cwd: string): string {
  const found = name.includes("/")
    ? isAbsolute(name)
      ? name
      : resolve(cwd, name)
    : Bun.which(name, { PATH: path, cwd });
  if (found === null) {
    throw new VsockboxError({
      code: "CONFIG",
      operation: "run",
      address: name,
      message: "command not found",
      errno: "ENOENT",
      hint: `PATH is ${path}`,
    });
  }
  try {
    accessSync(found, constants.X_OK);
    if (statSync(found).isDirectory()) throw Object.assign(new Error(), { code: "EACCES" });
  } catch (thrown) {
    throw startError(thrown, name);
  }
  return found;
}

function assertMayBecome({ uid, gid }: User): void {
  const own = process.geteuid?.();
  if (own === 0 || (own === uid && process.getegid?.() === gid)) return;
  throw new VsockboxError({
    code: "REFUSED",
    operation: "run as",
    address: `${uid}:${gid}`,
    message: "only root may change the user",
    errno: "EPERM",
    hint: `the agent runs as uid ${own}; start it as root`,
  });
}

/** Why a command could not be started, in words. */
export function startError(thrown: unknown, program: string): VsockboxError {
  if (thrown instanceof VsockboxError) return thrown;
  const { errno, message } = reasonOf(thrown);
  const words: Record<string, string> = {
    ENOENT: "command not found",
    EACCES: "not executable",
    ENOEXEC: "no program that this kernel can run",
  };
  return new VsockboxError({
    code: "CONFIG",
    operation: "run",
    address: program,
    message: (errno === undefined ? undefined : words[errno]) ?? message,
    errno,
    cause: thrown,
  });
}
