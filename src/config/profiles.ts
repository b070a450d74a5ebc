/**
 * VM profiles: names for addresses, kept in `~/.config/vsockbox/config.yaml`.
 *
 * ```yaml
 * vms:
 *   build:
 *     address: hybrid:/run/build.vsock
 *     socket_owner: firecracker
 *   web:
 *     address: vsock:3
 *     token_file: ~/.config/vsockbox/web.token
 * ```
 */
import { readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { reasonOf, VsockboxError } from "../errors.ts";
import {
  type Address,
  formatAddress,
  isProfileName,
  parseAddress,
  withDefaultPort,
  type SocketAddress,
} from "../net/address.ts";
import { closest } from "../text/closest.ts";
import { type KeyLocation, locateKeys, yamlErrorLine } from "./profile-lines.ts";

/** Where the profiles are: XDG_CONFIG_HOME or ~/.config, then vsockbox/config.yaml. */
export function configPath(): string {
  const base = process.env["XDG_CONFIG_HOME"] || join(process.env["HOME"] || homedir(), ".config");
  return join(base, "vsockbox", "config.yaml");
}

/** What is known of a VM. */
export interface Profile {
  address: SocketAddress;
  /** Where its agent's token is kept. */
  tokenFile: string | undefined;
  /** Users who may listen on its Unix socket, as `--allow-socket-owner` has them. */
  socketOwner: string | undefined;
}

const KEYS = ["address", "token_file", "socket_owner"] as const;

function bad(path: string, message: string, line?: number): VsockboxError {
  return new VsockboxError({
    code: "CONFIG",
    operation: "read profiles from",
    address: line === undefined ? path : `${path}, line ${line}`,
    message,
    hint: `expected \`vms:\` with a map of names, each with an \`address:\`; its other keys are ${KEYS.slice(1).join(" and ")}`,
  });
}

/**
 * The profiles of a configuration text.
 *
 * @throws {VsockboxError} CONFIG, naming the file, the line where it can be told, and the key.
 */
export function parseProfiles(text: string, path: string): Map<string, Profile> {
  const document = parseYaml(text, path);
  const lines = locateKeys(text);
  if (document === null || document === undefined) return new Map();
  const top = mapOf(document);
  if (top === undefined) throw bad(path, "the document is not a map");
  checkKeys(top, ["vms"], lines, path, "");
  const vms = top["vms"];
  const located = lines.get("vms");
  if (vms === undefined || vms === null) return new Map();
  const entries = mapOf(vms);
  if (entries === undefined) throw bad(path, "vms is not a map", located?.lines[0]);
  checkDoubles(entries, located?.keys ?? new Map<string, KeyLocation>(), path, "vms.");
  return new Map(
    Object.entries(entries).map(([name, value]): [string, Profile] => [
      name,
      parseProfile(name, value, located?.keys.get(name), path),
    ]),
  );
}

function parseYaml(text: string, path: string): unknown {
  try {
    return Bun.YAML.parse(text);
  } catch (thrown) {
    throw bad(path, `it is not YAML: ${reasonOf(thrown).message}`, yamlErrorLine(text));
  }
}

function parseProfile(
  name: string,
  value: unknown,
  located: KeyLocation | undefined,
  path: string,
): Profile {
  const lineOf = (key: string) => located?.keys.get(key)?.lines[0] ?? located?.lines[0];
  if (!isProfileName(name)) {
    throw bad(path, `${JSON.stringify(name)} cannot be a profile's name`, located?.lines[0]);
  }
  const profile = mapOf(value);
  if (profile !== undefined) {
    checkKeys(profile, KEYS, located?.keys ?? new Map<string, KeyLocation>(), path, `vms.${name}.`);
  }
  const address = profile?.["address"];
  if (typeof address !== "string" && typeof address !== "number") {
    throw bad(path, `vms.${name} has no address`, lineOf("address"));
  }
  const text = (key: (typeof KEYS)[number]) => {
    const found = profile?.[key];
    if (found === undefined || typeof found === "string") return found;
    // A uid is a number to YAML.
    if (key === "socket_owner" && typeof found === "number") return String(found);
    throw bad(path, `vms.${name}.${key} is not a text`, lineOf(key));
  };
  return {
    address: parseProfileAddress(name, String(address), lineOf("address"), path),
    tokenFile: fromHome(text("token_file")),
    socketOwner: text("socket_owner"),
  };
}

function parseProfileAddress(
  name: string,
  text: string,
  line: number | undefined,
  path: string,
): SocketAddress {
  let parsed: Address;
  try {
    parsed = parseAddress(text);
  } catch (thrown) {
    throw bad(path, `vms.${name}.address: ${reasonOf(thrown).message}`, line);
  }
  if (parsed.kind === "profile") throw bad(path, `vms.${name} names another profile`, line);
  return parsed;
}

/** Refuses keys that are unknown or there twice. */
function checkKeys(
  map: Readonly<Record<string, unknown>>,
  known: readonly string[],
  lines: ReadonlyMap<string, KeyLocation>,
  path: string,
  prefix: string,
): void {
  checkDoubles(map, lines, path, prefix);
  for (const key of Object.keys(map)) {
    if (known.includes(key)) continue;
    const near = closest(key.replaceAll("-", "_"), known);
    const hint = near === undefined ? "" : `; did you mean ${near}?`;
    throw bad(path, `unknown key ${JSON.stringify(prefix + key)}${hint}`, lines.get(key)?.lines[0]);
  }
}

function checkDoubles(
  map: Readonly<Record<string, unknown>>,
  lines: ReadonlyMap<string, KeyLocation>,
  path: string,
  prefix: string,
): void {
  for (const [key, { lines: found }] of lines) {
    if (found.length > 1 && Object.hasOwn(map, key))
      throw bad(path, `${prefix}${key} is there twice`, found[1]);
  }
}

function fromHome(path: string | undefined): string | undefined {
  return path?.startsWith("~/") ? join(process.env["HOME"] || homedir(), path.slice(2)) : path;
}

function mapOf(value: unknown): Record<string, unknown> | undefined {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : undefined;
}

/**
 * The configured profiles; none where there is no file.
 *
 * @throws {VsockboxError} CONFIG.
 */
export function loadProfiles(path: string = configPath()): Map<string, Profile> {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (thrown) {
    const error = reasonOf(thrown);
    if (error.errno === "ENOENT" || error.errno === "ENOTDIR") return new Map();
    throw bad(path, error.message);
  }
  return parseProfiles(text, path);
}

/**
 * An address as the user wrote it, ready to be used: a profile's name looked up, the port filled in.
 *
 * @throws {VsockboxError} USAGE for a malformed address, CONFIG for a name that no profile has.
 */
export function resolveAddress(text: string, defaultPort?: number): SocketAddress {
  const parsed = parseAddress(text);
  const address = parsed.kind === "profile" ? lookUp(parsed.name, parsed.port) : parsed;
  return defaultPort === undefined ? address : withDefaultPort(address, defaultPort);
}

function lookUp(name: string, port: number | undefined): SocketAddress {
  const profiles = loadProfiles();
  const address = profiles.get(name)?.address;
  if (address === undefined) {
    const names = [...profiles.keys()];
    throw new VsockboxError({
      code: "CONFIG",
      operation: "look up profile",
      address: JSON.stringify(name),
      message: `there is no such profile in ${configPath()}`,
      hint:
        names.length === 0
          ? "write an address instead (3:5000, hybrid:/run/vm.vsock, unix:/run/x.sock), or add it under `vms:`"
          : `the profiles are ${names.join(", ")}`,
    });
  }
  if (port === undefined) return address;
  if (address.kind === "unix") {
    throw new VsockboxError({
      code: "USAGE",
      operation: "look up profile",
      address: `${name}:${port}`,
      message: `it stands for ${formatAddress(address)}, which has no ports`,
    });
  }
  return { ...address, port };
}

/** The profile that an address names; undefined for other addresses. */
export function profileOf(text: string): Profile | undefined {
  const parsed = parseAddress(text);
  return parsed.kind === "profile" ? loadProfiles().get(parsed.name) : undefined;
}
