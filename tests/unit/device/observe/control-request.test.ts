/** A request to a control socket, over real connections to programs of any kind. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { chownSync } from "node:fs";
import {
  type ControlRequest,
  requestControl,
} from "../../../../src/device/observe/control-request.ts";
import { type RawAnswer, response, serveRaw } from "../../../support/raw-http-service.ts";
import { ScratchDirectory } from "../../../support/scratch-directory.ts";

const OTHER = 65_534;
const REQUEST: ControlRequest = { operation: "read the status from", path: "/status" };

let scratch: ScratchDirectory;
let control: string;
beforeEach(() => {
  scratch = new ScratchDirectory();
  control = scratch.file("v.ctl");
});
afterEach(() => scratch[Symbol.dispose]());

/** Sends a request to a service that answers in this way, and returns the result and what was asked. */
async function exchange(answer: RawAnswer, request: Partial<ControlRequest> = {}) {
  using service = serveRaw(control, answer);
  const result = await requestControl(control, { ...REQUEST, ...request }).catch(
    (thrown) => thrown,
  );
  return { result: result as unknown, requests: service.requests };
}

const failure = (code: string, reason: string) => expect.objectContaining({ code, reason });

test("a request names its method and path, and asks for the connection's end", async () => {
  const { result, requests } = await exchange(() => [response(200, '{"a":[1]}')]);
  expect(result).toEqual({ a: [1] });
  expect(requests).toEqual([
    "GET /status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
  ]);
});

test("only a PUT has a body, with its length in bytes", async () => {
  const put = await exchange(() => [response(200, "null")], {
    ...{ path: "/capture", method: "PUT", body: '{"é":1}' },
  });
  expect(put.result).toBe(null);
  expect(put.requests).toEqual([
    'PUT /capture HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 8\r\n\r\n{"é":1}',
  ]);
  using again = new ScratchDirectory();
  control = again.file("v.ctl");
  const end = await exchange(() => [response(200, "null")], { path: "/capture", method: "DELETE" });
  expect(end.requests).toEqual([
    "DELETE /capture HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
  ]);
});

test("a response in several pieces is read to its end", async () => {
  const whole = response(200, '{"pieces":4}');
  const pieces = [whole.slice(0, 5), whole.slice(5, 30), whole.slice(30, -3), whole.slice(-3)];
  expect((await exchange(() => pieces)).result).toEqual({ pieces: 4 });
});

test("a body without a length is as long as the connection", async () => {
  const parts = ["HTTP/1.1 200 OK\r\n\r\n[1,", "2]"];
  expect((await exchange(() => parts)).result).toEqual([1, 2]);
});

test("a 200 that is not JSON has no value", async () => {
  expect((await exchange(() => [response(200, "hello")])).result).toBeUndefined();
});

test("an error of the service has its code, reason and hint", async () => {
  const body = JSON.stringify({ code: "REFUSED", message: "a capture is running", hint: "end it" });
  const { result } = await exchange(() => [response(400, body)]);
  expect(result).toMatchObject({
    ...{ code: "REFUSED", reason: "a capture is running", hint: "end it" },
    ...{ operation: "read the status from", address: control },
  });
});

test.each([
  ["an error without JSON", [response(404, "not found")]],
  ["something that is not HTTP", ["SSH-2.0-OpenSSH\r\n\r\n"]],
  ["a part of a head", ["HTTP/1.1 200 OK\r\nConte"]],
  ["a part of a body", ["HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}"]],
  ["no byte", []],
])("a program that sends %s is not a control socket", async (_, parts) => {
  const { result } = await exchange(() => parts);
  expect(result).toEqual(failure("BAD_DATA", "it is not a control socket of vsockbox"));
  expect(result).toMatchObject({ operation: "read the status from", address: control });
});

test.each(["hybrid-proxy", "export"] as const)(
  "a silent %s is named as silent, with the command that asks all",
  async (service) => {
    const { result, requests } = await exchange(() => undefined, { timeoutMs: 50, service });
    expect(requests).toHaveLength(1);
    expect(result).toEqual(failure("TIMEOUT", "no response"));
    expect(result).toMatchObject({
      ...{ operation: "read the status from", address: control },
      hint: `\`vsockbox ${service} status\` without a path asks all that run`,
    });
  },
);

test("a path without a listener is unavailable", async () => {
  const asked = requestControl(control, REQUEST);
  expect(await asked.catch((thrown) => thrown)).toMatchObject({ code: "UNAVAILABLE" });
});

describe.if(process.geteuid?.() === 0)("a control socket of another user", () => {
  /** Listens as that user: the kernel keeps the credentials of listen(2). */
  function serveAsOther(): Disposable {
    chownSync(scratch.path, OTHER, OTHER);
    process.seteuid?.(OTHER);
    try {
      return serveRaw(control, () => [response(200, "[]")]);
    } finally {
      process.seteuid?.(0);
    }
  }

  test("is asked by root if that user owns the file", async () => {
    using _service = serveAsOther();
    expect(await requestControl(control, REQUEST)).toEqual([]);
  });

  test("is refused if root owns the file", async () => {
    using _service = serveAsOther();
    chownSync(control, 0, 0);
    const asked = requestControl(control, REQUEST);
    expect(await asked.catch((thrown) => thrown)).toMatchObject({
      code: "REFUSED",
      reason: expect.stringContaining(`user ${OTHER} listens there`) as string,
    });
  });
});
