/**
 * The wire of exported directories: any bytes are frames, requests and answers of either dialect, or are
 * refused; and a guest may send any of them.
 */
import { decode } from "cborg";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { decodeMap, encodeMap } from "../../src/protocols/vfs/cbor.ts";
import { INVALID_TEXT } from "../../src/protocols/vfs/cbor-values.ts";
import { EntryPacker, unpackEntries } from "../../src/protocols/vfs/entries.ts";
import { encodeVfsFrame, VfsFrameReader } from "../../src/protocols/vfs/frame.ts";
import {
  decodeGoResponse,
  encodeGoRequest,
  encodeGoResponse,
  readGoRequest,
} from "../../src/protocols/vfs/go-messages.ts";
import { encodeVfsHello, readHello, readWelcome } from "../../src/protocols/vfs/hello.ts";
import {
  decodeVfsRequest,
  encodeVfsRequest,
  type VfsRequest,
} from "../../src/protocols/vfs/requests.ts";
import {
  decodeServerFrame,
  encodeNote,
  encodeResponse,
} from "../../src/protocols/vfs/responses.ts";
import { pathBytes, TestExport } from "../support/vfs-export.ts";
import { type Target, Violation } from "./targets.ts";

function demand(holds: boolean, promise: string): asserts holds {
  if (!holds) throw new Violation(promise);
}

const payload = (frame: Uint8Array) => frame.slice(4);
const a = pathBytes("a");

const REQUESTS: readonly VfsRequest[] = [
  { op: "lookup", path: pathBytes("d/b") },
  { op: "getattr", path: a, handle: 1 },
  { op: "create", path: pathBytes("new"), flags: 2, mode: 0o644, uid: 1, gid: 1 },
  { op: "open", path: a, flags: 2 },
  { op: "open", path: pathBytes(""), flags: 0o200_000 },
  { op: "read", handle: 1, offset: 0, size: 100 },
  { op: "write", handle: 1, offset: 3, data: pathBytes("data") },
  { op: "readdirPlus", handle: 2, offset: 0n, size: 4096 },
  { op: "mkdir", path: pathBytes("d/e"), mode: 0o755 },
  { op: "rename", path: a, newPath: pathBytes("d/a"), flags: 0 },
  { op: "rename", path: pathBytes("d/a"), newPath: a, flags: 2 },
  { op: "symlink", target: pathBytes("../../outside"), newPath: pathBytes("link") },
  { op: "link", path: a, newPath: pathBytes("hard") },
  { op: "unlink", path: pathBytes("link") },
  { op: "rmdir", path: pathBytes("d/e") },
  { op: "mknod", path: pathBytes("fifo"), mode: 0o010_600, rdev: 0 },
  { op: "setAttributes", path: a, mode: 0o600, size: 5, mtime: { seconds: 1, nanoseconds: 2 } },
  { op: "fallocate", handle: 1, offset: 0, length: 100, flags: 1 },
  { op: "seek", handle: 1, offset: 0, whence: 3 },
  { op: "copyRange", handle: 1, offset: 0, toHandle: 1, toOffset: 50, length: 5 },
  { op: "release", handle: 1 },
  { op: "getXattr", path: a, name: pathBytes("user.x") },
  { op: "statfs" },
];

const REQUEST_CORPUS = REQUESTS.map((request, id) => payload(encodeVfsRequest(id, request)));

const time = { seconds: 1, nanoseconds: 2 };
const stat = {
  ...{ ino: 5n, dev: 1n, birth: 0n, mode: 0o100_600, nlink: 1, uid: 1, gid: 2, rdev: 0 },
  ...{ size: 10, blocks: 8, atime: time, mtime: time, ctime: time, blksize: 4096 },
};

function packedEntries(): Uint8Array {
  const packer = new EntryPacker(1000);
  packer.add({ name: a, type: 8, ino: 1n, offset: 2n, stat });
  packer.add({ name: pathBytes("longer name"), type: 4, ino: 3n, offset: 4n, stat: undefined });
  return packer.packed.slice();
}

const ANSWER_CORPUS = [
  encodeResponse(1, { errno: 0, stat, handle: 3 }),
  encodeResponse(2, { errno: 2 }),
  encodeResponse(3, { errno: 0, data: pathBytes("data"), written: 5, offset: 7 }),
  encodeResponse(4, { errno: 0, data: packedEntries() }),
  encodeNote({ kind: "renamed", path: a, newPath: pathBytes("b") }),
].map(payload);

const GO_CORPUS = [
  encodeGoRequest({ op: "getattr", path: "/workspace" }),
  encodeGoRequest({ op: "write", handle: 1, offset: 5, data: pathBytes("x") }),
  encodeGoRequest({ op: "open", path: "/workspace/a", flags: 34_817 }),
  encodeVfsHello({ name: "src", features: ["notify"] }),
  encodeGoResponse({
    errno: 0,
    stat: { size: 1, mode: 420, mtime: 5, isDirectory: false, ino: 7n },
    entries: [{ name: "a", isDirectory: true, mode: 2 ** 31, size: 1, ino: 9n }],
  }),
].map(payload);

const CODES = ["BAD_DATA"] as const;

