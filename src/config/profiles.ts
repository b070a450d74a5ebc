/**
 * VM profiles: names for addresses, kept in `~/.config/vsockbox/config.yaml`.
 *
 * ```yaml
 * vms:
 *   build:
 *     address: hybrid:/run/build.vsock
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
  formatAddress,
  isProfileName,
  parseAddress,
  withDefaultPort,
  type SocketAddress,
} from "../net/address.ts";

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
}

function bad(path: string, message: string): VsockboxError {
  return new VsockboxError({
    code: "CONFIG",
    operation: "read profiles from",
    address: path,
    message,
    hint: "expected `vms:` with a map of names, each with an `address:`",
  });
}

/**
 * The profiles of a configuration text.
 *
 * @throws {VsockboxError} CONFIG, naming the profile that is wrong.
 */
export function parseProfiles(text: string, path: string): Map<string, Profile> {
  let document: unknown;
  try {
    document = Bun.YAML.parse(text);
  } catch (thrown) {
    throw bad(path, `it is no YAML: ${thrown instanceof Error ? thrown.message : String(thrown)}`);
  }
  const vms = mapOf(document)?.["vms"];
  if (document !== null && document !== undefined && mapOf(document) === undefined) {
    throw bad(path, "the document is no map");
  }
  const profiles = new Map<string, Profile>();
  if (vms === undefined || vms === null) return profiles;
  const entries = mapOf(vms);
  if (entries === undefined) throw bad(path, "vms is no map");
  for (const [name, profile] of Object.entries(entries)) {
    if (!isProfileName(name)) throw bad(path, `${JSON.stringify(name)} cannot be a profile's name`);
    const address = mapOf(profile)?.["address"];
    if (typeof address !== "string" && typeof address !== "number") {
      throw bad(path, `vms.${name} has no address`);
    }
    const parsed = parseAddress(String(address));
    if (parsed.kind === "profile") throw bad(path, `vms.${name} names another profile`);
    const tokenFile = mapOf(profile)?.["token_file"];
    if (tokenFile !== undefined && typeof tokenFile !== "string") {
      throw bad(path, `vms.${name}.token_file is no path`);
    }
    profiles.set(name, { address: parsed, tokenFile: fromHome(tokenFile) });
  }
  return profiles;
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

/** The token file of the profile that an address names; undefined for other addresses. */
export function profileTokenFile(text: string): string | undefined {
  const parsed = parseAddress(text);
  return parsed.kind === "profile" ? loadProfiles().get(parsed.name)?.tokenFile : undefined;
}
