/**
 * The list of what an installation put into a tree, kept there so that it can be undone: JSON in
 * {@link manifestPath}. Pure.
 */
import { reasonOf, VsockboxError } from "../errors.ts";
import { parseJson } from "../json/bounded-json.ts";

/** Larger files are not read as a manifest: it has a dozen entries of some 200 bytes. */
export const MAX_MANIFEST_BYTES = 256 * 1024;

/** The format of {@link Manifest}; a later one that cannot be read by this code has another number. */
const FORMAT = 1;

/** What starts the agent. */
export const SERVICES = ["systemd", "openrc", "busybox", "none"] as const;

/** One of {@link SERVICES}. */
export type ServiceManager = (typeof SERVICES)[number];

/** Something in the tree that is ours. Paths are absolute, with the tree as the root. */
export type Entry =
  /** A whole file; SHA-256 of its content in hexadecimal. */
  | { kind: "file"; path: string; sha256: string }
  | { kind: "link"; path: string; target: string }
  /** Lines between marks in a file that is not ours; SHA-256 of the lines with their marks. */
  | { kind: "lines"; path: string; sha256: string }
  /** A directory that was missing. */
  | { kind: "directory"; path: string };

/** What an installation is. */
export interface Manifest {
  /** The version of vsockbox that wrote it. */
  version: string;
  service: ServiceManager;
  /** Arguments of the agent as on the command line; undefined: none. */
  agentArgs: string | undefined;
  /**
   * During an unfinished run, a part of the names of its temporary files: 12 hexadecimal
   * digits. The entries are then those from before and those of the run, and a path may have two.
   */
  unfinished: string | undefined;
  entries: readonly Entry[];
}

/** Returns the path of the manifest of an installation below `prefix`. */
export function manifestPath(prefix: string): string {
  return `${prefix}/lib/vsockbox/install.json`;
}

/** The manifest as a file's text. */
export function encodeManifest({
  version,
  service,
  agentArgs,
  unfinished,
  entries,
}: Manifest): string {
  const plain = { format: FORMAT, version, service, agentArgs, unfinished, entries };
  return `${JSON.stringify(plain, undefined, 2)}\n`;
}

/**
 * Parses the result of {@link encodeManifest}. The tree is not trusted: nothing but known kinds and
 * plain absolute paths get through.
 *
 * @throws {VsockboxError} CONFIG.
 */
export function decodeManifest(text: string, path: string): Manifest {
  const bad = (message: string) =>
    new VsockboxError({
      code: "CONFIG",
      operation: "read",
      address: path,
      message,
      hint: "with --force, `vsockbox install` writes it anew",
    });
  if (text.length > MAX_MANIFEST_BYTES) throw bad(`it has more than ${MAX_MANIFEST_BYTES} bytes`);
  let plain: unknown;
  try {
    plain = parseJson("manifest", Buffer.from(text));
  } catch (thrown) {
    throw bad(`it is not JSON: ${reasonOf(thrown).message}`);
  }
  const get = (name: string): unknown => Reflect.get(Object(plain), name);
  if (get("format") !== FORMAT) throw bad(`its format is not ${FORMAT}`);
  const { version, service, agentArgs, unfinished, entries } = {
    version: get("version"),
    service: SERVICES.find((known) => known === get("service")),
    agentArgs: get("agentArgs"),
    unfinished: get("unfinished"),
    entries: get("entries"),
  };
  if (typeof version !== "string" || service === undefined || !Array.isArray(entries)) {
    throw bad("version, service or entries are missing");
  }
  if (agentArgs !== undefined && typeof agentArgs !== "string")
    throw bad("agentArgs is not a string");
  if (unfinished !== undefined && !isMatch(unfinished, /^[0-9a-f]{12}$/)) {
    throw bad("unfinished is not the number of a run");
  }
  return {
    version,
    service,
    agentArgs,
    unfinished,
    entries: entries.map((entry: unknown, index) => {
      const read = readEntry(entry);
      if (read === undefined) throw bad(`entry ${index} is not an entry`);
      return read;
    }),
  };
}

function readEntry(entry: unknown): Entry | undefined {
  const get = (name: string): unknown => Reflect.get(Object(entry), name);
  const [kind, path, sha256, target] = [get("kind"), get("path"), get("sha256"), get("target")];
  if (!isPlainPath(path)) return undefined;
  switch (kind) {
    case "file":
    case "lines":
      return isMatch(sha256, /^[0-9a-f]{64}$/) ? { kind, path, sha256 } : undefined;
    case "link":
      return isMatch(target, /^[^\0]+$/) ? { kind, path, target } : undefined;
    case "directory":
      return { kind, path };
    default:
      return undefined;
  }
}

function isMatch(value: unknown, pattern: RegExp): value is string {
  return typeof value === "string" && pattern.test(value);
}

function isPlainPath(path: unknown): path is string {
  if (!isMatch(path, /^\/[^\0]+$/)) return false;
  return path
    .slice(1)
    .split("/")
    .every((part) => part !== "" && part !== "." && part !== "..");
}
