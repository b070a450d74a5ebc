/** The server in one event loop with its clients: `server.ts`, `server-test.ts` and `control-link.ts`. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { BulkStream } from "../../../src/bench/bulk-stream.ts";
import { ControlLink } from "../../../src/bench/control-link.ts";
import { BenchServer, type ServerTimeouts } from "../../../src/bench/server.ts";
import type { ServedTest } from "../../../src/bench/server-test.ts";
import type { VsockboxError } from "../../../src/errors.ts";
import { readDescriptor, shutdownWrite, writeDescriptor } from "../../../src/ffi/socket.ts";
import { EventLoop } from "../../../src/io/event-loop.ts";
import { type ControlMessage, encodeControl } from "../../../src/protocols/bench/control.ts";
import {
  type BenchRequest,
  encodeBenchRequest,
  type TestRequest,
} from "../../../src/protocols/bench/request.ts";
import { type BenchResponse, decodeBenchResponse } from "../../../src/protocols/bench/response.ts";
import { runUntil, SocketPair } from "../../support/socket-pair.ts";

let loop: EventLoop;
let server: BenchServer;
let served: ServedTest[];
let clients: SocketPair[];
beforeEach(() => {
  loop = new EventLoop();
  served = [];
  clients = [];
  serve(1, 1000);
});
afterEach(() => {
  server.close();
  loop.close();
  for (const client of clients) client[Symbol.dispose]();
});

function serve(maxClients: number, maxDurationMs: number, timeouts?: ServerTimeouts): void {
  const onServed = (one: ServedTest) => void served.push(one);
  const options = { loop, maxClients, maxDurationMs, onServed };
  server = new BenchServer(timeouts === undefined ? options : { ...options, timeouts });
}

const LONG: ServerTimeouts = { requestMs: 60_000, connectMs: 60_000, graceMs: 60_000 };

/** Connects, sends bytes, and returns the descriptor. */
function connect(bytes: Uint8Array): { fd: number; pair: SocketPair } {
  const pair = new SocketPair();
  clients.push(pair);
  server.accept(pair.release(pair.far));
  if (bytes.length > 0) writeDescriptor(pair.near, bytes);
  return { fd: pair.near, pair };
}

function answerOf(fd: number): BenchResponse {
  const bytes = new Uint8Array(32);
  runUntil(loop, "the answer", () => readDescriptor(fd, bytes) === bytes.length);
  return decodeBenchResponse(bytes);
}

function ask(request: BenchRequest): { fd: number; pair: SocketPair; answer: BenchResponse } {
  const { fd, pair } = connect(encodeBenchRequest(request));
  return { fd, pair, answer: answerOf(fd) };
}

const upload: TestRequest = {
  ...{ kind: "control", test: "upload", streams: 1, messageBytes: 1000 },
  ...{ durationMs: 0, limitBytes: 0 },
} as TestRequest;

/** A client that has started a test with its streams. */
function begin(changes: Partial<TestRequest>) {
  const request = { ...upload, ...changes };
  const { fd, pair, answer } = ask(request);
  expect(answer.status).toBe("accepted");
  const { token } = answer;
  const messages: ControlMessage[] = [];
  const errors: VsockboxError[] = [];
  const control = new ControlLink({
    ...{ loop, fd },
    onMessage: (message) => void messages.push(message),
    onEnd: (error) => void errors.push(error),
  });
  const count = request.test === "connects" ? 0 : request.streams;
  const streams = Array.from({ length: count }, (_, stream) => {
    const data = ask({ kind: "data", token, stream });
    expect(data.answer.status).toBe("accepted");
    return data.fd;
  });
  return { control, token, messages, errors, streams, pair };
}

