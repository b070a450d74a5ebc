/**
 * The VMs of `hybrid-proxy`, from its options, from `--vm key=value,…` or from a YAML file:
 *
 * ```yaml
 * vms:
 *   - guest_cid: 3
 *     socket: /tmp/vhost3.socket
 *     uds_path: /tmp/vm3.vsock
 *     groups: group1+groupA
 *   - guest_cid: 4
 *     socket: /tmp/vhost4.socket
 *     forward-cid: 1
 *     forward-listen: 9001+9002
 * ```
 */
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { reasonOf, VsockboxError } from "../../errors.ts";
import { controlPathOf } from "../../protocols/hybrid/control.ts";
import { closest } from "../../text/closest.ts";
import { parseInteger } from "../../text/quantities.ts";
import { yamlErrorLine } from "../../config/profile-lines.ts";
import { locateVms, type VmLocation } from "./yaml-lines.ts";
import {
  bad,
  type RawVm,
  resolveVm,
  type Source,
  VM_KEYS,
  type VmConfig,
  type VmKey,
} from "./vm-config.ts";

export {
  type HybridBackend,
  VM_DEFAULTS,
  VM_KEYS,
  type VmConfig,
  type VmKey,
} from "./vm-config.ts";

/** 2^32 - 1 is VMADDR_PORT_ANY. */
const MAX_PORT = 0xffff_fffe;

const PATH_KEYS: ReadonlySet<VmKey> = new Set(["socket", "uds-path", "seqpacket-path", "capture"]);

interface SourcedVm {
  config: VmConfig;
  source: Source;
}

/**
 * The one VM of `--guest-cid`, `--socket` and so on.
 *
 * @throws {VsockboxError} USAGE, naming the option.
 */
export function vmFromOptions(options: Readonly<Partial<Record<VmKey, string>>>): VmConfig {
  const raw = new Map<VmKey, string>();
  for (const key of VM_KEYS) {
    const value = options[key];
    if (value !== undefined) raw.set(key, value);
  }
  const source: Source = {
    code: "USAGE",
    operation: "read the options of",
    address: "the VM",
    hint: "needed are --socket PATH and one of --uds-path PATH and --forward-cid CID",
    name: (key) => `--${key}`,
  };
  const config = resolveVm(raw, source);
  checkTogether([{ config, source }]);
  return config;
}

/**
 * The VMs of the values of `--vm`.
 *
 * @throws {VsockboxError} USAGE, naming the value and the key.
 */
export function vmsFromWords(words: readonly string[]): VmConfig[] {
  return checkTogether(
    words.map((word) => {
      const source: Source = {
        code: "USAGE",
        operation: "read --vm",
        address: JSON.stringify(word),
        hint: `write key=value with commas between; the keys are ${VM_KEYS.join(", ")}`,
        name: (key) => key,
      };
      const pairs = word.split(",").map((part): [string, string] => {
        const equals = part.indexOf("=");
        if (equals <= 0) throw bad(source, `${JSON.stringify(part)} is no key=value`);
        return [part.slice(0, equals), part.slice(equals + 1)];
      });
      return { config: resolveVm(rawVm(pairs, source), source), source };
    }),
  );
}

/**
 * The VMs of a YAML (or JSON) text.
 *
 * @throws {VsockboxError} CONFIG, naming the file, the VM, its line where it can be told, and the
 * key.
 */
export function vmsFromYaml(text: string, path: string): VmConfig[] {
  const source: Source = {
    code: "CONFIG",
    operation: "read VMs from",
    address: path,
    hint: `expected \`vms:\` with a list of maps; the keys are ${VM_KEYS.join(", ")}`,
    name: (key) => key,
  };
  let document: unknown;
  try {
    document = Bun.YAML.parse(text);
  } catch (thrown) {
    const line = yamlErrorLine(text);
    const address = line === undefined ? path : `${path}, line ${line}`;
    throw bad({ ...source, address }, `it is no YAML: ${reasonOf(thrown).message}`);
  }
  if (!isMap(document)) throw bad(source, "the document is no map");
  for (const key of Object.keys(document)) {
    if (key !== "vms") throw bad(source, `unknown key ${JSON.stringify(key)}`);
  }
  const vms = document["vms"];
  if (!Array.isArray(vms)) throw bad(source, "vms is no list");
  if (vms.length === 0) throw bad(source, "vms is empty");
  const located = locateVms(text);
  // The lines are those of plain block style; anywhere else they could be wrong, so none is told.
  const locations = located.length === vms.length ? located : [];
  return checkTogether(
    vms.map((vm: unknown, index) => vmOfYaml(vm, index, locations[index], source)),
  );
}

/**
 * `9001+9002`, each once.
 *
 * @throws {VsockboxError} USAGE.
 */
export function parsePorts(text: string, option: string): number[] {
  const ports = text.split("+").map((port) => parseInteger(port, option, 0, MAX_PORT));
  const twice = ports.find((port, index) => ports.indexOf(port) !== index);
  if (twice === undefined) return ports;
  throw new VsockboxError({
    code: "USAGE",
    operation: `read --${option}`,
    address: JSON.stringify(text),
    message: `${twice} is given twice`,
  });
}

