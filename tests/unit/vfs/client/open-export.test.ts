import { afterEach, describe, expect, test } from "bun:test";
import { VsockboxError } from "../../../../src/errors.ts";
import { dial } from "../../../../src/net/dial.ts";
import { WrongServiceError } from "../../../../src/net/wrong-service.ts";
import { encodeFrame, FrameType } from "../../../../src/protocols/agent/frame.ts";
import type { CborMap } from "../../../../src/protocols/vfs/cbor-values.ts";
import { EntryPacker } from "../../../../src/protocols/vfs/entries.ts";
import { packStat } from "../../../../src/protocols/vfs/file-stat.ts";
import { encodeVfsFrame } from "../../../../src/protocols/vfs/frame.ts";
import { encodeVfsHello } from "../../../../src/protocols/vfs/hello.ts";
import type { VfsNote } from "../../../../src/protocols/vfs/responses.ts";
import {
  ClosedExportError,
  openExport,
  type OpenedExport,
} from "../../../../src/vfs/client/open-export.ts";
import { joinSmall } from "../../../../src/vfs/client/vfs-connection.ts";
import { RemoteError, type RemoteStatus } from "../../../../src/vfs/client/remote-files.ts";
import { type AnswerFields, type OnRequest, RawVfsHost } from "../../../support/raw-vfs-host.ts";
import { ScratchDirectory } from "../../../support/scratch-directory.ts";

const [ENOENT, EIO, EEXIST, EPERM, EINVAL, ENOSYS, EILSEQ, EOPNOTSUPP, ENOTCONN] = [
  2, 5, 17, 1, 22, 38, 84, 95, 107,
];
const [ENAMETOOLONG, ENOTEMPTY] = [36, 39];
const HELLO = 200;
const bytes = (text: string) => new TextEncoder().encode(text);
/** A write of `ab`, as the host gets it. */
const WRITE = { op: 4, fh: 4, off: 5, data: bytes("ab") };
const text = (value: unknown) => new TextDecoder().decode(value as Uint8Array);
const time = (seconds: number) => ({ seconds, nanoseconds: 7 });

const STAT: RemoteStatus = {
  ...{ ino: 2n ** 63n, dev: 5n, birth: 9n, mode: 0o100644, nlink: 1, uid: 1, gid: 2, rdev: 0 },
  ...{ size: 3, blocks: 8, atime: time(1), mtime: time(2), ctime: time(3), blksize: 4096 },
};
const stat = packStat(STAT);

const WELCOME: AnswerFields = {
  ...{ err: 0, version: 1, features: [], max_read: 1000, max_write: 500, in_flight: 2 },
  ...{ read_only: false, root: stat, server_id: Uint8Array.of(1) },
};

const open: { scratch: ScratchDirectory; host: RawVfsHost }[] = [];

afterEach(async () => {
  for (const { host, scratch } of open.splice(0)) {
    await host.close();
    scratch[Symbol.dispose]();
  }
});

interface Settings {
  /** Whether it is known what was connected to (default: it is). */
  hasAddress?: boolean;
  name?: string;
  timeoutMs?: number;
  wantsNotes?: boolean;
  onNote?: (note: VfsNote) => void;
}

async function connect(onRequest: OnRequest, { hasAddress = true, ...settings }: Settings = {}) {
  const scratch = new ScratchDirectory();
  const host = await RawVfsHost.listen(scratch.file("host.sock"), onRequest);
  open.push({ scratch, host });
  const address = { kind: "unix", path: host.path } as const;
  const stream = await dial(address);
  const opened = await openExport({
    ...{ stream, name: "", timeoutMs: 5000, goRoot: "/workspace", lostErrno: ENOTCONN },
    ...{ wantsNotes: true, onNote: () => undefined },
    ...{ ...settings, address: hasAddress ? address : undefined },
  });
  return { host, opened, files: opened.files };
}

