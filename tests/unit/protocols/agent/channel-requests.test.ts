/** The frames behind a Hello: what goes out comes in, and nothing else does. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { EXIT_STATUS, VsockboxError } from "../../../../src/errors.ts";
import { START_FAILURE_KINDS, START_STAGES, StartError } from "../../../../src/start-error.ts";
import {
  type ChannelFrame,
  decodeChannelFrame,
  encodeChannelJson,
  encodeCredit,
  encodeData,
  encodeEnd,
} from "../../../../src/protocols/agent/channel-frames.ts";
import {
  type ChannelRequest,
  decodeChannelRequest,
  decodeExecControl,
  encodeChannelRequest,
} from "../../../../src/protocols/agent/channel-requests.ts";
import { ReceiveWindow, SendCredit } from "../../../../src/protocols/agent/credit.ts";
import { FrameDecoder } from "../../../../src/protocols/agent/frame.ts";
import {
  decodeError,
  decodeHello,
  encodeError,
  encodeHello,
} from "../../../../src/protocols/agent/hello.ts";
import type { JsonObject } from "../../../../src/protocols/agent/json-fields.ts";
import {
  decodeTreeRecord,
  encodeTreeRecord,
  type TreeRecord,
} from "../../../../src/protocols/agent/tree-records.ts";

const overTheWire = (value: JsonObject) => JSON.parse(JSON.stringify(value)) as JsonObject;

/** All frames of a byte stream that arrives in pieces of `size` bytes. */
function decodeInPieces(bytes: Uint8Array, size: number): ChannelFrame[] {
  const decoder = new FrameDecoder();
  const frames: ChannelFrame[] = [];
  for (let offset = 0; offset < bytes.length; offset += size) {
    for (const frame of decoder.push(bytes.subarray(offset, offset + size))) {
      frames.push(decodeChannelFrame(frame));
    }
  }
  decoder.finish();
  return frames;
}

describe("channel frames", () => {
  const stream = Buffer.concat([
    encodeChannelJson("open", 1, { op: "info" }),
    encodeData(1, 2, Buffer.from("some bytes")),
    encodeData(4_294_967_295, 0, new Uint8Array(0)),
    encodeChannelJson("record", 1, { a: "ü" }),
    encodeCredit(7, 65_536),
    encodeEnd(1),
    encodeChannelJson("close", 1, { result: {} }),
  ]);

  test.each([1, 2, 3, 7, 13, 1000])("in pieces of %i bytes", (size) => {
    const frames = decodeInPieces(stream, size);
    const data = frames.filter((frame) => frame.kind === "data");
    expect(Buffer.concat(data.map(({ bytes }) => bytes)).toString()).toBe("some bytes");
    expect(data.map(({ channel }) => channel)).toContain(4_294_967_295);
    expect(data.every(({ bytes, cost }) => bytes.length === cost)).toBe(true);
    expect(frames.filter((frame) => frame.kind !== "data")).toEqual([
      { kind: "open", channel: 1, value: { op: "info" } },
      { kind: "record", channel: 1, value: { a: "ü" }, cost: 10 },
      { kind: "credit", channel: 7, bytes: 65_536 },
      { kind: "end", channel: 1 },
      { kind: "close", channel: 1, value: { result: {} } },
    ]);
  });

  test.each([
    [[65, 0, 0, 0, 2, 0, 0], "the channel's number is missing"],
    [[66, 0, 0, 0, 4, 0, 0, 0, 1], "stream's number is missing"],
    [[69, 0, 0, 0, 4, 0, 0, 0, 1], "not 8"],
    [[70, 0, 0, 0, 5, 0, 0, 0, 1, 1], "has a payload"],
    [[65, 0, 0, 0, 6, 0, 0, 0, 1, 0x5b, 0x5d], "not a JSON object"],
    [[1, 0, 0, 0, 4, 0, 0, 0, 1], "not allowed after a Hello"],
    [[99, 0, 0, 0, 4, 0, 0, 0, 1], "not allowed after a Hello"],
  ])("refuses %j", (bytes, message) => {
    expect(() => decodeInPieces(Uint8Array.from(bytes), 1000)).toThrow(message);
  });
});

describe("credit", () => {
  test("is used up, returned in portions, and never more than the window", () => {
    const send = new SendCredit(1000);
    const receive = new ReceiveWindow(1000);
    let returned = 0;
    for (let sent = 0; sent < 100_000; sent += 100) {
      expect(send.available).toBeGreaterThanOrEqual(100);
      send.take(100);
      receive.accept(100);
      const credit = receive.consume(100);
      returned += credit;
      if (credit > 0) send.add(credit);
    }
    expect(returned).toBeGreaterThan(99_000);
    expect(() => receive.accept(1001)).toThrow("beyond its credit");
    expect(() => send.add(0xffff_ffff)).toThrow("more than any window");
  });
});