describe("a request", () => {
  test("is answered as soon as its last byte is there", () => {
    const bytes = encodeBenchRequest(upload);
    const { fd } = connect(bytes.subarray(0, 47));
    for (let round = 0; round < 3; round++) loop.round(0);
    expect(readDescriptor(fd, new Uint8Array(1))).toBeLessThan(0);
    writeDescriptor(fd, bytes.subarray(47));
    expect(answerOf(fd)).toMatchObject({ status: "accepted", limit: 0 });
  });

  test("is refused while as many clients are served as it serves", () => {
    const first = ask(upload);
    expect(first.answer.status).toBe("accepted");
    expect(ask(upload).answer).toMatchObject({ status: "busy", limit: 1 });
    first.pair.close(first.fd);
    runUntil(loop, "the first is forgotten", () => served.length === 1);
    expect(served).toMatchObject([{ result: undefined, error: { code: "TRANSPORT" } }]);
    expect(ask(upload).answer.status).toBe("accepted");
  });

  test("is served beside others up to that number", () => {
    serve(2, 1000);
    const answers = [ask(upload), ask(upload), ask(upload)].map(({ answer }) => answer.status);
    expect(answers).toEqual(["accepted", "accepted", "busy"]);
  });

  test("is refused if the test is too long", () => {
    expect(ask({ ...upload, durationMs: 1001 }).answer).toMatchObject({
      status: "too-long",
      limit: 1000,
    });
    expect(ask({ ...upload, durationMs: 1000 }).answer.status).toBe("accepted");
  });

  test("of a stream is refused without its token, beyond the streams, and twice", () => {
    const { answer } = ask({ ...upload, streams: 2 });
    const { token } = answer;
    const other = token.with(0, (token[0] ?? 0) ^ 1);
    const statusOf = (stream: number, own = token): string | undefined =>
      ask({ kind: "data", token: own, stream }).answer.status;
    expect([statusOf(0, other), statusOf(2), statusOf(0), statusOf(0), statusOf(1)]).toEqual([
      ...["unknown-test", "unknown-test", "accepted", "unknown-test", "accepted"],
    ]);
  });

  test("closes after a refusal when the client closes", () => {
    const { fd } = connect(Buffer.from("GET /"));
    expect(answerOf(fd).status).toBe("invalid");
    expect(readDescriptor(fd, new Uint8Array(1))).toBe(0);
    writeDescriptor(fd, new Uint8Array(100));
    shutdownWrite(fd);
    runUntil(loop, "it is closed", () => writeDescriptor(fd, new Uint8Array(1)) < 0);
  });
});

describe("a client that does nothing", () => {
  /** Whether the server has closed the connection. */
  const isClosed = (fd: number) => () => readDescriptor(fd, new Uint8Array(1)) === 0;

  test.each([0, 47])("after %d bytes of its request is disconnected", (length) => {
    serve(1, 1000, { ...LONG, requestMs: 50 });
    expect(server.isIdle).toBe(true);
    const { fd } = connect(encodeBenchRequest(upload).subarray(0, length));
    expect(server.isIdle).toBe(false);
    runUntil(loop, "it is closed", isClosed(fd));
    expect(server.isIdle).toBe(true);
  });

  test("without its streams loses its test", () => {
    serve(1, 1000, { ...LONG, connectMs: 50 });
    const { fd } = ask(upload);
    runUntil(loop, "it is closed", isClosed(fd));
    expect(served).toMatchObject([{ error: { code: "TIMEOUT" } }]);
    expect(server.isIdle).toBe(true);
  });

  test("after the start of its test loses it after the longest duration", () => {
    serve(1, 30, { ...LONG, graceMs: 30 });
    const { control } = begin({});
    control.send({ type: "start" });
    runUntil(loop, "it has ended", () => served.length === 1);
    expect(served).toMatchObject([{ error: { code: "TIMEOUT" } }]);
  });

  test("keeps its test for as long as that", () => {
    serve(1, 1000, { ...LONG, requestMs: 20 });
    const { control, messages, streams } = begin({});
    control.send({ type: "start" });
    const until = performance.now() + 200;
    while (performance.now() < until) loop.round(10);
    for (const fd of streams) shutdownWrite(fd);
    runUntil(loop, "the result", () => messages.length === 1);
  });

  test("is one of a limited number", () => {
    const fds = Array.from({ length: 64 + 256 + 1 }, () => connect(new Uint8Array(0)).fd);
    const last = fds.at(-1) ?? -1;
    expect(readDescriptor(last, new Uint8Array(1))).toBe(0);
    expect(readDescriptor(fds.at(-2) ?? -1, new Uint8Array(1))).toBeLessThan(0);
  });
});

