/** One VM of `hybrid-proxy`: its keys, and the check of their values in whichever form they came. */
import { VsockboxError, type ErrorCode } from "../../errors.ts";
import { UNIX_PATH_MAX_BYTES } from "../../ffi/sockaddr.ts";
import { ANY, CID_HOST } from "../../net/address.ts";
import { readU32 } from "../../text/quantities.ts";
import { MAX_RECORD_PAYLOAD_BYTES } from "../../protocols/pcap/vsock-record.ts";
import { readDuration } from "../../text/quantities.ts";
import { isOwner, readMode, readSize } from "./vm-values.ts";

/** One device: what it is to the VMM, and where its connections go. */
export interface VmConfig {
  guestCid: number;
  /** Where the VMM connects, vhost-user. */
  socket: string;
  /** The socket's mode; undefined: 0600. */
  socketMode?: number | undefined;
  /** Whose the socket becomes, as `USER`, `USER:GROUP` or `:GROUP`; undefined: its maker's. */
  socketOwner?: string | undefined;
  backend: HybridBackend;
  /** Bytes from the guest that wait for one connection. */
  txBufferSize: number;
  queueSize: number;
  /** Devices that share one reach each other. */
  groups: string[];
  /** Connections at once; more are refused. */
  maxConnections: number;
  /** How long the guest may take to answer a request of the host; undefined: the default. */
  connectTimeoutMs?: number | undefined;
  /** Bytes of streams a second, both undefined: as many as there are. */
  rateToGuest?: number | undefined;
  rateFromGuest?: number | undefined;
  /** Bytes that may come at once after a pause, either way; undefined: a tenth of a second's. */
  burst?: number | undefined;
  /** Undefined where no packets are captured from the beginning. */
  capture?: CaptureConfig | undefined;
}

/** A capture that begins with the device. */
export interface CaptureConfig {
  file: string;
  /** Bytes of each payload that are kept; undefined for the default. */
  payloadBytes: number | undefined;
}

/** Where a device's connections go on the host. */
export type HybridBackend =
  | {
      kind: "unix";
      udsPath: string;
      /** Where host clients reach seqpacket ports of the guest: a socket of that type. */
      seqpacketPath?: string | undefined;
      /** How long a client may take for its CONNECT line; undefined: the default. */
      lineTimeoutMs?: number | undefined;
      /** As those of the VMM's socket, for both. */
      udsMode?: number | undefined;
      udsOwner?: string | undefined;
    }
  | {
      kind: "vsock";
      forwardCid: number;
      forwardListen: number[];
      forwardListenSeqpacket?: number[];
    };

/** The keys of a VM, as the command line spells them; `_` is taken in place of `-`. */
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

/** What is taken where a key is not given. */
export const VM_DEFAULTS = {
  guestCid: 3,
  txBufferSize: 65_536,
  queueSize: 1024,
  groups: ["default"],
  /** As Firecracker has it. */
  maxConnections: 1023,
  /** As long as a connect on AF_VSOCK takes by default: VSOCK_DEFAULT_CONNECT_TIMEOUT of Linux. */
  connectTimeoutMs: 2000,
  lineTimeoutMs: 10_000,
} as const;

const QUEUE_SIZE_MAX = 32_768;
const U32_MAX = 0xffff_ffff;

/** A connection is a descriptor: more than the kernel gives a process (fs.nr_open) are never there. */
const CONNECTIONS_MAX = 1_048_576;

/** Slowest rate, in bytes a second: below it what waits looks as if nobody were there. */
const RATE_MIN = 4096;

/** Where the values of a VM were read, to say so in errors. */
export interface Source {
  code: ErrorCode;
  operation: string;
  /** The file or option. */
  address: string;
  hint: string;
  /** A key as the user knows it. */
  name(key: VmKey): string;
}

/** The values that are given, as text. */
export type RawVm = ReadonlyMap<VmKey, string>;

/** What is wrong with a value, or with all of them. */
export function bad(source: Source, message: string): VsockboxError {
  const { code, operation, address, hint } = source;
  return new VsockboxError({ code, operation, address, message, hint });
}

/** The values of one VM, each read with its check. */
class Values {
  readonly #raw: RawVm;
  readonly #source: Source;
  readonly #sourceOf: (key: VmKey) => Source;

  constructor(raw: RawVm, source: Source, sourceOf: (key: VmKey) => Source) {
    this.#raw = raw;
    this.#source = source;
    this.#sourceOf = sourceOf;
  }

  name(key: VmKey): string {
    return this.#source.name(key);
  }

  fail(key: VmKey, message: string): VsockboxError {
    return bad(this.#sourceOf(key), `${this.name(key)}: ${message}`);
  }

  #read<T>(key: VmKey, read: (text: string) => T | undefined, what: string): T | undefined {
    const text = this.#raw.get(key);
    if (text === undefined) return undefined;
    const value = read(text);
    if (value === undefined) throw this.fail(key, `${JSON.stringify(text)} is no ${what}`);
    return value;
  }

  integer(key: VmKey, min: number, max: number): number | undefined {
    const read = (text: string) => {
      const value = readU32(text);
      return value !== undefined && value >= min && value <= max ? value : undefined;
    };
    return this.#read(key, read, `whole number from ${min} to ${max}`);
  }

  filePath(key: VmKey): string | undefined {
    const text = this.#raw.get(key);
    if (text === "") throw this.fail(key, "the path is empty");
    if (text?.includes("\0")) throw this.fail(key, "the path has a NUL byte");
    return text;
  }

