/** Commands that outlive their connections: listed, attached to, read and ended by their ids. */
import { randomBytes } from "node:crypto";
import { VsockboxError } from "../../errors.ts";
import type { ExitStatus } from "../../process/exit-status.ts";
import { type ExecOperation, showProgram } from "../../protocols/agent/exec-request.ts";
import type { JsonObject } from "../../protocols/agent/json-fields.ts";
import type { MemoryBudget } from "../channel/memory-budget.ts";
import { OutputLog } from "./output-log.ts";
import { ServedCommand } from "./running-command.ts";
import { countOf } from "../../text/count.ts";

/** Ended sessions that are kept; the oldest is removed first. */
const MAX_ENDED = 64;

/** Characters of a command line in lists: hundreds of sessions must fit into one answer. */
const MAX_SHOWN_COMMAND = 500;

/** A detached command. */
export class DetachedSession {
  readonly id = randomBytes(4).toString("hex");
  readonly startedAt = Date.now();
  readonly command: ServedCommand;
  readonly log: OutputLog;
  readonly #listed: { command: string; name: string | undefined; user: string | undefined };
  /** Whether it runs on a terminal. */
  readonly tty: boolean;
  /** How it ended; undefined while it runs. */
  exit: ExitStatus | undefined;
  endedAt: number | undefined;
  /** Resolves when it has ended and all its output is in the log. */
  readonly done: Promise<void>;

  constructor(request: ExecOperation, maxOutputBytes: number, budget: MemoryBudget) {
    // Only the listed parts of the request are kept: its environment may hold secrets.
    const { name, user } = request;
    this.#listed = { command: shortened(showProgram(request.program)), name, user };
    this.tty = request.tty !== undefined;
    this.command = ServedCommand.start(request);
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

  /** Its name, if the request had one. */
  get name(): string | undefined {
    return this.#listed.name;
  }

  /** Returns its entry in lists. */
  describe(): JsonObject {
    const { name, command, user } = this.#listed;
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
  /** Output that is kept of each, in bytes. */
  outputBytes: number;
  /** Limit of all buffers, which the kept output shares. */
  budget: MemoryBudget;
}

/** All detached commands of an agent. */
export class DetachedSessions {
  readonly #sessions = new Map<string, DetachedSession>();
  readonly #limits: DetachedLimits;

  constructor(limits: DetachedLimits) {
    this.#limits = limits;
  }

  /** Number of running commands. */
  get running(): number {
    return this.list().filter(({ exit }) => exit === undefined).length;
  }

  /** Returns all sessions in the order of their start. */
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
        message: `${countOf(this.#limits.sessions, "detached session runs", "detached sessions run")} already`,
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
    this.#removeOldest();
    return session;
  }

  #removeOldest(): void {
    const ended = this.list().filter(({ exit }) => exit !== undefined);
    for (const session of ended.slice(0, Math.max(0, ended.length - MAX_ENDED))) {
      this.remove(session);
    }
  }

  /**
   * Returns the session with an id, an unambiguous prefix of an id, or a name.
   *
   * @throws {VsockboxError} CONFIG if no session matches, or several do.
   */
  find(id: string): DetachedSession {
    const all = this.list();
    // A name may have been used again: the latest session with it wins.
    const named = this.#sessions.get(id) ?? all.findLast((session) => session.name === id);
    if (named !== undefined) return named;
    const [session, another] = all.filter((candidate) => candidate.id.startsWith(id));
    if (session !== undefined && another === undefined) return session;
    throw new VsockboxError({
      code: "CONFIG",
      operation: "find session",
      address: JSON.stringify(id),
      message: session === undefined ? "no such session" : "several sessions begin with it",
      hint: "`vsockbox ps` lists them",
    });
  }

  /** Removes a session and its output from the list. */
  remove(session: DetachedSession): void {
    this.#sessions.delete(session.id);
    session.log.discard();
  }

  /** Ends all running commands; returns their number. */
  async terminateAll(): Promise<number> {
    const running = this.list().filter(({ exit }) => exit === undefined);
    await Promise.all(running.map(({ command }) => command.terminate()));
    return running.length;
  }
}