describe("a test", () => {
  test("of upload counts what each stream has sent, in the order of their numbers", () => {
    const { control, messages, streams } = begin({ streams: 3 });
    control.send({ type: "start" });
    for (const [index, fd] of streams.entries()) {
      writeDescriptor(fd, new Uint8Array(100 * (index + 1)));
      shutdownWrite(fd);
    }
    runUntil(loop, "the result", () => messages.length === 1);
    expect(messages).toMatchObject([
      {
        type: "result",
        result: {
          streams: [100, 200, 300].map((receivedBytes) => ({ receivedBytes, sentBytes: 0 })),
        },
      },
    ]);
  });

  test.each(["download", "both"] as const)("of %s sends up to the limit", (name) => {
    const { control, messages, streams } = begin({ test: name, limitBytes: 5000 });
    const [fd = -1] = streams;
    let ended = 0;
    const stream = new BulkStream({
      ...{ loop, fd, limitBytes: 70 },
      message: name === "both" ? new Uint8Array(7) : undefined,
      buffer: new Uint8Array(1000),
      onEnd: () => ended++,
      onFailure: (error) => {
        throw error;
      },
    });
    control.send({ type: "start" });
    runUntil(loop, "the end", () => ended === 1 && messages.length === 1);
    expect(stream.receivedBytes).toBe(5000);
    const receivedBytes = name === "both" ? 70 : 0;
    expect(messages).toMatchObject([{ result: { streams: [{ receivedBytes, sentBytes: 5000 }] } }]);
  });

  test("of download ends after its duration, or at a stop", () => {
    for (const durationMs of [50, 0]) {
      const { control, messages, streams, pair } = begin({ test: "download", durationMs });
      const [fd = -1] = streams;
      let ended = 0;
      const stream = new BulkStream({
        ...{ loop, fd, message: undefined, limitBytes: Infinity, buffer: new Uint8Array(100_000) },
        onEnd: () => ended++,
        onFailure: (error) => {
          throw error;
        },
      });
      control.send({ type: "start" });
      runUntil(loop, "bytes come", () => stream.receivedBytes > 0);
      if (durationMs === 0) control.send({ type: "stop" });
      runUntil(loop, "the end", () => ended === 1 && messages.length === 1);
      control.close();
      pair.close(pair.near);
      runUntil(loop, "the test is forgotten", () => served.length > 0);
      expect(served).toMatchObject([
        { error: undefined, result: { streams: [{ receivedBytes: 0 }] } },
      ]);
      served = [];
    }
  });

  test("of latency returns messages", () => {
    const { control, messages, streams } = begin({ test: "latency", messageBytes: 3 });
    control.send({ type: "start" });
    const [fd = -1] = streams;
    writeDescriptor(fd, Buffer.from("abc"));
    const buffer = new Uint8Array(3);
    runUntil(loop, "the message is back", () => readDescriptor(fd, buffer) === 3);
    expect(Buffer.from(buffer).toString()).toBe("abc");
    shutdownWrite(fd);
    runUntil(loop, "the result", () => messages.length === 1);
    expect(messages).toMatchObject([{ result: { streams: [{ receivedBytes: 3, sentBytes: 3 }] } }]);
  });

  test("of connects counts connections with its token, and ends at a stop", () => {
    const { control, messages, token, pair } = begin({ test: "connects" });
    control.send({ type: "start" });
    for (let index = 0; index < 3; index++) {
      const { fd, answer } = ask({ kind: "connect", token });
      expect(answer.status).toBe("accepted");
      expect(readDescriptor(fd, new Uint8Array(1))).toBe(0);
    }
    expect(ask({ kind: "connect", token: new Uint8Array(16) }).answer.status).toBe("unknown-test");
    expect(ask({ kind: "data", token, stream: 0 }).answer.status).toBe("unknown-test");
    control.send({ type: "stop" });
    runUntil(loop, "the result", () => messages.length === 1);
    expect(messages).toMatchObject([{ result: { streams: [] } }]);
    control.close();
    pair.close(pair.near);
    runUntil(loop, "the test is forgotten", () => served.length === 1);
    expect(served).toMatchObject([{ connects: 3, request: { test: "connects" } }]);
  });

  test("has the server's processor time and its duration", () => {
    const { control, messages, streams } = begin({});
    control.send({ type: "start" });
    loop.round(0);
    const until = performance.now() + 30;
    while (performance.now() < until) loop.round(0);
    for (const fd of streams) shutdownWrite(fd);
    runUntil(loop, "the result", () => messages.length === 1);
    const [message] = messages;
    if (message?.type !== "result") throw new Error("no result");
    expect(message.result.elapsedUs).toBeGreaterThanOrEqual(29_000);
    expect(message.result.cpuUserUs + message.result.cpuSystemUs).toBeGreaterThan(0);
  });

  test.each([
    ["a start before all streams", { streams: 2 }, [encodeControl({ type: "start" })], 1],
    ["a second start", {}, [encodeControl({ type: "start" }), encodeControl({ type: "start" })], 1],
    [
      "a stop before the start",
      { test: "connects" as const },
      [encodeControl({ type: "stop" })],
      0,
    ],
    ["bytes that are not a message", {}, [Uint8Array.of(9, 0, 0, 0)], 1],
  ])("ends with %s", (_what, changes, messages, streams) => {
    const { fd, answer } = ask({ ...upload, ...changes });
    for (let stream = 0; stream < streams; stream++)
      ask({ kind: "data", token: answer.token, stream });
    for (const bytes of messages) writeDescriptor(fd, bytes);
    runUntil(loop, "it has ended", () => served.length === 1);
    expect(served).toMatchObject([{ result: undefined, error: { code: "BAD_DATA" } }]);
    runUntil(loop, "it is closed", () => readDescriptor(fd, new Uint8Array(1)) === 0);
  });

  test("accepts no stream after its start", () => {
    const { control, token } = begin({});
    control.send({ type: "start" });
    for (let round = 0; round < 3; round++) loop.round(0);
    expect(ask({ kind: "data", token, stream: 0 }).answer.status).toBe("unknown-test");
  });

  test("ends with the server", () => {
    const { errors } = begin({});
    server.close();
    expect(served).toHaveLength(1);
    runUntil(loop, "the client sees it", () => errors.length === 1);
    expect(errors).toMatchObject([{ code: "TRANSPORT" }]);
  });
});
