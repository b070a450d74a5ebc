/**
 * Reads the VMs of `hybrid-proxy` from its options, from `--vm key=value,…` or from a YAML file:
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
import { invalidValue, reasonOf, VsockboxError } from "../../errors.ts";
import { controlPathOf } from "../../protocols/hybrid/control.ts";
import { closest } from "../../text/closest.ts";
import { parseInteger } from "../../text/quantities.ts";
import {
  entryOf,
  parseYamlTree,
  repeatedEntry,
  type YamlMap,
  type YamlNode,
  type YamlScalar,
} from "../../config/yaml-tree.ts";
import {
  vmConfigError,
  type RawVm,
  resolveVm,
  type ValueSource,
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

/** The highest port: 2^32 - 1 is VMADDR_PORT_ANY. */
const MAX_PORT = 0xffff_fffe;

const PATH_KEYS: ReadonlySet<VmKey> = new Set(["socket", "uds-path", "seqpacket-path", "capture"]);

/** Keys whose value is octal. */
const MODE_KEYS: ReadonlySet<VmKey> = new Set(["socket-mode", "uds-mode"]);

/** Keys whose value is a name, also if it consists of digits. */
const NAME_KEYS: ReadonlySet<VmKey> = new Set(["socket-owner", "uds-owner", "groups"]);

interface SourcedVm {
  config: VmConfig;
  source: ValueSource;
}

/**
 * Reads the one VM of `--guest-cid`, `--socket` and so on.
 *
 * @throws {VsockboxError} USAGE, naming the option.
 */
export function vmFromOptions(options: Readonly<Partial<Record<VmKey, string>>>): VmConfig {
  const raw = new Map<VmKey, string>();
  for (const key of VM_KEYS) {
    const value = options[key];
    if (value !== undefined) raw.set(key, value);
  }
  const source: ValueSource = {
    code: "USAGE",
    operation: "read the options of",
    address: "the VM",
    hint: "required: --socket PATH, and either --uds-path PATH or --forward-cid CID",
    name: (key) => `--${key}`,
  };
  const config = resolveVm(raw, source);
  checkTogether([{ config, source }]);
  return config;
}

/**
 * Reads the VMs of the values of `--vm`.
 *
 * @throws {VsockboxError} USAGE, naming the value and the key.
 */
export function vmsFromWords(words: readonly string[]): VmConfig[] {
  return checkTogether(
    words.map((word) => {
      const source: ValueSource = {
        code: "USAGE",
        operation: "read --vm",
        address: JSON.stringify(word),
        hint: `write key=value with commas between; the keys are ${VM_KEYS.join(", ")}`,
        name: (key) => key,
      };
      const pairs = word.split(",").map((part): [string, string] => {
        const equals = part.indexOf("=");
        if (equals <= 0) throw vmConfigError(source, `${JSON.stringify(part)} is not key=value`);
        return [part.slice(0, equals), part.slice(equals + 1)];
      });
      return { config: resolveVm(rawVm(pairs, source), source), source };
    }),
  );
}

/**
 * Reads the VMs of a YAML (or JSON) text.
 *
 * @throws {VsockboxError} CONFIG, naming the file, the VM, its line and the key.
 */
export function vmsFromYaml(text: string, path: string): VmConfig[] {
  const source: ValueSource = {
    code: "CONFIG",
    operation: "read VMs from",
    address: path,
    hint: `expected \`vms:\` with a list of maps; the keys are ${VM_KEYS.join(", ")}`,
    name: (key) => key,
  };
  const inLine = (line: number): ValueSource => ({ ...source, address: `${path}, line ${line}` });
  const document = parseYamlTree(text, (message, line) =>
    vmConfigError(line === undefined ? source : inLine(line), message),
  );
  if (document.kind !== "map") throw vmConfigError(source, "the document is not a map");
  const other = document.entries.find(({ key }) => key !== "vms");
  if (other !== undefined) {
    throw vmConfigError(inLine(other.line), `unknown key ${JSON.stringify(other.key)}`);
  }
  const repeated = repeatedEntry(document);
  if (repeated !== undefined) throw vmConfigError(inLine(repeated.line), "vms is given twice");
  const vms = entryOf(document, "vms");
  if (vms?.value.kind !== "list") throw vmConfigError(source, "vms is not a list");
  const { items } = vms.value;
  if (items.length === 0) throw vmConfigError(source, "vms is empty");
  return checkTogether(items.map((vm, index) => vmOfYaml(vm, index, source)));
}

/**
 * Reads ports such as `9001+9002`, each at most once.
 *
 * @throws {VsockboxError} USAGE.
 */
export function parsePorts(text: string, option: string): number[] {
  const ports = text.split("+").map((port) => parseInteger(port, option, 0, MAX_PORT));
  const twice = ports.find((port, index) => ports.indexOf(port) !== index);
  if (twice === undefined) return ports;
  throw invalidValue({ value: text, name: `--${option}`, message: `${twice} is given twice` });
}