describe("Hello", () => {
  test("goes there and back", () => {
    const hello = { protocol: 1, version: "v", features: ["a"], window: 1e6, token: "secret!!" };
    const payload = new TextEncoder().encode(JSON.stringify(encodeHello(hello)));
    expect(decodeHello(payload)).toEqual(hello);
  });

  test("a window that no frame fits into is refused", () => {
    expect(() => decodeHello(Buffer.from('{"window":1000}'))).toThrow("below");
  });

  test("errors keep their kind, words and hint; an unknown kind is IO", () => {
    const codes = Object.keys(EXIT_STATUS) as (keyof typeof EXIT_STATUS)[];
    for (const code of codes.filter((known) => known !== "NOT_STARTED")) {
      const error = new VsockboxError({
        code,
        operation: "read",
        message: "m",
        errno: "EIO",
        hint: "h",
      });
      expect(decodeError(overTheWire(encodeError(error)))?.toJSON()).toEqual(error.toJSON());
    }
    for (const kind of START_FAILURE_KINDS) {
      for (const stage of START_STAGES) {
        const error = new StartError({
          kind,
          stage,
          operation: "run x",
          message: "m",
          errno: "EIO",
        });
        const decoded = decodeError(overTheWire(encodeError(error)));
        expect(decoded).toBeInstanceOf(StartError);
        expect(decoded?.toJSON()).toEqual(error.toJSON());
        expect(decoded?.exitStatus).toBe(error.exitStatus);
      }
    }
    const untyped = decodeError({ error: { code: "NOT_STARTED", message: "m", kind: "new" } });
    expect(untyped).toMatchObject({ kind: "resources", stage: "process", exitStatus: 125 });
    expect(decodeError({ error: { code: "toString", message: "m" } })?.code).toBe("IO");
    expect(decodeError({ error: "x" })).toBeUndefined();
  });
});

const bytes = fc.uint8Array({ minLength: 1, maxLength: 100 }).filter((all) => !all.includes(0));
const name = bytes.filter(
  (all) => !all.includes(0x2f) && ![".", ".."].includes(Buffer.from(all).toString()),
);
const flags = {
  preserve: fc.boolean(),
  resume: fc.boolean(),
  checksum: fc.boolean(),
  keep: fc.boolean(),
};
const text = fc.string({ minLength: 1, unit: "grapheme" }).filter((all) => !all.includes("\0"));
const id = fc.record({ id: text });