  /** Of a socket. */
  path(key: VmKey): string | undefined {
    const text = this.filePath(key);
    if (text === undefined) return undefined;
    const bytes = Buffer.byteLength(text);
    if (bytes > UNIX_PATH_MAX_BYTES) {
      throw this.fail(key, `the path has ${bytes} bytes, the kernel takes ${UNIX_PATH_MAX_BYTES}`);
    }
    return text;
  }

  list(key: VmKey): string[] | undefined {
    const text = this.#raw.get(key);
    if (text === undefined) return undefined;
    const items = text.split("+");
    if (items.includes("")) {
      const message = text === "" ? "it is empty" : `${JSON.stringify(text)} has an empty part`;
      throw this.fail(key, message);
    }
    return items;
  }

  ports(key: VmKey): number[] | undefined {
    return this.list(key)?.map((text) => {
      const port = readU32(text);
      if (port !== undefined && port < U32_MAX) return port;
      throw this.fail(key, `${JSON.stringify(text)} is no whole number from 0 to ${U32_MAX - 1}`);
    });
  }

  mode(key: VmKey): number | undefined {
    return this.#read(key, readMode, "mode of three octal digits, as in 0660");
  }

  owner(key: VmKey): string | undefined {
    const read = (text: string) => (isOwner(text) ? text : undefined);
    return this.#read(key, read, "USER, USER:GROUP or :GROUP");
  }

  /** In milliseconds. */
  duration(key: VmKey): number | undefined {
    const read = (text: string) => {
      const milliseconds = readDuration(text);
      return milliseconds !== undefined && milliseconds > 0 ? milliseconds : undefined;
    };
    return this.#read(key, read, "duration above 0, such as 10, 1.5s, 500ms or 2m");
  }

  size(key: VmKey, min: number): number | undefined {
    const read = (text: string) => {
      const bytes = readSize(text);
      return bytes !== undefined && bytes >= min ? bytes : undefined;
    };
    return this.#read(key, read, `count of bytes from ${min} on, with K, M or G where wanted`);
  }
}

/** Checks the values of one VM, and fills in what is not given. */
export function resolveVm(
  raw: RawVm,
  source: Source,
  sourceOf: (key: VmKey) => Source = () => source,
): VmConfig {
  const values = new Values(raw, source, sourceOf);
  const socket = values.path("socket");
  if (socket === undefined) throw bad(source, `${source.name("socket")} is missing`);
  const backend = backendOf(values, source);
  const queueSize = values.integer("queue-size", 2, QUEUE_SIZE_MAX) ?? VM_DEFAULTS.queueSize;
  if ((queueSize & (queueSize - 1)) !== 0) {
    throw values.fail("queue-size", `${queueSize} is no power of two`);
  }
  const limits = {
    rateToGuest: values.size("rate-to-guest", RATE_MIN),
    rateFromGuest: values.size("rate-from-guest", RATE_MIN),
    burst: values.size("burst", 1),
  };
  if (limits.burst !== undefined && (limits.rateToGuest ?? limits.rateFromGuest) === undefined) {
    const [to, from] = [source.name("rate-to-guest"), source.name("rate-from-guest")];
    throw values.fail("burst", `it needs ${to} or ${from}`);
  }
  return {
    guestCid: values.integer("guest-cid", CID_HOST + 1, ANY - 1) ?? VM_DEFAULTS.guestCid,
    socket,
    socketMode: values.mode("socket-mode"),
    socketOwner: values.owner("socket-owner"),
    backend,
    txBufferSize: values.integer("tx-buffer-size", 1, U32_MAX) ?? VM_DEFAULTS.txBufferSize,
    queueSize,
    groups: [...new Set(values.list("groups") ?? VM_DEFAULTS.groups)],
    maxConnections:
      values.integer("max-connections", 1, CONNECTIONS_MAX) ?? VM_DEFAULTS.maxConnections,
    connectTimeoutMs: values.duration("connect-timeout"),
    ...limits,
    ...captureOf(values, source),
  };
}

function captureOf(values: Values, source: Source): { capture?: CaptureConfig } {
  const file = values.filePath("capture");
  const payloadBytes = values.integer("capture-bytes", 0, MAX_RECORD_PAYLOAD_BYTES);
  if (file !== undefined) return { capture: { file, payloadBytes } };
  if (payloadBytes === undefined) return {};
  throw values.fail("capture-bytes", `it needs ${source.name("capture")}`);
}

function backendOf(values: Values, source: Source): HybridBackend {
  const udsPath = values.path("uds-path");
  const forwardCid = values.integer("forward-cid", 0, ANY - 1);
  if (udsPath !== undefined && forwardCid !== undefined) {
    throw values.fail("forward-cid", `it excludes ${source.name("uds-path")}`);
  }
  const unix = {
    seqpacketPath: values.path("seqpacket-path"),
    udsMode: values.mode("uds-mode"),
    udsOwner: values.owner("uds-owner"),
    lineTimeoutMs: values.duration("line-timeout"),
  };

  const forwardListen = values.ports("forward-listen");
  const forwardListenSeqpacket = values.ports("forward-listen-seqpacket");
  const needs = (needed: VmKey, given: readonly [VmKey, unknown][]) => {
    const first = given.find(([, value]) => value !== undefined);
    if (first !== undefined) throw values.fail(first[0], `it needs ${source.name(needed)}`);
  };
  if (forwardCid === undefined) {
    needs("forward-cid", [
      ["forward-listen", forwardListen],
      ["forward-listen-seqpacket", forwardListenSeqpacket],
    ]);
  }
  if (udsPath !== undefined) return { kind: "unix", udsPath, ...unix };
  needs("uds-path", [
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
  throw bad(source, `neither ${uds} nor ${cid} is given`);
}
