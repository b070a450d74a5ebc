import { describe, expect, test } from "bun:test";
import { existsSync, renameSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { type HttpServer, parseHttpAddress, serveHttp } from "../../../src/net/http.ts";
import { ScratchDirectory } from "../../support/scratch-directory.ts";

describe("an address to serve on", () => {
  test.each([
    ["tcp:127.0.0.1:9464", { kind: "tcp", host: "127.0.0.1", port: 9464 }],
    ["127.0.0.1:9464", { kind: "tcp", host: "127.0.0.1", port: 9464 }],
    [":0", { kind: "tcp", host: "0.0.0.0", port: 0 }],
    ["tcp:*:1", { kind: "tcp", host: "0.0.0.0", port: 1 }],
    ["[::1]:65535", { kind: "tcp", host: "::1", port: 65_535 }],
    ["unix:/run/x y.sock", { kind: "unix", path: "/run/x y.sock" }],
  ])("%s", (text, endpoint) => {
    expect<unknown>(parseHttpAddress(text, "metrics")).toEqual(endpoint);
  });

  test.each(["", "9464", "tcp:9464", "a:65536", "a:b", "::1:5", "unix:", "[::1]", "a:1:2"])(
    "%j is refused",
    (text) => {
      expect(() => parseHttpAddress(text, "metrics")).toThrow(
        expect.objectContaining({ code: "USAGE" }) as Error,
      );
    },
  );

  test("an error names the range of ports, and the forms without a port of its own", () => {
    expect(() => parseHttpAddress("127.0.0.1:70000", "metrics")).toThrow(
      expect.objectContaining({
        reason: "expected a port from 0 to 65535",
        hint: "write 127.0.0.1:PORT, [::1]:PORT, :PORT for all addresses, or unix:PATH",
      }) as Error,
    );
  });
});

describe("a server on a Unix socket", () => {
  const answer = () => new Response("yes");
  const serve = (path: string): HttpServer => serveHttp({ kind: "unix", path }, answer);
  const cannot = expect.objectContaining({ code: "CANNOT_CREATE" }) as Error;

  test("is for its user alone, and removes its socket", async () => {
    using scratch = new ScratchDirectory();
    const path = scratch.file("x.ctl");
    const server = serve(path);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(await (await fetch("http://x/", { unix: path })).text()).toBe("yes");
    expect(() => serve(path)).toThrow(cannot);
    server.close();
    expect(existsSync(path)).toBe(false);
  });

  test("replaces a socket without a listener, and no other file", () => {
    using scratch = new ScratchDirectory();
    const path = scratch.file("x.ctl");
    const stale = Bun.listen({ unix: scratch.file("stale"), socket: { data() {} } });
    renameSync(scratch.file("stale"), path);
    stale.stop(true);
    serve(path).close();
    writeFileSync(path, "mine");
    expect(() => serve(path)).toThrow(cannot);
    expect(() => serve(scratch.file("none/x.ctl"))).toThrow(cannot);
    symlinkSync(path, scratch.file("link"));
    expect(() => serve(scratch.file("link"))).toThrow(cannot);
  });

  test("keeps the file of another process in its place", () => {
    using scratch = new ScratchDirectory();
    const path = scratch.file("x.ctl");
    const server = serve(path);
    renameSync(path, scratch.file("old"));
    writeFileSync(path, "mine");
    server.close();
    expect(existsSync(path)).toBe(true);
  });
});

test("a TCP port that is in use is an error", () => {
  const endpoint = { kind: "tcp", host: "127.0.0.1", port: 0 } as const;
  const server = serveHttp(endpoint, () => new Response("yes"));
  expect(server.endpoint.kind === "tcp" && server.endpoint.port).toBeGreaterThan(0);
  expect(() => serveHttp(server.endpoint, () => new Response("no"))).toThrow(
    expect.objectContaining({ code: "CANNOT_CREATE", errno: "EADDRINUSE" }) as Error,
  );
  server.close();
});
