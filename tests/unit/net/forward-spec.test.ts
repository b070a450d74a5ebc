import { describe, expect, test } from "bun:test";
import { type ForwardSpec, parseForward } from "../../../src/net/forward-spec.ts";
import { formatHostPort } from "../../../src/text/endpoint.ts";

describe("parseForward", () => {
  test.each([
    [
      "8080:localhost:80",
      { kind: "tcp", host: "127.0.0.1", port: 8080 },
      { kind: "tcp", host: "localhost", port: 80 },
    ],
    [
      "0:db:5432",
      { kind: "tcp", host: "127.0.0.1", port: 0 },
      { kind: "tcp", host: "db", port: 5432 },
    ],
    [
      "0:/run/d.sock",
      { kind: "tcp", host: "127.0.0.1", port: 0 },
      { kind: "unix", path: "/run/d.sock" },
    ],
    ["/a.sock:/b.sock", { kind: "unix", path: "/a.sock" }, { kind: "unix", path: "/b.sock" }],
    [
      "0.0.0.0:1:h:2",
      { kind: "tcp", host: "0.0.0.0", port: 1 },
      { kind: "tcp", host: "h", port: 2 },
    ],
    ["*:1:h:2", { kind: "tcp", host: "0.0.0.0", port: 1 }, { kind: "tcp", host: "h", port: 2 }],
    [":1:h:2", { kind: "tcp", host: "0.0.0.0", port: 1 }, { kind: "tcp", host: "h", port: 2 }],
    [
      "[::1]:1:[fe80::2]:2",
      { kind: "tcp", host: "::1", port: 1 },
      { kind: "tcp", host: "fe80::2", port: 2 },
    ],
    [
      "/run/x.sock:localhost:80",
      { kind: "unix", path: "/run/x.sock" },
      { kind: "tcp", host: "localhost", port: 80 },
    ],
    [
      "1::2",
      { kind: "tcp", host: "127.0.0.1", port: 1 },
      { kind: "tcp", host: "127.0.0.1", port: 2 },
    ],
  ])("reads %s", (text, listen, target) => {
    expect(parseForward(text, "-L")).toEqual({ listen, target } as ForwardSpec);
  });

  test.each([
    "",
    "80",
    "80:h",
    "x:h:80",
    "80:h:0",
    "80:h:65536",
    "1:2:3:4:5",
    "b:/x.sock:h:1",
    "80:h:-1",
  ])("refuses %j with the right forms", (text) => {
    expect(() => parseForward(text, "-L")).toThrow(
      `invalid value ${JSON.stringify(text)} for -L: `,
    );
  });

  test("IPv6 hosts are shown in brackets", () => {
    expect([formatHostPort("::1", 80), formatHostPort("h", 80)]).toEqual(["[::1]:80", "h:80"]);
  });
});
