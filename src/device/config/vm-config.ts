/** The configuration of one VM of `hybrid-proxy`: its keys, defaults and limits, and the check of values. */
import { type Operation } from "../../operations.ts";
import { VsockboxError, type ErrorCode } from "../../errors.ts";
import { UNIX_PATH_MAX_BYTES } from "../../ffi/sockaddr.ts";
import { ANY, CID_HOST } from "../../net/address.ts";
import { MAX_RECORD_PAYLOAD_BYTES } from "../../protocols/pcap/vsock-record.ts";
import { LONGEST_DURATION, readDuration, readU32 } from "../../text/quantities.ts";
import { isOwner, LARGEST_VM_SIZE, readMode, readVmSize } from "./vm-values.ts";

/** One device: its side towards the VMM, and its back end on the host. */
export interface VmConfig {
  guestCid: number;
  /** The vhost-user socket that the VMM connects to. */
  socket: string;
  /** The socket's mode; undefined: 0600. */
  socketMode?: number | undefined;
  /** Owner of the socket as `USER`, `USER:GROUP` or `:GROUP`; undefined: this process's user. */
  socketOwner?: string | undefined;
  backend: HybridBackend;
  /** Buffer for the guest's bytes of one connection, in bytes; undefined: grows with use. */
  txBufferSize?: number | undefined;
  queueSize: number;
  /** VMs that share a group reach each other. */
  groups: string[];
  /** Limit of connections; further ones are refused. */
  maxConnections: number;
  /** Timeout of the guest's answer to a REQUEST of the host; undefined: the default. */
  connectTimeoutMs?: number | undefined;
  /** Bytes of payload per second; undefined: no limit. */
  rateToGuest?: number | undefined;
  rateFromGuest?: number | undefined;
  /** Bytes at once after a pause, in each direction; undefined: those of a tenth of a second. */
  burst?: number | undefined;
  /** A capture from the start on. */
  capture?: CaptureConfig | undefined;
}

/** A capture that starts with the device. */
export interface CaptureConfig {
  file: string;
  /** Bytes of each payload that are stored; undefined: the default. */
  payloadBytes: number | undefined;
}

/** The back end of a device on the host. */
export type HybridBackend =
  | {
      kind: "unix";
      udsPath: string;
      /** A SOCK_SEQPACKET socket for clients of the guest's seqpacket ports. */
      seqpacketPath?: string | undefined;
      /** Timeout of a client's CONNECT line; undefined: the default. */
      lineTimeoutMs?: number | undefined;
      /** Mode and owner of both sockets, as of the VMM's. */
      udsMode?: number | undefined;
      udsOwner?: string | undefined;
    }
  | {
      kind: "vsock";
      forwardCid: number;
      forwardListen: number[];
      forwardListenSeqpacket?: number[];
    };

/** The keys of a VM, as options spell them; in other forms `_` stands for `-` too. */
export const VM_KEYS = [
  "guest-cid",
  "socket",
  "socket-mode",
  "socket-owner",
  "uds-path",
  "seqpacket-path",
  "uds-mode",
  "uds-owner",
  "forward-cid",
  "forward-listen",
  "forward-listen-seqpacket",
  "tx-buffer-size",
  "queue-size",
  "groups",
  "max-connections",
  "connect-timeout",
  "line-timeout",
  "rate-to-guest",
  "rate-from-guest",
  "burst",
  "capture",
  "capture-bytes",
] as const;

/** One of {@link VM_KEYS}. */
export type VmKey = (typeof VM_KEYS)[number];

/** Defaults of the keys. */
export const VM_DEFAULTS = {
  guestCid: 3,
  txBufferSize: 65_536,
  queueSize: 1024,
  groups: ["default"],
  /** The limit of Firecracker. */
  maxConnections: 1023,
  /** The default of connect(2) on AF_VSOCK: VSOCK_DEFAULT_CONNECT_TIMEOUT of Linux. */
  connectTimeoutMs: 2000,
  lineTimeoutMs: 10_000,
} as const;

const QUEUE_SIZE_MAX = 32_768;
const U32_MAX = 0xffff_ffff;

/** Each connection needs a descriptor: Linux's default limit for a process, fs.nr_open. */
const CONNECTIONS_MAX = 1_048_576;

/** Lowest rate in bytes per second: below it, a connection that waits looks broken. */
const RATE_MIN = 4096;