describe("requests", () => {
  const requests: fc.Arbitrary<ChannelRequest> = fc.oneof(
    fc.record({ op: fc.constant("put" as const), path: bytes, ...flags }),
    fc.record({
      op: fc.constant("get" as const),
      path: bytes,
      name,
      recursive: fc.boolean(),
      ...flags,
    }),
    fc.record({ op: fc.constant("stat" as const), path: bytes, follow: fc.boolean() }),
    fc.record({ op: fc.constant("list" as const), path: bytes }),
    fc.record({ op: fc.constant("glob" as const), pattern: bytes }),
    fc.record({
      op: fc.constant("remove" as const),
      path: bytes,
      recursive: fc.boolean(),
      force: fc.boolean(),
      report: fc.boolean(),
      beneath: fc.option(bytes, { nil: undefined }),
    }),
    fc.record({
      op: fc.constant("watch" as const),
      path: bytes,
      recursive: fc.boolean(),
      exclude: fc.array(text, { maxLength: 3 }),
    }),
    fc.record({
      op: fc.constant("mount" as const),
      path: bytes,
      readOnly: fc.boolean(),
      cache: fc.constantFrom("none", "auto", "always"),
    }),
    fc.record({
      op: fc.constant("rename" as const),
      path: bytes,
      to: bytes,
      replace: fc.boolean(),
    }),
    fc.record({
      op: fc.constant("attach" as const),
      id: text,
      offset: fc.option(fc.nat(), { nil: undefined }),
      halfClose: fc.boolean(),
      tty: fc.constant(undefined),
    }),
    fc.record({
      op: fc.constant("logs" as const),
      id: text,
      offset: fc.option(fc.nat(), { nil: undefined }),
      follow: fc.boolean(),
      tail: fc.option(fc.nat(), { nil: undefined }),
      sinceMs: fc.option(fc.nat(), { nil: undefined }),
      timestamps: fc.boolean(),
    }),
    id.map(({ id: session }) => ({ op: "kill" as const, id: session, signal: 9, remove: true })),
    fc.constant({ op: "dial" as const, endpoint: { kind: "tcp" as const, host: "h", port: 80 } }),
    fc.constant({ op: "listen" as const, endpoint: { kind: "unix" as const, path: "/x" } }),
    fc.constant({ op: "power" as const, action: "reboot" as const }),
    fc.constant({ op: "sessions" as const }),
  );

  test("go there and back, with names of any bytes", () => {
    fc.assert(
      fc.property(requests, (request) => {
        const decoded = decodeChannelRequest(overTheWire(encodeChannelRequest(request)));
        expect(decoded).toEqual(request);
      }),
      { numRuns: 2000 },
    );
  });

  test.each([
    [{}, "op is missing"],
    [{ op: "fly" }, "unknown request"],
    [{ op: "watch", path: "/a", exclude: "x" }, "exclude"],
    [{ op: "watch" }, "path"],
    [{ op: "logs", id: "a", tail: -1 }, "tail"],
    [{ op: "logs", id: "a", sinceMs: "1" }, "sinceMs"],
    [{ op: "logs", id: "a", timestamps: 1 }, "timestamps"],
    [{ op: "mount", path: "/a" }, "cache is missing"],
    [{ op: "mount", cache: "auto" }, "path"],
    [{ op: "remove", path: "/a", beneath: 1 }, "beneath"],
    [{ op: "stat" }, "path"],
    [{ op: "stat", path: "" }, "empty"],
    [{ op: "stat", path: "a\0b" }, "NUL"],
    [{ op: "stat", path: { base64: "?" } }, "not a path"],
    [{ op: "stat", path: "x".repeat(5000) }, "fewer than"],
    [{ op: "get", path: "/x", name: ".." }, "not the name of a file"],
    [{ op: "get", path: "/x", name: "a/b" }, "not the name of a file"],
    [{ op: "put", path: "/x", resume: 1 }, "neither true nor false"],
    [{ op: "dial", port: 0 }, "port"],
    [{ op: "dial", port: 65_536 }, "port"],
    [{ op: "kill" }, "id is missing"],
    [{ op: "power", action: "explode" }, "unknown action"],
    [{ op: "exec" }, "command is missing"],
    [{ op: "exec", command: "x", tty: [] }, "tty"],
    [{ op: "mkdir", path: "/x", mode: 0o10000 }, "mode"],
  ])("refuses %j", (object, message) => {
    expect(() => decodeChannelRequest(object)).toThrow(message);
  });

  test("a control is a signal or a size", () => {
    expect(decodeExecControl({ signal: 15 })).toEqual({ kind: "signal", signal: 15 });
    expect(decodeExecControl({ tty: { rows: 5, cols: 6 } })).toEqual({
      kind: "resize",
      size: { rows: 5, cols: 6 },
    });
    for (const wrong of [{}, { signal: 65 }, { signal: "9" }, { tty: 1 }]) {
      expect(() => decodeExecControl(wrong)).toThrow();
    }
  });
});

describe("file records", () => {
  const status = {
    mode: fc.integer({ min: 0, max: 0o7777 }),
    seconds: fc.integer({ min: -(2 ** 31), max: 2 ** 33 }),
    nanoseconds: fc.integer({ min: 0, max: 999_999_999 }),
    uid: fc.nat(),
    gid: fc.nat(),
  };
  const records: fc.Arbitrary<TreeRecord> = fc.oneof(
    fc.record({ kind: fc.constant("directory" as const), name, ...status }),
    fc.record({
      kind: fc.constant("file" as const),
      name,
      size: fc.option(fc.maxSafeNat(), { nil: undefined }),
      ...status,
    }),
    fc.record({ kind: fc.constant("link" as const), name, target: bytes, ...status }),
    fc.record({ kind: fc.constant("hole" as const), bytes: fc.nat() }),
    fc.record({ kind: fc.constant("from" as const), offset: fc.maxSafeNat() }),
    fc.constant({ kind: "leave" as const }),
    fc.constant({ kind: "end" as const, sha256: "0".repeat(64), error: undefined }),
    fc.record({ kind: fc.constant("skipped" as const), name, error: text }),
  );

  test("go there and back, with names of any bytes", () => {
    fc.assert(
      fc.property(records, (record) => {
        expect(decodeTreeRecord(overTheWire(encodeTreeRecord(record)))).toEqual(record);
      }),
      { numRuns: 2000 },
    );
  });

  test.each(["..", ".", "a/b", "/", "", "x".repeat(256), "a\0"])(
    "the name %j leads nowhere",
    (wrong) => {
      for (const kind of ["file", "directory", "link", "skipped"]) {
        expect(() => decodeTreeRecord({ kind, name: wrong, target: "t" })).toThrow();
      }
    },
  );
});
