/** Serves the channels that a host opens: one request each, with a result or an error at its end. */
import { toVsockboxError, VsockboxError } from "../../errors.ts";
import { bytesPath } from "../../files/bytes-path.ts";
import { dialEndpoint, listenEndpoint } from "../../net/endpoint.ts";
import { type Endpoint, formatEndpoint } from "../../text/endpoint.ts";
import { onAbort } from "../../io/deadline.ts";
import type { SocketStream } from "../../io/stream.ts";
import { Stream } from "../../protocols/agent/channel-frames.ts";
import {
  type AttachOperation,
  type ChannelRequest,
  decodeChannelRequest,
  decodeExecControl,
  type GetOperation,
  type KillOperation,
  type LogsOperation,
  type PutOperation,
  type WatchOperation,
} from "../../protocols/agent/channel-requests.ts";
import type { ExecOperation } from "../../protocols/agent/exec-request.ts";
import type { JsonObject } from "../../protocols/agent/json-fields.ts";
import { encodeConnectionRecord } from "../../protocols/agent/connection-records.ts";
import { encodeOutputTime } from "../../protocols/agent/output-records.ts";
import { encodeMetricRecord } from "../../protocols/agent/metric-records.ts";
import type { Metric } from "../../protocols/prometheus/text.ts";
import type { ExitStatus } from "../../process/exit-status.ts";
import { homeOf, systemUsers } from "../../process/users.ts";
import type { Channel } from "../channel/channel.ts";
import type { ChannelConnection } from "../channel/channel-connection.ts";
import { joinChannel } from "../channel/channel-pipe.ts";
import type { AgentCounters } from "./agent-counters.ts";
import type { ConnectionList } from "./connection-list.ts";
import { confine } from "./command-context.ts";
import { startStatus } from "./go-request.ts";
import { receiveExecRequest } from "./exec-request.ts";
import type { DetachedSession, DetachedSessions } from "./detached-sessions.ts";
import { runFileRequest } from "./file-requests.ts";
import { guestInfo } from "./guest-info.ts";
import type { MemoryBudget } from "../channel/memory-budget.ts";
import type { LogPiece, OutputLog, TimedPiece } from "./output-log.ts";
import { requestText } from "./request-text.ts";
import { serveMount } from "./mount-request.ts";
import { ServedCommand } from "./running-command.ts";
import { openDestinationDirectory } from "../transfer/transfer.ts";
import { TreeReceiver } from "../transfer/tree-receiver.ts";
import { TreeSender } from "../transfer/tree-sender.ts";
import { nextTurn } from "../../io/fair-turns.ts";

/** Output below this size, in bytes, is followed by a turn of the event loop before the next read. */
const SMALL_OUTPUT_BYTES = 32 * 1024;

/** State that the requests of all connections share. */
export interface AgentServices {
  readonly detached: DetachedSessions;
  /** Limit of all buffers together. */
  readonly budget: MemoryBudget;
  /** Confinement that is added to that of every request. */
  readonly sandbox: readonly string[];
  /** Counts the connections that are being served. */
  readonly openSessions: () => number;
  readonly counters: AgentCounters;
  readonly connections: ConnectionList;
  /** Collects the metrics of the agent and its guest. */
  readonly metrics: () => Promise<readonly Metric[]>;
  /** Powers off or reboots the guest; undefined if the agent is not its init. */
  readonly power: ((action: "poweroff" | "reboot") => void) | undefined;
  /** Fires when the agent stops: sessions end their commands and report the reason to their hosts. */
  readonly stopping: AbortSignal;
}

/** Serves the channels of one connection. */
export class ChannelRequests {
  readonly #services: AgentServices;
  readonly #connection: () => ChannelConnection;
  readonly #onRequest: (text: string) => Disposable;
  readonly #running = new Set<Promise<void>>();