/** A host of ours: `answer` returns the fields of an answer without its id. */
function ours(
  answer: (request: CborMap) => AnswerFields | undefined,
  welcome: AnswerFields = WELCOME,
): OnRequest {
  return (request) => {
    if (request.get("op") === HELLO) return welcome;
    const fields = answer(request);
    return fields && { id: request.get("id") as number, err: 0, ...fields };
  };
}

const errnoOf = async (promise: Promise<unknown>): Promise<number | undefined> => {
  try {
    await promise;
    return undefined;
  } catch (thrown) {
    if (!(thrown instanceof RemoteError)) throw thrown;
    return thrown.errno;
  }
};

describe("a Hello", () => {
  test("names the export, and its answer has the limits and the root", async () => {
    const { host, opened } = await connect(
      ours(() => undefined, { ...WELCOME, read_only: true }),
      { name: "src" },
    );
    expect(Object.fromEntries(host.requests[0] ?? [])).toEqual({
      ...{ op: HELLO, version: 1, name: "src", features: ["notify"] },
    });
    expect(opened).toMatchObject({ isReadOnly: true, dialect: "vsockbox", root: STAT });
    expect(opened.name).toBeUndefined();
    expect([opened.files.maxReadBytes, opened.files.maxWriteBytes]).toEqual([1000, 500]);
  });

  test.each([
    [ENOENT, "UNAVAILABLE", 'it does not export "src"'],
    [13, "REFUSED", "permission denied"],
    [ENOSYS, "UNAVAILABLE", "the host has no names of exports"],
  ])("that is refused with %i is an error", async (errno, code, reason) => {
    const opened = connect(() => ({ err: -errno }), { name: "src" });
    const thrown = await opened.catch((error: unknown) => error);
    expect(thrown).toBeInstanceOf(VsockboxError);
    expect((thrown as VsockboxError).code as string).toBe(code);
    expect((thrown as VsockboxError).reason).toBe(reason);
  });

  test.each([
    ["garbage", Uint8Array.of(0, 0, 0, 1, 0xff), "BAD_DATA"],
    ["an empty frame", Uint8Array.of(0, 0, 0, 0), "BAD_DATA"],
    ["a frame of 4 GiB", Uint8Array.of(0xff, 0xff, 0xff, 0xff), "BAD_DATA"],
    ["two frames", Buffer.concat([encodeVfsFrame(WELCOME), encodeVfsFrame(WELCOME)]), "BAD_DATA"],
    ["limits of 0", encodeVfsFrame({ ...WELCOME, in_flight: 0 }), "BAD_DATA"],
    ["no root", encodeVfsFrame({ ...WELCOME, root: Uint8Array.of(1) }), "BAD_DATA"],
  ])("that is answered with %s is an error", async (_, answer, code) => {
    const thrown = await connect(() => answer).catch((error: unknown) => error);
    expect((thrown as VsockboxError).code as string).toBe(code);
  });

  test("without an answer is an error, at the end of the connection or of the time", async () => {
    const closing = connect((_, socket) => {
      socket.destroy();
      return undefined;
    });
    const closed = await closing.catch((error: unknown) => error);
    expect(closed).toBeInstanceOf(ClosedExportError);
    expect((closed as VsockboxError).code).toBe("UNAVAILABLE");
    const silent = connect(() => undefined, { timeoutMs: 1 });
    expect(await silent.catch((error: unknown) => error)).toMatchObject({
      code: "TIMEOUT",
      address: expect.stringMatching(/^unix:.*host.sock$/),
      reason: "what listens there has not answered as an export within 0.001 s",
    });
  });

  test("through a connection of another process keeps its own error", async () => {
    const close: OnRequest = (_, socket) => void socket.destroy();
    const closing = connect(close, { hasAddress: false });
    expect(await closing.catch((error: VsockboxError) => error.code)).toBe("TRANSPORT");
    const other = connect(() => bytes("SSH-2.0-x\r\n"), { hasAddress: false });
    expect(await other.catch((error: unknown) => error)).not.toBeInstanceOf(WrongServiceError);
  });

  test.each([
    ["ssh", bytes("SSH-2.0-x\r\n")],
    ["http", bytes("HTTP/1.1 400 Bad Request\r\n")],
    ["agent", encodeFrame(FrameType.Stderr, bytes("vsockbox agent: no"))],
    ["echo", encodeVfsHello({ name: "", features: ["notify"] })],
  ])("answered by another service is an error that names it: %s", async (service, answer) => {
    const thrown = await connect(() => answer).catch((error: unknown) => error);
    expect(thrown).toBeInstanceOf(WrongServiceError);
    expect(thrown).toMatchObject({ service, expected: "export", code: "BAD_DATA" });
  });

  test.each([
    // Shorter than the length of a frame, or than the frame.
    ["text", bytes("$ ")],
    ["echo", encodeVfsHello({ name: "", features: ["notify"] }).subarray(0, 20)],
  ])("answered by a part of a frame names the service as well: %s", async (service, answer) => {
    const failed = connect((_, socket) => {
      socket.end(answer);
      return undefined;
    });
    expect(await failed.catch((error: unknown) => error)).toMatchObject({ service });
  });
});

