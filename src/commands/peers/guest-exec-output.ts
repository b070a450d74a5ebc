/** What guest-exec-host shows: text for people, JSON lines for programs. */
import { errorJson } from "../shared/json-error.ts";
import { printableJson } from "../../text/printable.ts";
import type { ConnectedGuest } from "../../guest-exec/connected-guest.ts";
import type { HostEvents } from "../../guest-exec/host.ts";
import type { ByteSink } from "../../io/pump.ts";
import type { Log } from "../../process/service/log.ts";
import { formatPeer } from "../../io/peer.ts";
import { STATUS_TIMED_OUT } from "../../process/exit-status.ts";
import type { Report } from "../../protocols/guest-exec/report.ts";
import { prefixLines } from "../../ui/prefix-lines.ts";
import { eventOutput } from "../shared/json-output.ts";
import { countOf } from "../../text/count.ts";

/** Receives text. */
export interface TextSinks {
  stdout: ByteSink;
  stderr: ByteSink;
  /** For all that is not output. */
  log: Log;
}

/** Options of {@link textEvents}. */
export interface TextOptions {
  /** Puts the guest's name before each line of output: there may be several. */
  prefix: boolean;
  /** Without lines about connects and disconnects. */
  quiet: boolean;
}

/** Output as it is, or each line with the guest's name; talk about the rest. */
export function textEvents(
  { stdout, stderr, log }: TextSinks,
  { prefix, quiet }: TextOptions,
): HostEvents {
  const show = async (sink: ByteSink, guest: ConnectedGuest, bytes: Uint8Array) => {
    if (bytes.length === 0) return;
    await sink.write(prefix ? prefixLines(`${guest.name} | `, bytes) : bytes);
  };
  return {
    onConnected(guest) {
      if (!quiet) log.info(`guest ${guest.name} is connected (${formatPeer(guest.stream.peer)})`);
    },
    async onReport(guest, index, report) {
      await show(stdout, guest, report.stdout);
      await show(stderr, guest, report.stderr);
      const ending = describeEnding(report);
      if (!quiet && ending !== undefined) {
        log.info(`guest ${guest.name}: command ${index} ${ending}`);
      }
    },
    onEnded(guest, error) {
      if (error !== undefined) {
        log.warn(`guest ${guest.name}: ${error.message}`, error.hint);
      } else if (!quiet) {
        log.info(`guest ${guest.name} has closed`);
      }
    },
  };
}

/** Describes the end of a command that did not succeed. */
function describeEnding({ exitCode, signal, droppedBytes }: Report): string | undefined {
  const dropped =
    droppedBytes === 0
      ? ""
      : `, and ${countOf(droppedBytes, "byte")} of output ${droppedBytes === 1 ? "is" : "are"} not in its report`;
  if (signal !== undefined) {
    return exitCode === STATUS_TIMED_OUT
      ? `ran out of time${dropped}`
      : `was ended by ${signal}${dropped}`;
  }
  if (exitCode !== 0) return `exited with status ${exitCode}${dropped}`;
  return dropped === "" ? undefined : `exited with status 0${dropped}`;
}

/** An object a line, each with the guest's name. */
export function jsonEvents(stdout: ByteSink): HostEvents & { listening(address: string): void } {
  const encoder = new TextEncoder();
  const failed: { thrown?: unknown } = {};
  const emit = (event: Record<string, unknown>) =>
    stdout.write(encoder.encode(`${printableJson(event)}\n`)).catch((thrown: unknown) => {
      failed.thrown = thrown;
    });
  return {
    listening(address) {
      void emit({ event: "listening", address });
    },
    onConnected({ name, stream }) {
      void emit({ guest: name, event: "connected", peer: formatPeer(stream.peer) });
    },
    async onReport({ name }, index, report) {
      if (failed.thrown !== undefined) throw failed.thrown;
      const output = eventOutput(stdout, { guest: name, command: index });
      if (report.stdout.length > 0) await output.onStdout(report.stdout);
      if (report.stderr.length > 0) await output.onStderr(report.stderr);
      await output.onExit({
        exit_code: report.exitCode,
        signal: report.signal ?? null,
        timed_out: report.exitCode === STATUS_TIMED_OUT && report.signal !== undefined,
        duration_ms: report.durationMs,
      });
    },
    onEnded({ name, sent }, error) {
      void emit({
        guest: name,
        event: "closed",
        commands: sent,
        error: error === undefined ? null : errorJson(error),
      });
    },
  };
}