  /** @param onRequest is called for each request; its result is disposed at the end of the request. */
  constructor(
    services: AgentServices,
    connection: () => ChannelConnection,
    onRequest: (text: string) => Disposable,
  ) {
    this.#services = services;
    this.#connection = connection;
    this.#onRequest = onRequest;
  }

  /** Serves one channel. Never throws. */
  serve(channel: Channel, value: JsonObject): void {
    const served = this.#serve(channel, value).finally(() => this.#running.delete(served));
    this.#running.add(served);
  }

  /** Resolves when all commands and connections that channels have started have ended. */
  async finished(): Promise<void> {
    await Promise.all(this.#running);
  }

  async #serve(channel: Channel, value: JsonObject): Promise<void> {
    try {
      const request = decodeChannelRequest(value);
      using _listed = this.#onRequest(requestText(request));
      channel.finish(await this.#perform(channel, request));
    } catch (thrown) {
      channel.fail(toVsockboxError(thrown, "serve"));
    }
  }

  #perform(channel: Channel, request: ChannelRequest): Promise<JsonObject> | JsonObject {
    const { detached } = this.#services;
    switch (request.op) {
      case "exec":
        return this.#exec(channel, request);
      case "attach":
        return this.#attach(channel, request);
      case "logs":
        return sendOutput(channel, detached.find(request.id), request);
      case "kill":
        return this.#kill(request);
      case "sessions":
        return { sessions: detached.list().map((session) => session.describe()) };
      case "put":
        return receiveFiles(channel, request);
      case "get":
        return sendFiles(channel, request);
      case "dial":
        return this.#dial(channel, request.endpoint);
      case "listen":
        return this.#listen(channel, request.endpoint);
      case "home":
        return { home: homeOf(request.user, systemUsers()) };
      case "info":
        return guestInfo({
          open: this.#services.openSessions(),
          detached: detached.running,
          budget: this.#services.budget,
        });
      case "metrics":
        return this.#metrics(channel);
      case "connections":
        return this.#listConnections(channel);
      case "watch":
        return this.#watch(channel, request);
      case "mount":
        return serveMount(channel, request, this.#services.stopping);
      case "power":
        return this.#power(request.action);
      default:
        return runFileRequest(channel, request);
    }
  }

  async #exec(channel: Channel, opened: ExecOperation): Promise<JsonObject> {
    const request = confine(await receiveExecRequest(channel, opened), this.#services.sandbox);
    if (request.detach) {
      const session = await this.#services.counters.countStart("detached", () =>
        this.#services.detached.start(request),
      );
      return { id: session.id, pid: session.command.pid };
    }
    let command: ServedCommand;
    try {
      command = await this.#services.counters.countStart("attached", async () => {
        const started = ServedCommand.start(request);
        await started.started();
        return started;
      });
    } catch (thrown) {
      // Clients without the feature `argv` read a failed start as a result.
      if (request.program.kind !== "go") throw thrown;
      const error = toVsockboxError(thrown, "run command");
      return { exit_code: startStatus(error), error: error.message };
    }
    return this.#runJoined(channel, command, request.input);
  }

  /** Runs a command that ends with its channel. */
  async #runJoined(channel: Channel, command: ServedCommand, input: boolean): Promise<JsonObject> {
    channel.control({ pid: command.pid });
    channel.onControl = (value) => command.control(decodeExecControl(value));
    void feed(channel, command, input);
    const ended = command.pump(async (stream, bytes) => {
      await channel.send(stream, bytes);
      // A command that writes without pause fills its pipe in the meantime: fewer and larger pieces.
      if (bytes.length < SMALL_OUTPUT_BYTES) await nextTurn();
    });
    const outcome = await this.#untilClosed(channel, ended);
    if (outcome === "closed" || outcome === "stopping") {
      await command.terminate();
      throw endedBy(outcome);
    }
    command.release();
    return exitResult(outcome);
  }

  /** Waits for `work`, the peer's close of the channel, or the agent's stop, whichever comes first. */
  async #untilClosed<T>(channel: Channel, work: Promise<T>): Promise<T | "closed" | "stopping"> {
    const { stopping } = this.#services;
    const first = Promise.withResolvers<T | "closed" | "stopping">();
    using _stop = onAbort(stopping, () => first.resolve("stopping"));
    void channel.peerClosed.then(() => first.resolve("closed"));
    work.then(first.resolve, () => first.resolve("closed"));
    return await first.promise;
  }

  #attach(channel: Channel, request: AttachOperation): Promise<JsonObject> {
    const session = this.#services.detached.find(request.id);
    const { command } = session;
    channel.onControl = (value) => command.control(decodeExecControl(value));
    if (request.tty !== undefined) command.control({ kind: "resize", size: request.tty });
    void feed(channel, command, true, request.halfClose);
    return sendOutput(channel, session, { offset: request.offset, follow: true });
  }

  async #kill(request: KillOperation): Promise<JsonObject> {
    const { detached } = this.#services;
    const session = detached.find(request.id);
    const wasRunning = session.exit === undefined;
    if (request.signal !== undefined) {
      session.command.control({ kind: "signal", signal: request.signal });
    } else if (wasRunning) {
      await session.command.terminate();
      await session.done;
    }
    if (request.remove && session.exit !== undefined) detached.remove(session);
    return { ...session.describe(), wasRunning };
  }

  async #dial(channel: Channel, endpoint: Endpoint): Promise<JsonObject> {
    const stream = await dialEndpoint(endpoint);
    channel.control({ connected: true });
    await this.#join(channel, stream);
    return {};
  }

  /** Joins a channel to a connection of the guest until both have ended, or the agent stops. */
  async #join(channel: Channel, stream: SocketStream): Promise<void> {
    using _stop = onAbort(this.#services.stopping, () => {
      const reason = endedBy("stopping");
      channel.fail(reason);
      stream.abort(reason);
    });
    await joinChannel(channel, stream);
  }

  /** Every connection to the listener becomes a channel that the agent opens. */
  async #listen(channel: Channel, endpoint: Endpoint): Promise<JsonObject> {
    const listener = listenEndpoint(endpoint, (stream) => {
      const accepted = this.#connection().open({ op: "accepted", listener: channel.id });
      const joined = this.#join(accepted, stream);
      this.#running.add(joined);
      void joined.finally(() => this.#running.delete(joined));
    });
    channel.control({ listening: formatEndpoint(listener.endpoint) });
    try {
      const endless = new Promise<never>(() => undefined);
      const outcome = await this.#untilClosed(channel, endless);
      throw endedBy(outcome);
    } finally {
      listener.close();
    }
  }

  async #metrics(channel: Channel): Promise<JsonObject> {
    for (const metric of await this.#services.metrics()) {
      await channel.sendRecord(encodeMetricRecord(metric));
    }
    channel.end();
    return {};
  }

  async #listConnections(channel: Channel): Promise<JsonObject> {
    for (const connection of this.#services.connections.describe()) {
      await channel.sendRecord(encodeConnectionRecord(connection));
    }
    channel.end();
    return {};
  }

  async #watch(channel: Channel, request: WatchOperation): Promise<JsonObject> {
    // Loaded only here: an agent that watches nothing starts without it.
    const { openRequestedWatch, sendChanges } = await import("./watch-request.ts");
    using watch = await openRequestedWatch(request);
    const ended = sendChanges(channel, watch).then(
      () => undefined,
      (thrown: unknown) => toVsockboxError(thrown, "watch"),
    );
    const outcome = await this.#untilClosed(channel, ended);
    if (outcome === undefined) return {};
    throw typeof outcome === "string" ? endedBy(outcome) : outcome;
  }

  #power(action: "poweroff" | "reboot"): JsonObject {
    const { power } = this.#services;
    if (power === undefined) {
      throw new VsockboxError({
        code: "REFUSED",
        operation: action === "poweroff" ? "power off" : "reboot",
        message: "this agent is not the init of its VM",
        hint: "only an agent started with --init as process 1 can end its VM",
      });
    }
    power(action);
    return {};
  }
}

