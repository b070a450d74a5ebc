/** Commands that live on without a connection: listed, joined, read, ended by their ids. */
import { randomBytes } from "node:crypto";
import { VsockboxError } from "../../errors.ts";
import type { ExitStatus } from "../../process/exit-status.ts";
import { type ExecOperation, showProgram } from "../../protocols/agent/exec-request.ts";
import type { JsonObject } from "../../protocols/agent/json-fields.ts";
import type { MemoryBudget } from "../channel/memory-budget.ts";
import { OutputLog } from "./output-log.ts";
import { RunningCommand } from "./running-command.ts";

/** Ended sessions that are remembered; the oldest is forgotten first. */
const MAX_ENDED = 64;

/** Characters of a command line that lists show: hundreds of sessions must fit into one answer. */
const MAX_SHOWN_COMMAND = 500;

/** A detached command. */
export class DetachedSession {
  readonly id = randomBytes(4).toString("hex");
  readonly startedAt = Date.now();
  readonly command: RunningCommand;
  readonly log: OutputLog;
  readonly #shown: { command: string; name: string | undefined; user: string | undefined };
  /** Whether it runs on a terminal. */
  readonly tty: boolean;
  /** How it ended; undefined while it runs. */
  exit: ExitStatus | undefined;
  endedAt: number | undefined;
  /** Resolves when it has ended and all its output is in the log. */
  readonly done: Promise<void>;

  constructor(request: ExecOperation, maxOutputBytes: number, budget: MemoryBudget) {
    // Of the request only what lists show is kept: its environment may hold secrets.
    const { name, user } = request;
    this.#shown = { command: shortened(showProgram(request.program)), name, user };
    this.tty = request.tty !== undefined;
    this.command = RunningCommand.start(request);
    this.log = new OutputLog(maxOutputBytes, budget);
    this.done = this.#run(request.input);
  }

  async #run(input: boolean): Promise<void> {
    if (!input) void this.command.endInput();
    this.exit = await this.command.pump((stream, bytes) => {
      this.log.append(stream, bytes);
      return Promise.resolve();
    });
    this.endedAt = Date.now();
    this.log.finish();
    this.command.release();
  }

  /** What it is called, where it was given a name. */
  get name(): string | undefined {
    return this.#shown.name;
  }

  /** What lists show. */
  describe(): JsonObject {
    const { name, command, user } = this.#shown;
    return {
      id: this.id,
      pid: this.command.pid,
      state: this.exit === undefined ? "running" : "ended",
      command,
      startedMs: this.startedAt,
      output: { from: this.log.begin, to: this.log.end },
      tty: this.tty,
      ...(name === undefined ? {} : { name }),
      ...(user === undefined ? {} : { user }),
      ...(this.exit === undefined ? {} : { exit_code: this.exit.code, endedMs: this.endedAt }),
      ...(this.exit?.signal === undefined ? {} : { signal: this.exit.signal }),
    };
  }
}

function shortened(command: string): string {
  return command.length <= MAX_SHOWN_COMMAND ? command : `${command.slice(0, MAX_SHOWN_COMMAND)}…`;
}

/** Limits of {@link DetachedSessions}. */
export interface DetachedLimits {
  /** Commands that run at once. */
  sessions: number;
  /** Output that is kept of one, in bytes. */
  outputBytes: number;
  /** What the output of all has to share. */
  budget: MemoryBudget;
}

/** All detached commands of an agent. */
export class DetachedSessions {
  readonly #sessions = new Map<string, DetachedSession>();
  readonly #limits: DetachedLimits;

  constructor(limits: DetachedLimits) {
    this.#limits = limits;
  }

  /** How many run. */
  get running(): number {
    return this.list().filter(({ exit }) => exit === undefined).length;
  }

  /** All, in the order in which they were started. */
  list(): DetachedSession[] {
    return [...this.#sessions.values()];
  }

  /**
   * Starts a command that outlives its connection.
   *
   * @throws {VsockboxError} REFUSED above the limit; else as the start does.
   */
  async start(request: ExecOperation): Promise<DetachedSession> {
    if (this.running >= this.#limits.sessions) {
      throw new VsockboxError({
        code: "REFUSED",
        operation: "detach",
        message: `${this.#limits.sessions} detached sessions run already`,
        hint: "`vsockbox kill` ends one; --max-sessions of the agent is the limit",
      });
    }
    const namesake = this.list().find(
      (other) =>
        other.exit === undefined && other.name !== undefined && other.name === request.name,
    );
    if (namesake !== undefined) {
      throw new VsockboxError({
        code: "CONFIG",
        operation: "detach",
        message: `a session with the name ${JSON.stringify(request.name)} runs already`,
        hint: `it is ${namesake.id}; \`vsockbox kill\` ends it`,
      });
    }
    const session = new DetachedSession(request, this.#limits.outputBytes, this.#limits.budget);
    this.#sessions.set(session.id, session);
    try {
      await session.command.started();
    } catch (thrown) {
      this.remove(session);
      throw thrown;
    }
    this.#forgetOld();
    return session;
  }

  #forgetOld(): void {
    const ended = this.list().filter(({ exit }) => exit !== undefined);
    for (const session of ended.slice(0, Math.max(0, ended.length - MAX_ENDED))) {
      this.remove(session);
    }
  }

  /**
   * The session of an id, the unambiguous beginning of one, or a name.
   *
   * @throws {VsockboxError} CONFIG where there is none, or more than one.
   */
  find(id: string): DetachedSession {
    const all = this.list();
    // Of several that had a name one after the other the last one is meant.
    const named = this.#sessions.get(id) ?? all.findLast((session) => session.name === id);
    if (named !== undefined) return named;
    const [session, another] = all.filter((candidate) => candidate.id.startsWith(id));
    if (session !== undefined && another === undefined) return session;
    throw new VsockboxError({
      code: "CONFIG",
      operation: "find session",
      address: JSON.stringify(id),
      message: session === undefined ? "there is no such session" : "several sessions begin so",
      hint: "`vsockbox ps` lists them",
    });
  }

  /** Forgets an ended session and its output. */
  remove(session: DetachedSession): void {
    this.#sessions.delete(session.id);
    session.log.discard();
  }

  /** Ends all that run; gives how many that were. */
  async terminateAll(): Promise<number> {
    const running = this.list().filter(({ exit }) => exit === undefined);
    await Promise.all(running.map(({ command }) => command.terminate()));
    return running.length;
  }
}