describe("files of a vsockbox", () => {
  test("send the fields of each operation, and read its answer", async () => {
    const packer = new EntryPacker(1000);
    packer.add({ name: bytes("a"), type: 8, ino: 5n, offset: 77n, stat: STAT });
    const { host, files } = await connect(
      ours(() => ({
        ...{ stat, fh: 4, written: 2, off: 6, fs: [1, 2, 3, 4, 5, 6, 7, 8] },
        data: packer.packed,
      })),
    );
    const path = bytes("d/f");
    const owner = { uid: 10, gid: 20 };
    const none = { mode: undefined, uid: undefined, gid: undefined, size: undefined };
    const changes = { ...none, mode: 0o600, atime: "now" as const, mtime: time(5) };
    const all: [Promise<unknown>, unknown, Record<string, unknown>][] = [
      [files.getStatus({ path, handle: 3 }), STAT, { op: 1, path, fh: 3 }],
      [files.getStatus({ path: undefined, handle: 3 }), STAT, { op: 1, path: bytes(""), fh: 3 }],
      [
        files.setStatus({ path, handle: undefined }, changes),
        STAT,
        { op: 33, path, mode: 0o600, atime: [0, 0x3fff_ffff], mtime: [5, 7] },
      ],
      [files.readLink(path), packer.packed, { op: 17, path }],
      [
        files.makeSymlink(path, bytes("t"), owner),
        STAT,
        { op: 16, path: bytes("t"), new_path: path, ...owner },
      ],
      [
        files.makeNode(path, 0o010600, 7, owner),
        STAT,
        { op: 35, path, mode: 0o010600, rdev: 7, ...owner },
      ],
      [files.makeDirectory(path, 0o700, owner), STAT, { op: 6, path, mode: 0o700, ...owner }],
      [files.unlink(path), undefined, { op: 7, path }],
      [files.removeDirectory(path), undefined, { op: 8, path }],
      [
        files.rename(path, bytes("x"), 2),
        undefined,
        { op: 9, path, new_path: bytes("x"), flags: 2 },
      ],
      [files.link(path, bytes("x")), STAT, { op: 18, path, new_path: bytes("x") }],
      [files.open(path, 2), { handle: 4, status: STAT }, { op: 10, path, flags: 2 }],
      [
        files.create(path, 0o302, 0o640, owner),
        { handle: 4, status: STAT },
        { op: 5, path, flags: 0o302, mode: 0o640, ...owner },
      ],
      [files.read(4, 5, 200), packer.packed, { op: 3, fh: 4, off: 5, sz: 200 }],
      [files.write(4, 5, bytes("ab")), 2, WRITE],
      [files.write(4, 5, bytes("ab"), true), 2, { ...WRITE, flags: 1 }],
      [files.release(4), undefined, { op: 11, fh: 4 }],
      [files.fsync(4, true), undefined, { op: 13, fh: 4, flags: 1 }],
      [files.fsync(4, false), undefined, { op: 13, fh: 4, flags: 0 }],
      [files.openDirectory(path), 4, { op: 10, path, flags: 0o200000 }],
      [
        files.list(4, path, 9n),
        {
          entries: [{ name: bytes("a"), type: 8, ino: 5n, offset: 77n, stat: STAT }],
          next: 77n,
        },
        { op: 34, fh: 4, off: 9, sz: 131_072 },
      ],
      [
        files.statFilesystem(),
        { bsize: 1, frsize: 2, blocks: 3, bfree: 4, bavail: 5, files: 6, ffree: 7, namelen: 8 },
        { op: 32 },
      ],
      [files.fallocate(4, 1, 2, 3), undefined, { op: 36, fh: 4, off: 2, size: 3, flags: 1 }],
      [files.seek(4, 5, 3), 6, { op: 37, fh: 4, off: 5, flags: 3 }],
      [
        files.copyRange({ handle: 4, offset: 5 }, { handle: 6, offset: 7 }, 8),
        2,
        { op: 38, fh: 4, off: 5, fh_out: 6, off_out: 7, size: 8 },
      ],
      [
        files.getXattr(path, bytes("user.a")),
        packer.packed,
        { op: 40, path, name: bytes("user.a") },
      ],
      [
        files.setXattr(path, bytes("user.a"), bytes("v"), 1),
        undefined,
        { op: 41, path, name: bytes("user.a"), data: bytes("v"), flags: 1 },
      ],
      [files.listXattr(path), packer.packed, { op: 42, path }],
      [
        files.removeXattr(path, bytes("user.a")),
        undefined,
        { op: 43, path, name: bytes("user.a") },
      ],
    ];
    for (const [index, [answer, expected, request]] of all.entries()) {
      expect(await answer).toEqual(expected);
      const sent = host.requests[index + 1] ?? new Map();
      const { id, ...fields } = Object.fromEntries(sent);
      expect(fields).toEqual(request);
      expect(typeof id).toBe("number");
    }
  });

  test("reject with the errno of the host, or EIO for an answer without its field", async () => {
    const { files } = await connect(
      ours((request) => (request.get("op") === 7 ? { err: -EEXIST } : {})),
    );
    const path = bytes("f");
    expect(await errnoOf(files.unlink(path))).toBe(EEXIST);
    expect(await errnoOf(files.getStatus({ path, handle: undefined }))).toBe(EIO);
    expect(await errnoOf(files.open(path, 0))).toBe(EIO);
    expect(await errnoOf(files.seek(1, 0, 3))).toBe(EIO);
    expect((await files.read(1, 0, 5)).length).toBe(0);
  });

  test("refuse names with a slash", async () => {
    const packer = new EntryPacker(1000);
    packer.add({ name: bytes("../x"), type: 8, ino: 5n, offset: 1n, stat: STAT });
    const { files } = await connect(ours(() => ({ data: packer.packed })));
    expect(await errnoOf(files.list(1, bytes(""), 0n))).toBe(EIO);
  });

  test("refuse more bytes than were asked for", async () => {
    const { files } = await connect(ours(() => ({ data: new Uint8Array(9), written: 9 })));
    expect(await errnoOf(files.read(1, 0, 8))).toBe(EIO);
    expect(await errnoOf(files.write(1, 0, new Uint8Array(8)))).toBe(EIO);
    expect(await files.copyRange({ handle: 1, offset: 0 }, { handle: 2, offset: 0 }, 8)).toBe(8);
  });

  test("have as many requests in flight as the host allows, answered in any order", async () => {
    const held: { id: number; socket: import("node:net").Socket }[] = [];
    const { host, files } = await connect((request, socket) => {
      if (request.get("op") === HELLO) return WELCOME;
      held.push({ id: request.get("id") as number, socket });
      return undefined;
    });
    const order: number[] = [];
    const links = [1, 2, 3, 4].map(async (number) => {
      const target = await files.readLink(bytes(String(number)));
      order.push(number);
      return text(target);
    });
    const answer = (index: number) => {
      const { id, socket } = held[index] ?? held[0] ?? { id: 0, socket: undefined };
      const path = host.requests.find((request) => request.get("id") === id)?.get("path");
      socket?.write(encodeVfsFrame({ id, err: 0, data: path as Uint8Array }));
    };
    while (held.length < 2) await Bun.sleep(1);
    expect(host.requests.length).toBe(3);
    answer(1);
    while (held.length < 3) await Bun.sleep(1);
    answer(0);
    answer(2);
    while (held.length < 4) await Bun.sleep(1);
    answer(3);
    expect(await Promise.all(links)).toEqual(["1", "2", "3", "4"]);
    expect(order[0]).toBe(2);
  });

  test("skip answers of no request, and pass notifications on", async () => {
    const notes: VfsNote[] = [];
    const { files } = await connect(
      (request, socket) => {
        if (request.get("op") === HELLO) return { ...WELCOME, features: ["notify"] };
        const id = request.get("id") as number;
        socket.write(encodeVfsFrame({ id: 4_000_000, err: -1 }));
        socket.write(encodeVfsFrame({ note: 4, path: bytes("a"), new_path: bytes("b") }));
        return { id, err: 0 };
      },
      { onNote: (note) => notes.push(note) },
    );
    await files.unlink(bytes("f"));
    const renamed: VfsNote = { kind: "renamed", path: bytes("a"), newPath: bytes("b") };
    expect(notes).toEqual([renamed, renamed]);
  });

  test("are not notified if that is not wanted", async () => {
    const { host, opened } = await connect(
      ours(() => ({}), { ...WELCOME, features: ["notify"] }),
      { wantsNotes: false },
    );
    expect(opened.hasNotes).toBe(false);
    expect(host.requests.map((request) => request.get("features"))).toEqual([[]]);
  });

  test("are sent in one piece if they are small, and large data from where it is", () => {
    const large = new Uint8Array(16 * 1024 + 1);
    const [one, two, three] = [1, 2, 3].map((byte) => Uint8Array.of(byte));
    const join = (...pieces: (Uint8Array | undefined)[]) =>
      joinSmall(pieces.filter((piece) => piece !== undefined));
    expect(join(one, two, large, three).map((piece) => piece.length)).toEqual([2, large.length, 1]);
    expect(join(large, one)[0]).toBe(large);
    expect(join(one)[0]).toBe(one as Uint8Array);
    expect(join(one, two).map((piece) => Buffer.from(piece).toString("hex"))).toEqual(["0102"]);
    expect(join()).toEqual([]);
  });

  test("fail at once when the connection is lost, and afterwards", async () => {
    const { host, opened, files } = await connect(ours(() => undefined));
    const waiting = [1, 2, 3, 4].map((name) => errnoOf(files.unlink(bytes(String(name)))));
    while (host.requests.length < 3) await Bun.sleep(1);
    host.disconnect();
    expect(await Promise.all(waiting)).toEqual([ENOTCONN, ENOTCONN, ENOTCONN, ENOTCONN]);
    expect((await opened.lost).code).toBe("TRANSPORT");
    expect(await errnoOf(files.unlink(bytes("x")))).toBe(ENOTCONN);
  });

  test.each([
    ["a frame that is not CBOR", Uint8Array.of(0, 0, 0, 1, 0xff)],
    ["an answer without id", encodeVfsFrame({ err: 0 })],
    ["a positive errno", encodeVfsFrame({ id: 1, err: 2 })],
  ])("are lost with %s", async (_, answer) => {
    const { opened, files } = await connect((request) =>
      request.get("op") === HELLO ? WELCOME : answer,
    );
    expect(await errnoOf(files.unlink(bytes("x")))).toBe(ENOTCONN);
    expect((await opened.lost).code).toBe("BAD_DATA");
  });
});

