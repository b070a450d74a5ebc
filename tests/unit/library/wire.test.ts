/** Messages on a connection of the caller: exact reads, limits, and each answer of an agent. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { VsockboxError } from "../../../src/errors.ts";
import {
  listFilesOn,
  openPortForwardOn,
  readFileOn,
  readFull,
  readMessage,
  sendMessage,
  writeFileOn,
} from "../../../src/library/wire.ts";
import {
  encodeFrame,
  encodeJsonFrame,
  encodeRawFrame,
  FrameType,
} from "../../../src/protocols/agent/frame.ts";
import { MemoryConn } from "../../support/memory-conn.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

/** A connection whose peer sends these frames, then `rest`. */
function peerOf(frames: readonly Uint8Array[], rest = ""): MemoryConn {
  return new MemoryConn([Buffer.concat([...frames, bytes(rest)])]);
}

const failureOf = (promise: Promise<unknown>) => promise.catch((thrown: unknown) => thrown);

/** The frames that were written, as type and text. */
function written(conn: MemoryConn): unknown[] {
  return conn.written.map((frame) => [
    frame[0],
    JSON.parse(Buffer.from(frame.subarray(5)).toString()) as unknown,
  ]);
}

describe("readFull", () => {
  test("returns exactly the bytes, however they arrive, and leaves the others", async () => {
    const all = Uint8Array.from({ length: 30 }, (_, index) => index);
    await fc.assert(
      fc.asyncProperty(fc.nat(30), fc.nat(30), async (count, cut) => {
        const conn = new MemoryConn([all.subarray(0, cut), all.subarray(cut)]);
        expect(await readFull(conn, count)).toEqual(all.slice(0, count));
        expect(conn.unread).toEqual(Buffer.from(all.subarray(count)));
      }),
    );
  });

  test("an input that ends before is TRANSPORT with the number of missing bytes", async () => {
    const failure = await failureOf(readFull(new MemoryConn([bytes("abc")]), 5));
    expect(failure).toBeInstanceOf(VsockboxError);
    expect(failure).toMatchObject({
      code: "TRANSPORT",
      message: expect.stringContaining("closed 2 of 5 bytes too early"),
    });
  });

  test("a count that is not a number of bytes is a RangeError", async () => {
    for (const count of [-1, 1.5, Number.NaN, Infinity]) {
      expect(await failureOf(readFull(new MemoryConn([]), count))).toBeInstanceOf(RangeError);
    }
  });
});

describe("sendMessage and readMessage", () => {
  test("a message comes back as it was sent, of any type and in any chunks", async () => {
    const message = fc.record({
      type: fc.integer({ min: 0, max: 255 }),
      payload: fc.uint8Array({ maxLength: 40 }),
    });
    await fc.assert(
      fc.asyncProperty(message, fc.nat(45), async ({ type, payload }, cut) => {
        const sent = new MemoryConn([]);
        await sendMessage(sent, type, payload);
        const frame = Buffer.concat(sent.written);
        expect(frame).toEqual(Buffer.from(encodeRawFrame(type, payload)));
        const stream = Buffer.concat([frame, bytes("rest")]);
        const conn = new MemoryConn([stream.subarray(0, cut), stream.subarray(cut)]);
        const received = await readMessage(conn);
        expect(received?.type).toBe(type);
        expect(Buffer.from(received?.payload ?? [])).toEqual(Buffer.from(payload));
        expect(conn.unread).toEqual(Buffer.from("rest"));
      }),
    );
  });

  test("a message of many pieces, and one of vsockbox with its channel, is whole", async () => {
    const payload = Uint8Array.from({ length: 100 }, (_, index) => index);
    for (const type of [FrameType.Stdout, FrameType.Data]) {
      const frame = encodeFrame(type, payload);
      const conn = new MemoryConn(Array.from(frame, (byte) => Uint8Array.of(byte)));
      expect((await readMessage(conn))?.payload).toEqual(Buffer.from(payload));
    }
  });

  test("a text is UTF-8, and no payload is empty", async () => {
    const conn = new MemoryConn([]);
    await sendMessage(conn, 3, "ä");
    await sendMessage(conn, 7);
    expect(conn.written.map((frame) => Array.from(frame))).toEqual([
      [3, 0, 0, 0, 2, 0xc3, 0xa4],
      [7, 0, 0, 0, 0],
    ]);
  });

  test("a type outside of a byte is a RangeError, and nothing is sent", async () => {
    const conn = new MemoryConn([]);
    for (const type of [-1, 256, 1.5, Number.NaN]) {
      expect(await failureOf(sendMessage(conn, type))).toBeInstanceOf(RangeError);
    }
    expect(conn.written).toEqual([]);
  });

  test("the end between two messages is undefined, inside one TRANSPORT", async () => {
    const frame = encodeFrame(FrameType.Exit, Uint8Array.of(0, 0, 0, 1));
    const conn = peerOf([frame]);
    expect((await readMessage(conn))?.type).toBe(FrameType.Exit);
    expect(await readMessage(conn)).toBeUndefined();
    for (let length = 1; length < frame.length; length++) {
      const cut = new MemoryConn([frame.subarray(0, length)]);
      const step = length < 5 ? "read_response_header" : "read_response_data";
      expect(await failureOf(readMessage(cut))).toMatchObject({ code: "TRANSPORT", step });
    }
  });

  test("a message above the limit is BAD_DATA after its header", async () => {
    const frame = encodeFrame(FrameType.Stdout, new Uint8Array(101));
    const conn = peerOf([frame]);
    expect(await failureOf(readMessage(conn, { maxBytes: 100 }))).toMatchObject({
      code: "BAD_DATA",
      step: "read_response_header",
    });
    expect(conn.unread.length).toBe(101);
    expect((await readMessage(peerOf([frame]), { maxBytes: 101 }))?.payload.length).toBe(101);
  });
});