/**
 * The VMs of a file.
 *
 * @throws {VsockboxError} CONFIG.
 */
export function readVmsFile(path: string): VmConfig[] {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(readFileSync(path));
  } catch (thrown) {
    const { errno, message } = reasonOf(thrown);
    throw new VsockboxError({
      code: "CONFIG",
      operation: "read VMs from",
      address: path,
      message: errno === undefined ? "it is no UTF-8" : message,
      errno,
      cause: thrown,
    });
  }
  return vmsFromYaml(text, path);
}

function vmOfYaml(
  vm: unknown,
  index: number,
  location: VmLocation | undefined,
  file: Source,
): SourcedVm {
  const at = (line: number | undefined) =>
    `${file.address}, vms[${index}]${line === undefined ? "" : ` in line ${line}`}`;
  const source = { ...file, address: at(location?.line) };
  if (!isMap(vm)) throw bad(source, "it is no map");
  const inLine = (key: string): Source => ({ ...source, address: at(lineOf(location, key)) });
  for (const [key, lines] of location?.keys ?? []) {
    if (lines.length > 1) throw bad({ ...source, address: at(lines[1]) }, `${key} is given twice`);
  }
  const pairs = Object.entries(vm).map(([key, value]): [string, string] => {
    // The key first: a value that is of no use to an unknown key is not the mistake.
    const known = knownKey(key, inLine(key));
    return [key, textOf(value, known, inLine(key))];
  });
  return { config: resolveVm(rawVm(pairs, source), source, inLine), source };
}

function lineOf(location: VmLocation | undefined, key: string): number | undefined {
  return location?.keys.get(normalized(key))?.[0] ?? location?.line;
}

/** A value as the command line would have it; lists may be YAML lists as well. */
function textOf(value: unknown, key: VmKey, source: Source): string {
  if (typeof value === "string") return value;
  const isNumber = typeof value === "number";
  if (isNumber && (key === "socket-mode" || key === "uds-mode")) {
    // What YAML makes of 0660, 0o660 and 660 cannot be told apart any more.
    throw bad(source, `${source.name(key)} has to be in quotes, as in "0660"`);
  }
  if (isNumber && !PATH_KEYS.has(key)) return String(value);
  const isList = key === "groups" || key.startsWith("forward-listen");
  if (isList && Array.isArray(value)) {
    return value.map((item: unknown) => textOf(item, key, source)).join("+");
  }
  throw bad(source, `${source.name(key)} has no value that fits: ${JSON.stringify(value)}`);
}

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

const normalized = (key: string) => key.replaceAll("_", "-");

function knownKey(key: string, source: Source): VmKey {
  const name = normalized(key);
  const known = VM_KEYS.find((candidate) => candidate === name);
  if (known !== undefined) return known;
  const near = closest(name, VM_KEYS);
  throw bad(
    source,
    `unknown key ${JSON.stringify(key)}${near === undefined ? "" : `; did you mean ${near}?`}`,
  );
}

function rawVm(pairs: ReadonlyArray<[string, string]>, source: Source): RawVm {
  const raw = new Map<VmKey, string>();
  for (const [key, value] of pairs) {
    const known = knownKey(key, source);
    if (raw.has(known)) throw bad(source, `${source.name(known)} is given twice`);
    raw.set(known, value);
  }
  return raw;
}

/** What two VMs, or two keys of one, cannot both have. */
function checkTogether(vms: readonly SourcedVm[]): VmConfig[] {
  const cids = new Set<number>();
  const paths = new Set<string>();
  const ports = new Set<number>();
  const take = <T>(taken: Set<T>, value: T, source: Source, key: VmKey, shown: unknown) => {
    if (taken.has(value)) throw bad(source, `${source.name(key)}: ${String(shown)} is used twice`);
    taken.add(value);
  };
  for (const { config, source } of vms) {
    take(cids, config.guestCid, source, "guest-cid", config.guestCid);
    take(paths, resolve(config.socket), source, "socket", config.socket);
    take(paths, controlPathOf(resolve(config.socket)), source, "socket", config.socket);
    const { backend, capture } = config;
    if (capture !== undefined) {
      take(paths, resolve(capture.file), source, "capture", capture.file);
    }
    if (backend.kind === "unix") {
      const { udsPath, seqpacketPath } = backend;
      take(paths, resolve(udsPath), source, "uds-path", udsPath);
      if (seqpacketPath !== undefined) {
        take(paths, resolve(seqpacketPath), source, "seqpacket-path", seqpacketPath);
      }
    } else {
      const { forwardListen, forwardListenSeqpacket = [] } = backend;
      for (const port of forwardListen) take(ports, port, source, "forward-listen", port);
      for (const port of forwardListenSeqpacket) {
        take(ports, port, source, "forward-listen-seqpacket", port);
      }
    }
  }
  return vms.map(({ config }) => config);
}