const CBOR: Target = {
  name: "vfs-cbor",
  corpus: [...REQUEST_CORPUS, ...ANSWER_CORPUS, ...GO_CORPUS],
  codes: CODES,
  run(input) {
    const map = decodeMap(input);
    // Keys that are not text are unknown ones.
    if ([...map.keys()].some((key: unknown) => typeof key !== "string")) return;
    const values = [...map.values()];
    if (values.includes(INVALID_TEXT) || values.some((value) => typeof value === "object")) return;
    // What is read directly is what a decoder of all of CBOR reads.
    const expected: unknown = decode(input, { useMaps: true, allowIndefinite: false });
    demand(Bun.deepEquals(new Map<string, unknown>(map), expected), "both decoders agree");
  },
};

const FRAMES: Target = {
  name: "vfs-frames",
  corpus: [...REQUEST_CORPUS, ...ANSWER_CORPUS].map((bytes) => {
    const { op, id } = Object.fromEntries(decodeMap(bytes)) as { op?: number; id?: number };
    return encodeVfsFrame({ op, id, data: bytes });
  }),
  codes: CODES,
  run(input) {
    const limitBytes = 100_000;
    const whole = [...new VfsFrameReader(limitBytes).push(input)].map((bytes) => bytes.slice());
    const reader = new VfsFrameReader(limitBytes);
    const pieces: Uint8Array[] = [];
    for (let at = 0; at < input.length; at += 7) {
      for (const bytes of reader.push(input.subarray(at, at + 7))) pieces.push(bytes.slice());
      demand(reader.heldBytes <= limitBytes, "a frame is bounded");
    }
    demand(Bun.deepEquals(whole, pieces), "pieces make no difference");
  },
};

const REQUEST: Target = {
  name: "vfs-requests",
  corpus: REQUEST_CORPUS,
  codes: CODES,
  run(input) {
    const decoded = decodeVfsRequest(input);
    if (!("request" in decoded)) return;
    const again = decodeVfsRequest(payload(encodeVfsRequest(decoded.id, decoded.request)));
    demand(Bun.deepEquals(again, decoded), "decode(encode(x)) is x");
  },
};

const ANSWERS: Target = {
  name: "vfs-answers",
  corpus: ANSWER_CORPUS,
  codes: CODES,
  run(input) {
    const frame = decodeServerFrame(input);
    if ("note" in frame) return;
    const { errno, data } = frame.response;
    demand(errno >= 0 && errno < 4096, "an errno is one");
    const again = decodeServerFrame(payload(encodeResponse(frame.id, frame.response)));
    demand(Bun.deepEquals(again, frame), "decode(encode(x)) is x");
    if (data !== undefined) unpackEntries(data);
  },
};

const ENTRIES: Target = {
  name: "vfs-entries",
  corpus: [packedEntries()],
  codes: CODES,
  run(input) {
    const packer = new EntryPacker(input.length);
    for (const entry of unpackEntries(input)) {
      demand(!entry.name.includes(0x2f), "a name has no slash");
      demand(packer.add(entry), "packed entries are no longer than they were");
    }
  },
};

const GO: Target = {
  name: "vfs-go",
  corpus: GO_CORPUS,
  codes: CODES,
  run(input) {
    const decoded = readGoRequest(decodeMap(input));
    if ("request" in decoded) {
      const again = readGoRequest(decodeMap(payload(encodeGoRequest(decoded.request))));
      demand(Bun.deepEquals(again, decoded), "decode(encode(x)) is x");
    }
    const response = decodeGoResponse(input);
    const again = decodeGoResponse(payload(encodeGoResponse(response)));
    demand(Bun.deepEquals(again, response), "decode(encode(x)) is x");
  },
};

const HELLO: Target = {
  name: "vfs-hello",
  corpus: [
    payload(encodeVfsHello({ name: "src", features: ["notify"] })),
    encodeMap({ op: 200, version: 1, name: "", features: [], err: -2 }),
  ],
  codes: CODES,
  run(input) {
    const map = decodeMap(input);
    if (map.has("err")) readWelcome(map);
    readHello(map);
  },
};

let live: TestExport | undefined;
let served = 0;

/** The export of the run, with a file beside its root that no request may read or change. */
function exported(): TestExport {
  if (live !== undefined) return live;
  const made = new TestExport({ hasXattr: true, maxOpenFiles: 64 });
  writeFileSync(made.at("a"), "content");
  writeFileSync(made.outside("outside"), "secret");
  process.on("exit", () => made[Symbol.dispose]());
  live = made;
  return made;
}

const SESSION: Target = {
  name: "vfs-session",
  corpus: REQUEST_CORPUS,
  codes: CODES,
  run(input) {
    const decoded = decodeVfsRequest(input);
    if (!("request" in decoded)) return;
    const { request } = decoded;
    // Sizes of files are the guest's matter; those of this file system are not.
    if (request.op === "fsync" || ("size" in request && (request.size ?? 0) > 2 ** 40)) return;
    if ("length" in request && request.length > 2 ** 20) return;
    const { session, outside } = {
      session: exported().session,
      outside: exported().outside("outside"),
    };
    const answer = session.handle(request);
    demand(!(answer instanceof Promise), "it is answered at once");
    demand(answer.errno >= 0 && answer.errno < 4096, "an errno is one");
    demand(!Buffer.from(answer.data ?? []).includes("secret"), "no file outside is read");
    if (++served % 1000 !== 0) return;
    demand(readFileSync(outside, "utf8") === "secret", "no file outside is written");
    demand(existsSync(outside) && readdirSync(exported().outside("")).length === 2, "none is made");
  },
};

/** Readers of the wire of exports, and an export. */
export const VFS_TARGETS: readonly Target[] = [
  ...[CBOR, FRAMES, REQUEST, ANSWERS, ENTRIES, GO, HELLO, SESSION],
];
