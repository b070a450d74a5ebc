/**
 * VM profiles: names for addresses, kept in `~/.config/vsockbox/config.yaml`.
 *
 * ```yaml
 * default: web
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
import {
  entryOf,
  parseYamlTree,
  repeatedEntry,
  type YamlEntry,
  type YamlMap,
  type YamlNode,
} from "./yaml-tree.ts";

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

/** The content of the file. */
export interface Configuration {
  profiles: Map<string, Profile>;
  /** The target of commands that name none, as it is written: an address or the name of a profile. */
  defaultTarget: string | undefined;
}

/**
 * Returns the whole content of a configuration text.
 *
 * @throws {VsockboxError} CONFIG, naming the file, the line and the key.
 */
export function parseConfiguration(text: string, path: string): Configuration {
  const document = parseYamlTree(text, (message, line) => bad(path, message, line));
  if (isNull(document)) return { profiles: new Map(), defaultTarget: undefined };
  if (document.kind !== "map") throw bad(path, "the document is not a map", document.line);
  checkKeys(document, ["vms", "default"], path, "");
  const profiles = readProfiles(document, path);
  return { profiles, defaultTarget: readDefault(document, profiles, path) };
}

function readDefault(
  document: YamlMap,
  profiles: ReadonlyMap<string, Profile>,
  path: string,
): string | undefined {
  const entry = entryOf(document, "default");
  if (entry === undefined || isNull(entry.value)) return undefined;
  const { value: node, line } = entry;
  // A CID is a number in YAML.
  const isNumber = node.kind === "scalar" && typeof node.value === "number";
  const text = isNumber ? node.source : node.kind === "scalar" ? node.value : undefined;
  if (typeof text !== "string") throw bad(path, "default is not a string", line);
  let address: Address;
  try {
    address = parseAddress(text);
  } catch (thrown) {
    throw bad(path, `default: ${reasonOf(thrown).message}`, line);
  }
  if (address.kind === "profile" && !profiles.has(address.name)) {
    throw bad(path, `default: ${JSON.stringify(address.name)} is not one of vms`, line);
  }
  return text;
}

function readProfiles(document: YamlMap, path: string): Map<string, Profile> {
  const vms = entryOf(document, "vms");
  if (vms === undefined || isNull(vms.value)) return new Map();
  if (vms.value.kind !== "map") throw bad(path, "vms is not a map", vms.line);
  checkRepeats(vms.value, path, "vms.");
  return new Map(
    vms.value.entries.map((entry): [string, Profile] => [entry.key, parseProfile(entry, path)]),
  );
}

function isNull(node: YamlNode): boolean {
  return node.kind === "scalar" && node.value === null;
}

function parseProfile({ key: name, line, value }: YamlEntry, path: string): Profile {
  if (!isProfileName(name)) {
    throw bad(path, `${JSON.stringify(name)} is not a valid profile name`, line);
  }
  if (value.kind !== "map") throw bad(path, `vms.${name} has no address`, line);
  checkKeys(value, KEYS, path, `vms.${name}.`);
  const text = (key: (typeof KEYS)[number]) => {
    const found = entryOf(value, key);
    if (found === undefined) return undefined;
    const { value: node } = found;
    if (node.kind === "scalar" && typeof node.value === "string") return node.value;
    // A uid and a CID are numbers in YAML.
    const isNumber = node.kind === "scalar" && typeof node.value === "number";
    if (isNumber && key !== "token_file") return node.source;
    throw bad(path, `vms.${name}.${key} is not a string`, found.line);
  };
  const address = text("address");
  if (address === undefined) throw bad(path, `vms.${name} has no address`, line);
  const addressLine = entryOf(value, "address")?.line;
  return {
    address: parseProfileAddress(name, address, addressLine, path),
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

/** Refuses keys that are unknown or appear twice. */
function checkKeys(map: YamlMap, known: readonly string[], path: string, prefix: string): void {
  checkRepeats(map, path, prefix);
  for (const { key, line } of map.entries) {
    if (known.includes(key)) continue;
    const near = closest(key.replaceAll("-", "_"), known);
    const hint = near === undefined ? "" : `; did you mean ${near}?`;
    throw bad(path, `unknown key ${JSON.stringify(prefix + key)}${hint}`, line);
  }
}

function checkRepeats(map: YamlMap, path: string, prefix: string): void {
  const repeated = repeatedEntry(map);
  if (repeated === undefined) return;
  throw bad(path, `${prefix}${repeated.key} appears twice`, repeated.line);
}

function fromHome(path: string | undefined): string | undefined {
  return path?.startsWith("~/") ? join(process.env["HOME"] || homedir(), path.slice(2)) : path;
}

/**
 * The configured profiles; none where there is no file.
 *
 * @throws {VsockboxError} CONFIG.
 */
export function loadProfiles(path?: string): Map<string, Profile> {
  return loadConfiguration(path).profiles;
}

/**
 * Returns the content of the configuration; empty without a file.
 *
 * @throws {VsockboxError} CONFIG.
 */
export function loadConfiguration(path: string = configPath()): Configuration {
  const none = { profiles: new Map(), defaultTarget: undefined };
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (thrown) {
    const error = reasonOf(thrown);
    if (error.errno === "ENOENT" || error.errno === "ENOTDIR") return none;
    throw bad(path, error.message);
  }
  return parseConfiguration(text, path);
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
      message: `no such profile in ${configPath()}`,
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