function endedBy(why: "closed" | "stopping"): VsockboxError {
  return new VsockboxError({
    code: why === "closed" ? "ABORTED" : "TRANSPORT",
    operation: "serve",
    message: why === "closed" ? "the host has disconnected" : "the agent was stopped",
  });
}

function exitResult({ code, signal }: ExitStatus): JsonObject {
  return { exit_code: code, ...(signal === undefined ? {} : { signal }) };
}

/** Writes the host's input to a command; `endInput`: the host's End closes the command's input. */
async function feed(
  channel: Channel,
  command: ServedCommand,
  input: boolean,
  endInput = true,
): Promise<void> {
  if (!input) await command.endInput();
  try {
    for (;;) {
      const item = await channel.next();
      if (item === undefined) break;
      if (input && item.kind === "data" && item.stream === Stream.Input) {
        await command.write(item.bytes);
      }
    }
    if (input && endInput && !channel.isClosed) await command.endInput();
  } catch {
    // The channel has failed, which its other users report.
  }
}

/** What is sent of a session's output. */
type SentOutput = Pick<LogsOperation, "offset" | "follow"> & Partial<LogsOperation>;

/** A piece of output, with its time if that is sent too. */
type Piece = LogPiece & Partial<TimedPiece>;

/** Sends a session's output from where the request begins. */
async function sendOutput(
  channel: Channel,
  session: DetachedSession,
  request: SentOutput,
): Promise<JsonObject> {
  const { log } = session;
  let offset = firstOffset(log, request);
  channel.control({ begin: log.begin, end: log.end, tty: session.tty });
  // Without this the loop would wait at the end of the log for a peer that has closed the channel.
  void channel.peerClosed.then(() => log.wake());
  let dropped = 0;
  let sentTimeMs: number | undefined;
  while (!channel.isClosed) {
    // Without times whole pieces are sent: fewer and larger frames.
    const piece: Piece | undefined =
      request.timestamps === true ? log.readTimed(offset) : log.read(offset);
    if (piece === undefined) {
      if (session.exit !== undefined || !request.follow) break;
      await log.changed;
      continue;
    }
    if (piece.offset > offset) {
      dropped += piece.offset - offset;
      channel.control({ dropped: piece.offset - offset });
    }
    if (piece.timeMs !== undefined && piece.timeMs !== sentTimeMs) {
      sentTimeMs = piece.timeMs;
      await channel.sendRecord(encodeOutputTime(sentTimeMs));
    }
    await channel.send(piece.stream, piece.bytes);
    offset = piece.offset + piece.bytes.length;
  }
  const exit = session.exit === undefined ? {} : exitResult(session.exit);
  return { ...exit, offset, dropped };
}

/** Returns the offset of the first byte that a request asks for: the last one of its beginnings. */
function firstOffset(log: OutputLog, { offset, tail, sinceMs }: SentOutput): number {
  return Math.max(
    offset ?? log.begin,
    tail === undefined ? 0 : log.offsetOfLastLines(tail),
    sinceMs === undefined ? 0 : log.offsetSince(Date.now() - sinceMs),
  );
}

async function receiveFiles(channel: Channel, request: PutOperation): Promise<JsonObject> {
  const receiver = new TreeReceiver(channel, request);
  const path = bytesPath(request.path);
  await receiver.receive(openDestinationDirectory(path), path);
  return receiver.summary.toJSON();
}

async function sendFiles(channel: Channel, request: GetOperation): Promise<JsonObject> {
  const sender = new TreeSender(channel, request);
  await sender.send(bytesPath(request.path), request.name);
  channel.end();
  return sender.summary.toJSON();
}
