/**
 * The objects that commands print with `--json`, made from answers of agents: docs/json.md has them all.
 * Keys are snake_case with units, every key is always there, and a value that an agent did not send, or
 * sent with another type, is null.
 */
import type { FileFailures } from "../../agent/transfer/file-failures.ts";
import type { TransferSummary } from "../../agent/transfer/transfer.ts";
import { field, type JsonObject, textListField } from "../../protocols/agent/json-fields.ts";

type Scalar = string | number | boolean | null;

/** A field of a type; null for anything else. */
function typed(object: unknown, name: string, type: "string" | "number" | "boolean"): Scalar {
  const value =
    typeof object === "object" && object !== null ? field(object as JsonObject, name) : undefined;
  return typeof value === type ? (value as Scalar) : null;
}

const text = (object: unknown, name: string) => typed(object, name, "string");
const number = (object: unknown, name: string) => typed(object, name, "number");
const boolean = (object: unknown, name: string) => typed(object, name, "boolean");

const MS_PER_SECOND = 1000;

function milliseconds(seconds: Scalar): number | null {
  return typeof seconds === "number" ? seconds * MS_PER_SECOND : null;
}

/** A mode as chmod(1) writes it, such as `0644`; null if it is not a number. */
export function octalMode(mode: unknown): string | null {
  if (typeof mode !== "number" || !Number.isInteger(mode) || mode < 0) return null;
  return mode.toString(8).padStart(4, "0");
}

/** A name or path: a string, or an object with `base64` for bytes that are not UTF-8; null if absent. */
function path(object: JsonObject, name: string): unknown {
  return field(object, name) ?? null;
}

/** A detached session, of `ps` and `kill`. */
export function sessionJson(session: unknown): JsonObject {
  const object = (typeof session === "object" && session !== null ? session : {}) as JsonObject;
  const output = field(object, "output");
  return {
    id: text(object, "id"),
    name: text(object, "name"),
    pid: number(object, "pid"),
    state: text(object, "state"),
    command: text(object, "command"),
    tty: boolean(object, "tty"),
    started_ms: number(object, "startedMs"),
    ended_ms: number(object, "endedMs"),
    exit_code: number(object, "exit_code"),
    signal: text(object, "signal"),
    output_begin_bytes: number(output, "from"),
    output_end_bytes: number(output, "to"),
  };
}

/** An agent and its guest, of `info`. */
export function infoJson(info: JsonObject): JsonObject {
  const machine = (field(info, "machine") ?? {}) as JsonObject;
  const memory = field(machine, "memory");
  const buffers = field(info, "buffers");
  return {
    version: text(info, "version"),
    commit: text(info, "commit"),
    target: text(info, "target"),
    protocol: number(info, "protocol"),
    features: textListField(info, "features") ?? [],
    pid: number(info, "pid"),
    uid: number(info, "uid"),
    uptime_ms: milliseconds(number(info, "uptime")),
    sessions: number(info, "sessions"),
    detached: number(info, "detached"),
    memory_bytes: number(info, "memory"),
    buffers_used_bytes: number(buffers, "used_bytes"),
    buffers_limit_bytes: number(buffers, "limit_bytes"),
    guest: {
      hostname: text(machine, "hostname"),
      kernel: text(machine, "kernel"),
      kernel_build: text(machine, "kernelBuild"),
      architecture: text(machine, "architecture"),
      cpus: number(machine, "cpus"),
      uptime_ms: milliseconds(number(machine, "uptime")),
      load: loadOf(machine),
      memory_total_bytes: number(memory, "total"),
      memory_available_bytes: number(memory, "available"),
      time_ms: number(machine, "timeMs"),
    },
  };
}

function loadOf(machine: JsonObject): number[] {
  const load = field(machine, "load");
  return Array.isArray(load) ? load.filter((value) => typeof value === "number") : [];
}

/** A file, of `stat` and `ls`. */
export function fileJson(facts: JsonObject, common: JsonObject): JsonObject {
  return {
    ...common,
    type: text(facts, "type"),
    size_bytes: number(facts, "size"),
    mode: octalMode(field(facts, "mode")),
    uid: number(facts, "uid"),
    gid: number(facts, "gid"),
    links: number(facts, "links"),
    inode: number(facts, "inode"),
    mtime_ms: number(facts, "mtimeMs"),
    link_target: path(facts, "target"),
  };
}

/** An entry of a directory, of `ls`. */
export function entryJson(entry: JsonObject, shown: string): JsonObject {
  return fileJson(entry, { path: shown, name: path(entry, "name") });
}

/** Failures of single files, of `cp` and `rm`. */
export function failuresJson({ errors, errorCount }: FileFailures) {
  return {
    error_count: errorCount,
    errors: errors.map(({ code, message, hint, errno }) => ({
      code,
      message,
      hint: hint ?? null,
      errno: errno ?? null,
    })),
  };
}

/** The end of a transfer, of `cp` and `shell-client`. */
export function transferJson(summary: TransferSummary, seconds: number) {
  const { files, directories, links, bytes, reused } = summary;
  return {
    files,
    directories,
    links,
    size_bytes: bytes,
    reused_bytes: reused,
    ...failuresJson(summary),
    duration_ms: Math.round(seconds * MS_PER_SECOND),
  };
}
