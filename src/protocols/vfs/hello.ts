/**
 * The Hello of the VFS protocol. The guest's first request has the operation 200; a Go server answers
 * -ENOSYS, and the connection continues in its dialect. A connection whose first request is another one
 * is a Go guest's.
 */
import type { FileStat } from "../../file-stat.ts";
import type { CborMap, CborValue } from "./cbor-values.ts";
import { MAX_EXPORT_NAME_LENGTH } from "./export-name.ts";
import { packStat, unpackStat } from "./file-stat.ts";
import { bytes, booleanAt, integerIn, RefusedField, text, texts, u32 } from "./fields.ts";
import { encodeVfsFrame } from "./frame.ts";
import { HELLO, VFS_VERSION } from "./operations.ts";

const MAX_FEATURES = 64;
const MAX_FEATURE_LENGTH = 64;
const MAX_SERVER_ID_BYTES = 64;
const ERRNO_MAX = 4095;

const VERSION = integerIn("version", 0xffff);
const NAME = text("name", MAX_EXPORT_NAME_LENGTH);
const FEATURES = texts("features", MAX_FEATURES, MAX_FEATURE_LENGTH);
const ERR = integerIn("err", 0, -ERRNO_MAX);
const MAX_READ = u32("max_read");
const MAX_WRITE = u32("max_write");
const IN_FLIGHT = u32("in_flight");
const READ_ONLY = booleanAt("read_only");
const SERVER_ID = bytes("server_id", MAX_SERVER_ID_BYTES);

/** The guest's Hello. */
export interface VfsHello {
  version: number;
  /** Name of the export; empty for the first one of the host. */
  name: string;
  features: readonly string[];
}

/** The server's answer to a Hello. */
export interface VfsWelcome {
  version: number;
  /** Name of the opened export; undefined from a server that does not send it. */
  name: string | undefined;
  features: readonly string[];
  /** Largest read and write, in bytes. */
  maxReadBytes: number;
  maxWriteBytes: number;
  /** Requests that may wait for their answers at a time. */
  inFlight: number;
  isReadOnly: boolean;
  root: FileStat;
  /** Random for each start of the server: handles of another one are unknown to it. */
  serverId: Uint8Array;
}

/** Whether a first request is a Hello. */
export function isHello(map: CborMap): boolean {
  return map.get("op") === HELLO;
}

/** Returns the guest's Hello as a frame. */
export function encodeVfsHello(hello: Omit<VfsHello, "version">): Uint8Array {
  const { name, features } = hello;
  return encodeVfsFrame({ op: HELLO, version: VFS_VERSION, name, features });
}

/**
 * Reads the guest's Hello.
 *
 * @throws {RefusedField} with the errno to answer.
 */
export function readHello(map: CborMap): VfsHello {
  return {
    version: VERSION.read(map.get(VERSION.key)),
    name: NAME.read(map.get(NAME.key)),
    features: FEATURES.read(map.get(FEATURES.key)),
  };
}

/** Returns the server's answer as a frame. */
export function encodeWelcome(welcome: VfsWelcome): Uint8Array {
  return encodeVfsFrame({
    err: 0,
    version: welcome.version,
    name: welcome.name,
    features: welcome.features,
    max_read: welcome.maxReadBytes,
    max_write: welcome.maxWriteBytes,
    in_flight: welcome.inFlight,
    read_only: welcome.isReadOnly,
    root: packStat(welcome.root),
    server_id: welcome.serverId,
  });
}

/** Returns the refusal of a Hello as a frame; `errno` is positive. ENOENT: no export has that name. */
export function encodeHelloRefusal(errno: number): Uint8Array {
  return encodeVfsFrame({ err: -errno });
}

/**
 * Reads the answer to a Hello: the welcome, or the positive errno of a refusal. ENOSYS (38) is the
 * answer of a Go server.
 *
 * @throws {VsockboxError} BAD_DATA.
 */
export function readWelcome(map: CborMap): VfsWelcome | { readonly errno: number } {
  const errno = -ERR.read(map.get(ERR.key));
  if (errno !== 0) return { errno };
  const at = (field: { readonly key: string }): CborValue => map.get(field.key);
  const welcome = {
    version: VERSION.read(at(VERSION)),
    name: map.has(NAME.key) ? NAME.read(at(NAME)) : undefined,
    features: FEATURES.read(at(FEATURES)),
    maxReadBytes: MAX_READ.read(at(MAX_READ)),
    maxWriteBytes: MAX_WRITE.read(at(MAX_WRITE)),
    inFlight: IN_FLIGHT.read(at(IN_FLIGHT)),
    isReadOnly: READ_ONLY.read(at(READ_ONLY)),
    root: unpackStat(map.get("root")),
    serverId: SERVER_ID.read(at(SERVER_ID)),
  };
  if (welcome.maxReadBytes > 0 && welcome.maxWriteBytes > 0 && welcome.inFlight > 0) return welcome;
  throw new RefusedField("a limit of the server is 0");
}