/**
 * Reads the VMs of a file.
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
      message: errno === undefined ? "the file is not UTF-8" : message,
      errno,
      cause: thrown,
    });
  }
  return vmsFromYaml(text, path);
}

function vmOfYaml(vm: YamlNode, index: number, file: ValueSource): SourcedVm {
  const at = (line: number): ValueSource => ({
    ...file,
    address: `${file.address}, vms[${index}] in line ${line}`,
  });
  const source = at(vm.line);
  if (vm.kind !== "map") throw vmConfigError(source, "the VM is not a map");
  const repeated = repeatedEntry(vm, normalized);
  if (repeated !== undefined) {
    throw vmConfigError(at(repeated.line), `${normalized(repeated.key)} is given twice`);
  }
  const pairs = vm.entries.map(({ key, line, value }): [string, string] => {
    // The key first: for an unknown key, the value is not the mistake.
    const known = knownKey(key, at(line));
    return [key, textOf(value, known, at(line))];
  });
  return { config: resolveVm(rawVm(pairs, source), source, sourceOfKey(vm, at)), source };
}

/** Returns where the error for a key's value is: in the key's line. */
function sourceOfKey(vm: YamlMap, at: (line: number) => ValueSource): (key: VmKey) => ValueSource {
  return (key) => at(vm.entries.find((entry) => normalized(entry.key) === key)?.line ?? vm.line);
}

/** Returns a value as the command line would contain it; lists may be YAML lists as well. */
function textOf(value: YamlNode, key: VmKey, source: ValueSource): string {
  const isList = key === "groups" || key.startsWith("forward-listen");
  if (isList && value.kind === "list") {
    return value.items.map((item) => scalarText(item, key, source)).join("+");
  }
  return scalarText(value, key, source);
}

function scalarText(node: YamlNode, key: VmKey, source: ValueSource): string {
  const text = node.kind === "scalar" ? textOfScalar(node, key) : undefined;
  if (text !== undefined) return text;
  const shown = node.kind === "scalar" ? JSON.stringify(node.value) : `a ${node.kind}`;
  throw vmConfigError(source, `invalid value ${shown} for ${source.name(key)}`);
}

function textOfScalar({ value, source }: YamlScalar, key: VmKey): string | undefined {
  if (typeof value === "string") return value;
  if (typeof value !== "number" || PATH_KEYS.has(key)) return undefined;
  // To YAML 0660 is the number 660, and 0o660 is 432: a mode is read from its digits.
  if (MODE_KEYS.has(key)) return source.replace(/^0o/, "0");
  return NAME_KEYS.has(key) ? source : String(value);
}

const normalized = (key: string) => key.replaceAll("_", "-");

function knownKey(key: string, source: ValueSource): VmKey {
  const name = normalized(key);
  const known = VM_KEYS.find((candidate) => candidate === name);
  if (known !== undefined) return known;
  const near = closest(name, VM_KEYS);
  throw vmConfigError(
    source,
    `unknown key ${JSON.stringify(key)}${near === undefined ? "" : `; did you mean ${near}?`}`,
  );
}

function rawVm(pairs: ReadonlyArray<[string, string]>, source: ValueSource): RawVm {
  const raw = new Map<VmKey, string>();
  for (const [key, value] of pairs) {
    const known = knownKey(key, source);
    if (raw.has(known)) throw vmConfigError(source, `${source.name(known)} is given twice`);
    raw.set(known, value);
  }
  return raw;
}

/** Checks that CIDs, paths and ports are used once over all VMs. */
function checkTogether(vms: readonly SourcedVm[]): VmConfig[] {
  const cids = new Set<number>();
  const paths = new Set<string>();
  const ports = new Set<number>();
  const claim = <T>(used: Set<T>, value: T, source: ValueSource, key: VmKey, shown: unknown) => {
    if (used.has(value))
      throw vmConfigError(source, `${source.name(key)}: ${String(shown)} is used twice`);
    used.add(value);
  };
  for (const { config, source } of vms) {
    claim(cids, config.guestCid, source, "guest-cid", config.guestCid);
    claim(paths, resolve(config.socket), source, "socket", config.socket);
    claim(paths, controlPathOf(resolve(config.socket)), source, "socket", config.socket);
    const { backend, capture } = config;
    if (capture !== undefined) {
      claim(paths, resolve(capture.file), source, "capture", capture.file);
    }
    if (backend.kind === "unix") {
      const { udsPath, seqpacketPath } = backend;
      claim(paths, resolve(udsPath), source, "uds-path", udsPath);
      if (seqpacketPath !== undefined) {
        claim(paths, resolve(seqpacketPath), source, "seqpacket-path", seqpacketPath);
      }
    } else {
      const { forwardListen, forwardListenSeqpacket = [] } = backend;
      for (const port of forwardListen) claim(ports, port, source, "forward-listen", port);
      for (const port of forwardListenSeqpacket) {
        claim(ports, port, source, "forward-listen-seqpacket", port);
      }
    }
  }
  return vms.map(({ config }) => config);
}