describe("files", () => {
  test("writeFile sends path, content and mode, and accepts an empty answer", async () => {
    const conn = peerOf([encodeJsonFrame(FrameType.FileResult, {})], "rest");
    await writeFileOn(conn, "/a/ä", "text", { mode: 0o600 });
    await writeFileOn(peerOf([encodeJsonFrame(FrameType.FileResult, {})]), "/b", bytes("x"));
    expect(written(conn)).toEqual([
      [FrameType.WriteFile, { path: "/a/ä", content: "dGV4dA==", mode: 0o600 }],
    ]);
    expect(conn.unread).toEqual(Buffer.from("rest"));
    expect(conn.isClosed).toBe(false);
  });

  test("the default mode is 0644", async () => {
    const conn = peerOf([encodeJsonFrame(FrameType.FileResult, {})]);
    await writeFileOn(conn, "/b", "");
    expect(written(conn)).toMatchObject([[FrameType.WriteFile, { mode: 0o644 }]]);
  });

  test("a file above 16 MiB is refused before anything is sent", async () => {
    const conn = new MemoryConn([]);
    const failure = await failureOf(writeFileOn(conn, "/b", new Uint8Array(16 * 2 ** 20 + 1)));
    expect(failure).toMatchObject({ code: "UNAVAILABLE", step: "encode_file_request" });
    expect(conn.written).toEqual([]);
  });

  test("readFile returns the content; null and none are empty", async () => {
    const answers = [{ content: "dGV4dA==" }, { content: null }, {}];
    const contents = await Promise.all(
      answers.map((answer) =>
        readFileOn(peerOf([encodeJsonFrame(FrameType.FileResult, answer)]), "/x"),
      ),
    );
    expect(contents.map((content) => Buffer.from(content).toString())).toEqual(["text", "", ""]);
  });

  test("listFiles has kinds and permission bits", async () => {
    const files = [
      { name: "d", size: 4096, mode: 2 ** 31 + 0o755, is_dir: true },
      { name: "l", size: 1, mode: 2 ** 27 + 0o777 },
      { name: "s", size: 2, mode: 2 ** 23 + 0o755 },
    ];
    const conn = peerOf([encodeJsonFrame(FrameType.FileResult, { files })]);
    expect(await listFilesOn(conn, "/")).toEqual([
      { name: "d", type: "directory", size: 4096, mode: 0o755 },
      { name: "l", type: "link", size: 1, mode: 0o777 },
      { name: "s", type: "file", size: 2, mode: 0o4755 },
    ]);
  });

  test("the agent's error, its refusal, another frame, and none", async () => {
    const cases: [Uint8Array[], object][] = [
      [
        [encodeJsonFrame(FrameType.FileResult, { error: "open /x: no such file" })],
        { code: "IO", step: "file_remote", message: expect.stringContaining("no such file") },
      ],
      [
        [encodeFrame(FrameType.Stderr, bytes("connection refused: too many sessions"))],
        { code: "REFUSED", step: "file_remote" },
      ],
      [
        [encodeFrame(FrameType.Exit, new Uint8Array(4))],
        { code: "BAD_DATA", step: "read_response_data" },
      ],
      [
        [encodeFrame(FrameType.FileResult, bytes("{"))],
        { code: "BAD_DATA", step: "read_response_data" },
      ],
      [[], { code: "TRANSPORT", step: "read_response_header" }],
      [[Uint8Array.of(17, 0)], { code: "TRANSPORT", step: "read_response_header" }],
      [[Uint8Array.of(17, 0, 0, 0, 9)], { code: "TRANSPORT", step: "read_response_data" }],
    ];
    for (const [frames, expected] of cases) {
      expect(await failureOf(readFileOn(peerOf(frames), "/x"))).toMatchObject(expected);
    }
  });

  test("a path that is empty or has a NUL byte is USAGE, and nothing is sent", async () => {
    const conn = new MemoryConn([]);
    for (const path of ["", "/a\0b"]) {
      expect(await failureOf(readFileOn(conn, path))).toMatchObject({ code: "USAGE" });
      expect(await failureOf(listFilesOn(conn, path))).toMatchObject({ code: "USAGE" });
      expect(await failureOf(writeFileOn(conn, path, ""))).toMatchObject({ code: "USAGE" });
    }
    expect(conn.written).toEqual([]);
  });
});