/** A Go server: Go's modes, and keys that are absent when they are zero. */
const GO_FILE = { size: 3, mode: 0o644, mtime: 5, is_dir: false, ino: 99 };
const GO_ROOT = { size: 0, mode: 2 ** 31 + 0o755, mtime: 5, is_dir: true, ino: 98 };

function goServer(answer: (request: CborMap) => AnswerFields = () => ({})): OnRequest {
  return (request) => {
    if (request.get("op") === HELLO) return { err: -ENOSYS };
    if (request.get("op") === 1 && request.get("path") === "/workspace") {
      return { err: 0, stat: GO_ROOT };
    }
    return { err: 0, ...answer(request) };
  };
}

describe("files of a Go server", () => {
  const path = bytes("d/f");
  const owner = { uid: 10, gid: 20 };
  let connected: { opened: OpenedExport; host: RawVfsHost };

  const connectGo = async (answer?: (request: CborMap) => AnswerFields) => {
    const found = await connect(goServer(answer));
    connected = found;
    found.host.requests.length = 0;
    return found;
  };
  const sent = () => connected.host.requests.map((request) => Object.fromEntries(request));

  test("are found after a refused Hello, the root first", async () => {
    const { host, opened } = await connect(goServer());
    expect(host.requests.map((request) => [request.get("op"), request.get("path")])).toEqual([
      [HELLO, undefined],
      [1, "/workspace"],
    ]);
    expect(opened).toMatchObject({ dialect: "go", isReadOnly: false, hasNotes: false });
    expect(opened.root).toMatchObject({ ino: 98n, mode: 0o040755, nlink: 2 });
  });

  test("must have the root", async () => {
    const refusing = (err: number) =>
      connect((request) => ({ err: request.get("op") === HELLO ? -ENOSYS : err }));
    await expect(refusing(-ENOENT)).rejects.toMatchObject({
      ...{ code: "UNAVAILABLE", errno: "ENOENT", reason: "the Go server has no /workspace" },
      hint: expect.stringContaining("--go-root"),
    });
    await expect(refusing(-EIO)).rejects.toMatchObject({ code: "UNAVAILABLE", errno: "EIO" });
  });

  test("have absolute paths, Unix modes in requests and Go's in answers", async () => {
    const { files } = await connectGo(() => ({ stat: GO_FILE, fh: 7 }));
    const status = await files.getStatus({ path, handle: 3 });
    expect(status).toMatchObject({ ino: 99n, mode: 0o100644, size: 3, blocks: 1 });
    expect(status.mtime).toEqual({ seconds: 5, nanoseconds: 0 });
    await files.makeDirectory(path, 0o41755, owner);
    expect(await files.create(path, 0, 0o100640, owner)).toMatchObject({ handle: 7 });
    await files.unlink(path);
    await files.removeDirectory(path);
    await files.rename(path, bytes("x"), 0);
    expect(sent()).toEqual([
      { op: 1, path: "/workspace/d/f" },
      // The sticky bit as Unix and as Go have it: each server knows one of them.
      { op: 6, path: "/workspace/d/f", mode: 0o1755 + 2 ** 20 },
      { op: 5, path: "/workspace/d/f", mode: 0o640 },
      { op: 7, path: "/workspace/d/f" },
      { op: 8, path: "/workspace/d/f" },
      { op: 9, path: "/workspace/d/f", new_path: "/workspace/x" },
    ]);
    expect(await errnoOf(files.unlink(Uint8Array.of(0xff)))).toBe(EILSEQ);
  });

  test("are opened without O_APPEND, read, written and closed", async () => {
    const { files } = await connectGo((request) =>
      request.get("op") === 3 ? { data: bytes("ab") } : { fh: 7, written: 2 },
    );
    expect(await files.open(path, 0o2001)).toEqual({ handle: 7, status: undefined });
    expect(text(await files.read(7, 5, 10))).toBe("ab");
    expect(await files.write(7, 0, bytes("ab"))).toBe(2);
    await files.fsync(7, false);
    await files.release(7);
    expect(sent()).toEqual([
      { op: 10, path: "/workspace/d/f", flags: 1 },
      { op: 3, fh: 7, off: 5, sz: 10 },
      { op: 4, fh: 7, data: bytes("ab") },
      { op: 13, fh: 7 },
      { op: 11, fh: 7 },
    ]);
  });

  test("are exclusively made, and not replaced, only if they do not exist", async () => {
    let exists = true;
    const { files } = await connectGo((request) =>
      request.get("op") === 1 && !exists ? { err: -ENOENT } : { stat: GO_FILE, fh: 7 },
    );
    expect(await errnoOf(files.create(path, 0o200, 0o644, owner))).toBe(EEXIST);
    expect(await errnoOf(files.rename(path, bytes("x"), 1))).toBe(EEXIST);
    expect(await errnoOf(files.rename(path, bytes("x"), 2))).toBe(EINVAL);
    exists = false;
    expect(await errnoOf(files.create(path, 0o200, 0o644, owner))).toBeUndefined();
    expect(await errnoOf(files.rename(path, bytes("x"), 1))).toBeUndefined();
  });

  const NONE = { mode: undefined, uid: undefined, gid: undefined, size: undefined };
  const TIMES = { atime: undefined, mtime: undefined };

  test("keep owners and times; a mode is always sent with setattr", async () => {
    const { files } = await connectGo(() => ({ stat: GO_FILE }));
    const target = { path, handle: undefined };
    await files.setStatus(target, { ...NONE, uid: 5, gid: 6, atime: "now", mtime: time(1) });
    expect(sent().map(({ op }) => op as unknown)).toEqual([1]);
    await files.setStatus(target, { ...NONE, ...TIMES, mode: 0o100600 });
    expect(sent()[1]).toEqual({ op: 2, path: "/workspace/d/f", mode: 0o600 });
  });

  test("are emptied by creating them, and grow by a byte at their end", async () => {
    const { host, files } = await connectGo((request) =>
      request.get("op") === 4 ? { written: 1 } : { stat: GO_FILE, fh: 7 },
    );
    const resize = (size: number, handle?: number) =>
      files.setStatus({ path, handle }, { ...NONE, ...TIMES, size });
    await resize(0);
    expect(sent().map(({ op }) => op as unknown)).toEqual([1, 5, 11, 1]);
    await resize(3);
    expect(sent().length).toBe(6);
    await resize(10, 7);
    expect(sent().at(-2)).toMatchObject({ op: 4, fh: 7, off: 9, data: Uint8Array.of(0) });
    expect(await errnoOf(resize(2, 7))).toBe(EOPNOTSUPP);
    host.requests.length = 0;
    await resize(10);
    expect(sent().slice(1, 4)).toMatchObject([
      { op: 10, flags: 1 },
      { op: 4, fh: 7, off: 9 },
      { op: 11, fh: 7 },
    ]);
  });

  test("report what is not empty as such, and refuse long names themselves", async () => {
    const { host, files } = await connectGo(() => ({ err: -EEXIST }));
    expect(await errnoOf(files.removeDirectory(path))).toBe(ENOTEMPTY);
    expect(await errnoOf(files.rename(path, bytes("x"), 0))).toBe(ENOTEMPTY);
    expect(await errnoOf(files.makeDirectory(path, 0o755, owner))).toBe(EEXIST);
    host.requests.length = 0;
    expect(await errnoOf(files.unlink(bytes(`d/${"x".repeat(256)}`)))).toBe(ENAMETOOLONG);
    expect(sent()).toEqual([]);
    expect(await errnoOf(files.unlink(bytes(`d/${"x".repeat(255)}`)))).toBe(EEXIST);
  });

  test("that were removed have the facts that were known, and grow by what was written", async () => {
    const content = bytes("abcdefg");
    let isReadable = true;
    const { files } = await connectGo((request) => {
      const offset = Number(request.get("off") ?? 0);
      if (request.get("op") === 3)
        return isReadable ? { data: content.subarray(offset) } : { err: -EIO };
      return { written: 2 };
    });
    const known = { ...STAT, size: 3, nlink: 1 };
    const target = { path: undefined, handle: 7, known };
    expect(await files.getStatus(target)).toEqual({ ...known, nlink: 0, size: 7 });
    isReadable = false;
    expect((await files.getStatus(target)).size).toBe(3);
    await files.write(7, 10, bytes("ab"));
    expect((await files.getStatus(target)).size).toBe(12);
    await files.release(7);
    expect((await files.getStatus(target)).size).toBe(3);
    expect(await errnoOf(files.getStatus({ ...target, handle: undefined }))).toBe(ENOENT);
    expect(await errnoOf(files.getStatus({ ...target, known: undefined }))).toBe(ENOENT);
  });

  test("are listed in frames above the limit of others", async () => {
    const entries = Array.from({ length: 600 }, (_, index) => ({
      name: `${"x".repeat(8000)}${index}`,
    }));
    const { opened, files } = await connectGo(() => ({ entries }));
    expect((await files.list(0, path, 0n)).entries.length).toBe(600);
    expect(await errnoOf(files.getStatus({ path, handle: undefined }))).toBe(ENOTCONN);
    expect((await opened.lost).code).toBe("TRANSPORT");
  });

  test("are listed whole, without facts", async () => {
    const { files } = await connectGo(() => ({
      entries: [
        { name: "a", ino: 5, size: 3 },
        { name: "d", is_dir: true, mode: 2 ** 31, ino: 6 },
        { name: "l", mode: 2 ** 27 },
      ],
    }));
    const { entries, next } = await files.list(await files.openDirectory(path), path, 0n);
    expect(next).toBeUndefined();
    expect(
      entries.map(({ name, type, ino, stat: facts }) => [text(name), type, ino, facts]),
    ).toEqual([
      ["a", 8, 5n, undefined],
      ["d", 4, 6n, undefined],
      ["l", 10, 1n, undefined],
    ]);
  });

  test("lack what the dialect lacks", async () => {
    const { files } = await connectGo();
    expect(await errnoOf(files.link(path, path))).toBe(EPERM);
    expect(await errnoOf(files.makeSymlink(path, path, owner))).toBe(EPERM);
    expect(await errnoOf(files.makeNode(path, 0o010644, 0, owner))).toBe(EPERM);
    expect(await errnoOf(files.readLink(path))).toBe(EINVAL);
    expect(await errnoOf(files.fallocate(1, 0, 0, 1))).toBe(ENOSYS);
    expect(await errnoOf(files.seek(1, 0, 3))).toBe(ENOSYS);
    const range = { handle: 1, offset: 0 };
    expect(await errnoOf(files.copyRange(range, range, 1))).toBe(ENOSYS);
    expect(await errnoOf(files.getXattr(path, path))).toBe(EOPNOTSUPP);
    expect((await files.statFilesystem()).namelen).toBe(255);
    expect(sent()).toEqual([]);
  });

  test("get one request at a time, and fail when the host ends", async () => {
    let waiting = 0;
    const { host, opened, files } = await connect((request, socket) => {
      if (request.get("op") === HELLO) return { err: -ENOSYS };
      waiting++;
      if (waiting > 2) socket.destroy();
      return waiting > 2 ? undefined : { err: 0, stat: GO_ROOT };
    });
    const target = { path, handle: undefined };
    const errnos = [1, 2, 3].map(() => errnoOf(files.getStatus(target)));
    expect(await Promise.all(errnos)).toEqual([undefined, ENOTCONN, ENOTCONN]);
    expect(host.requests.length).toBe(4);
    expect((await opened.lost).code).toBe("TRANSPORT");
  });
});