/** The source of a VM's values, for errors. */
export interface ValueSource {
  code: ErrorCode;
  operation: Operation;
  /** The file or option. */
  address: string;
  hint: string;
  /** Returns a key as it is spelled in the source. */
  name(key: VmKey): string;
}

/** The values that are set, as text. */
export type RawVm = ReadonlyMap<VmKey, string>;

/** Returns the error for the values of a VM. */
export function vmConfigError(source: ValueSource, message: string): VsockboxError {
  const { code, operation, address, hint } = source;
  return new VsockboxError({ code, operation, address, message, hint });
}

/** Reads the values of one VM, each with its check. */
class Values {
  readonly #raw: RawVm;
  readonly #source: ValueSource;
  readonly #sourceOf: (key: VmKey) => ValueSource;

  constructor(raw: RawVm, source: ValueSource, sourceOf: (key: VmKey) => ValueSource) {
    this.#raw = raw;
    this.#source = source;
    this.#sourceOf = sourceOf;
  }

  name(key: VmKey): string {
    return this.#source.name(key);
  }

  fail(key: VmKey, message: string): VsockboxError {
    return vmConfigError(this.#sourceOf(key), `${this.name(key)}: ${message}`);
  }

  #read<T>(key: VmKey, read: (text: string) => T | undefined, expected: string): T | undefined {
    const text = this.#raw.get(key);
    if (text === undefined) return undefined;
    const value = read(text);
    if (value === undefined) throw this.#invalid(key, text, expected);
    return value;
  }

  #invalid(key: VmKey, text: string, expected: string): VsockboxError {
    const message = `invalid value ${JSON.stringify(text)} for ${this.name(key)}: expected ${expected}`;
    return vmConfigError(this.#sourceOf(key), message);
  }

  integer(key: VmKey, min: number, max: number): number | undefined {
    const read = (text: string) => {
      const value = readU32(text);
      return value !== undefined && value >= min && value <= max ? value : undefined;
    };
    return this.#read(key, read, `a whole number from ${min} to ${max}`);
  }

  filePath(key: VmKey): string | undefined {
    const text = this.#raw.get(key);
    if (text === "") throw this.fail(key, "the path is empty");
    if (text?.includes("\0")) throw this.fail(key, "the path has a NUL byte");
    return text;
  }

  /** Reads the path of a socket. */
  path(key: VmKey): string | undefined {
    const text = this.filePath(key);
    if (text === undefined) return undefined;
    const bytes = Buffer.byteLength(text);
    if (bytes > UNIX_PATH_MAX_BYTES) {
      throw this.fail(key, `the path has ${bytes} bytes, the limit is ${UNIX_PATH_MAX_BYTES}`);
    }
    return text;
  }

  list(key: VmKey): string[] | undefined {
    const text = this.#raw.get(key);
    if (text === undefined) return undefined;
    const items = text.split("+");
    if (items.includes("")) {
      const message =
        text === "" ? "the list is empty" : `${JSON.stringify(text)} has an empty part`;
      throw this.fail(key, message);
    }
    return items;
  }

  ports(key: VmKey): number[] | undefined {
    return this.list(key)?.map((text) => {
      const port = readU32(text);
      if (port !== undefined && port < U32_MAX) return port;
      throw this.#invalid(key, text, `a whole number from 0 to ${U32_MAX - 1}`);
    });
  }

  mode(key: VmKey): number | undefined {
    return this.#read(key, readMode, "a mode of three octal digits such as 0660");
  }

  owner(key: VmKey): string | undefined {
    const read = (text: string) => (isOwner(text) ? text : undefined);
    return this.#read(key, read, "USER, USER:GROUP or :GROUP");
  }

  /** Reads a duration in milliseconds. */
  duration(key: VmKey): number | undefined {
    const read = (text: string) => {
      const milliseconds = readDuration(text);
      return milliseconds !== undefined && milliseconds > 0 ? milliseconds : undefined;
    };
    return this.#read(
      key,
      read,
      `a duration above 0, up to ${LONGEST_DURATION}, such as 10, 1.5s, 500ms or 2m`,
    );
  }

  size(key: VmKey, min: number): number | undefined {
    const read = (text: string) => {
      const bytes = readVmSize(text);
      return bytes !== undefined && bytes >= min ? bytes : undefined;
    };
    return this.#read(
      key,
      read,
      `a size from ${min} bytes to ${LARGEST_VM_SIZE}, such as 65536, 64K, 10M or 1G`,
    );
  }
}