test("a connection that fails to write is the step of the request", async () => {
  const broken = new VsockboxError({ code: "TRANSPORT", operation: "write to", message: "closed" });
  const conn = new MemoryConn([]);
  conn.write = () => Promise.reject(broken);
  const failure = await failureOf(openPortForwardOn(conn, { port: 22 }));
  expect(failure).toMatchObject({ code: "TRANSPORT", step: "write_request", cause: broken });
  conn.write = () => Promise.reject(new TypeError("not a connection"));
  expect(await failureOf(openPortForwardOn(conn, { port: 22 }))).toBeInstanceOf(TypeError);
});

describe("openPortForward", () => {
  const ready = encodeFrame(FrameType.Ready, new Uint8Array(0));

  test("leaves the target's bytes to the caller", async () => {
    const conn = peerOf([ready], "SSH-2.0");
    await openPortForwardOn(conn, { port: 22 });
    expect(written(conn)).toEqual([[FrameType.PortForward, { host: "127.0.0.1", port: 22 }]]);
    expect(conn.unread).toEqual(Buffer.from("SSH-2.0"));
    expect(conn.isClosed).toBe(false);
    const other = peerOf([ready]);
    await openPortForwardOn(other, { host: "db", port: 5432 });
    expect(written(other)).toMatchObject([[FrameType.PortForward, { host: "db", port: 5432 }]]);
  });

  test("the agent's reason, its refusal, another frame, and none", async () => {
    const cases: [Uint8Array[], object][] = [
      [
        [encodeFrame(FrameType.Stderr, bytes("dial tcp 127.0.0.1:22: connection refused\n"))],
        {
          code: "UNAVAILABLE",
          step: "port_forward_rejected",
          message: expect.stringContaining("dial tcp"),
        },
      ],
      [
        [encodeFrame(FrameType.Exit, new Uint8Array(4))],
        { code: "BAD_DATA", step: "unexpected_port_forward_message" },
      ],
      [[], { code: "TRANSPORT", step: "read_port_forward_response" }],
      [[Uint8Array.of(6, 0)], { code: "TRANSPORT", step: "read_port_forward_response" }],
    ];
    for (const [frames, expected] of cases) {
      const failure = await failureOf(openPortForwardOn(peerOf(frames), { port: 22 }));
      expect(failure).toMatchObject(expected);
    }
  });
});
