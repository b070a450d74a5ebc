/** Requests over any address: their URLs, and what a failure is converted to. */
import { describe, expect, test } from "bun:test";
import { VsockboxError } from "../../../src/errors.ts";
import { Addr } from "../../../src/library/addr.ts";
import { assertStatus, requestError, urlOf } from "../../../src/library/http-client.ts";

describe("the URL of a request", () => {
  test.each([
    ["/", "http://localhost/"],
    ["/a b?c=d#e", "http://localhost/a%20b?c=d#e"],
    // Two slashes are a path as well, not a host.
    ["//evil/x", "http://localhost//evil/x"],
    ["/@evil/x", "http://localhost/@evil/x"],
    ["http://name:81/x", "http://name:81/x"],
    ["https://name/x", "https://name/x"],
  ])("%s", (path, expected) => {
    expect(urlOf(path).href).toBe(expected);
    expect(urlOf(new URL(expected)).href).toBe(expected);
  });

  test.each(["", "x", "x/y", "ftp://name/x", "file:///etc/passwd", "unix:/x", "data:,x"])(
    "%j is a TypeError",
    (path) => {
      expect(() => urlOf(path)).toThrow(TypeError);
    },
  );
});

describe("the error of a request", () => {
  const address = new Addr({ kind: "vsock", cid: 3, port: 80 });
  const none = { address, signal: undefined, failure: undefined };
  const coded = (code: string) => Object.assign(new TypeError("text"), { code });

  test.each([
    ["ECONNRESET", "TRANSPORT"],
    ["ENOENT", "TRANSPORT"],
    ["ConnectionRefused", "TRANSPORT"],
    ["Malformed_HTTP_Response", "BAD_DATA"],
  ])("with the runtime's code %s is %s", (code, expected) => {
    const thrown = coded(code);
    const error = requestError(thrown, none);
    expect(error).toBeInstanceOf(VsockboxError);
    expect(error).toMatchObject({ code: expected, address: String(address), cause: thrown });
  });

  test("about the request itself stays unchanged", () => {
    for (const thrown of [new TypeError("no"), coded("ERR_INVALID_URL"), "text"]) {
      expect(requestError(thrown, none)).toBe(thrown);
    }
  });

  test("is first the signal's, then that of the connection", () => {
    const failure = new VsockboxError({ code: "UNAVAILABLE", operation: "connect" });
    const thrown = coded("ECONNRESET");
    expect(requestError(thrown, { ...none, failure })).toBe(failure);
    const signal = AbortSignal.abort("why");
    expect(requestError(thrown, { address, signal, failure })).toMatchObject({
      code: "ABORTED",
      cause: "why",
    });
    const waiting = new AbortController().signal;
    expect(requestError(thrown, { address, signal: waiting, failure })).toBe(failure);
  });
});

describe("the status of a response", () => {
  const response = (status: number, onCancel = () => {}) => ({
    status,
    url: "http://localhost/",
    body: new ReadableStream<Uint8Array>({ cancel: onCancel }),
  });

  test.each([200, 204, 404, 599])("may be %p", (status) => {
    assertStatus(response(status, () => expect.unreachable()));
  });

  test.each([0, 101, 199, 600, 999])("may not be %p, and its body is dropped", (status) => {
    let cancelled = 0;
    expect(() => assertStatus(response(status, () => void cancelled++))).toThrow(
      expect.objectContaining({ code: "BAD_DATA" }) as Error,
    );
    expect(cancelled).toBe(1);
  });
});