/** Checks the values of one VM, and adds defaults. */
export function resolveVm(
  raw: RawVm,
  source: ValueSource,
  sourceOf: (key: VmKey) => ValueSource = () => source,
): VmConfig {
  const values = new Values(raw, source, sourceOf);
  const socket = values.path("socket");
  if (socket === undefined) throw vmConfigError(source, `${source.name("socket")} is missing`);
  const backend = backendOf(values, source);
  const queueSize = values.integer("queue-size", 2, QUEUE_SIZE_MAX) ?? VM_DEFAULTS.queueSize;
  if ((queueSize & (queueSize - 1)) !== 0) {
    throw values.fail("queue-size", `${queueSize} is not a power of two`);
  }
  const limits = {
    rateToGuest: values.size("rate-to-guest", RATE_MIN),
    rateFromGuest: values.size("rate-from-guest", RATE_MIN),
    burst: values.size("burst", 1),
  };
  if (limits.burst !== undefined && (limits.rateToGuest ?? limits.rateFromGuest) === undefined) {
    const [to, from] = [source.name("rate-to-guest"), source.name("rate-from-guest")];
    throw values.fail("burst", `it requires ${to} or ${from}`);
  }
  return {
    guestCid: values.integer("guest-cid", CID_HOST + 1, ANY - 1) ?? VM_DEFAULTS.guestCid,
    socket,
    socketMode: values.mode("socket-mode"),
    socketOwner: values.owner("socket-owner"),
    backend,
    txBufferSize: values.integer("tx-buffer-size", 1, U32_MAX),
    queueSize,
    groups: [...new Set(values.list("groups") ?? VM_DEFAULTS.groups)],
    maxConnections:
      values.integer("max-connections", 1, CONNECTIONS_MAX) ?? VM_DEFAULTS.maxConnections,
    connectTimeoutMs: values.duration("connect-timeout"),
    ...limits,
    ...captureOf(values, source),
  };
}

function captureOf(values: Values, source: ValueSource): { capture?: CaptureConfig } {
  const file = values.filePath("capture");
  const payloadBytes = values.integer("capture-bytes", 0, MAX_RECORD_PAYLOAD_BYTES);
  if (file !== undefined) return { capture: { file, payloadBytes } };
  if (payloadBytes === undefined) return {};
  throw values.fail("capture-bytes", `it requires ${source.name("capture")}`);
}

function backendOf(values: Values, source: ValueSource): HybridBackend {
  const udsPath = values.path("uds-path");
  const forwardCid = values.integer("forward-cid", 0, ANY - 1);
  if (udsPath !== undefined && forwardCid !== undefined) {
    throw values.fail("forward-cid", `it conflicts with ${source.name("uds-path")}`);
  }
  const unix = {
    seqpacketPath: values.path("seqpacket-path"),
    udsMode: values.mode("uds-mode"),
    udsOwner: values.owner("uds-owner"),
    lineTimeoutMs: values.duration("line-timeout"),
  };

  const forwardListen = values.ports("forward-listen");
  const forwardListenSeqpacket = values.ports("forward-listen-seqpacket");
  const requireFor = (required: VmKey, dependents: readonly [VmKey, unknown][]) => {
    const first = dependents.find(([, value]) => value !== undefined);
    if (first !== undefined) throw values.fail(first[0], `it requires ${source.name(required)}`);
  };
  if (forwardCid === undefined) {
    requireFor("forward-cid", [
      ["forward-listen", forwardListen],
      ["forward-listen-seqpacket", forwardListenSeqpacket],
    ]);
  }
  if (udsPath !== undefined) return { kind: "unix", udsPath, ...unix };
  requireFor("uds-path", [
    ["seqpacket-path", unix.seqpacketPath],
    ["uds-mode", unix.udsMode],
    ["uds-owner", unix.udsOwner],
    ["line-timeout", unix.lineTimeoutMs],
  ]);
  if (forwardCid !== undefined) {
    const seqpacket = forwardListenSeqpacket === undefined ? {} : { forwardListenSeqpacket };
    return { kind: "vsock", forwardCid, forwardListen: forwardListen ?? [], ...seqpacket };
  }
  const [uds, cid] = [source.name("uds-path"), source.name("forward-cid")];
  throw vmConfigError(source, `${uds} or ${cid} is required`);
}
