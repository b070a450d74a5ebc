import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { resolve } from "node:path";
import { VsockboxError } from "../../../src/errors.ts";
import {
  type Address,
  ADDRESS_HINT,
  ANY,
  formatAddress,
  isProfileName,
  parseAddress,
  readCid,
  withDefaultPort,
} from "../../../src/net/address.ts";

const FORMS: [text: string, address: Address][] = [
  ["3", { kind: "vsock", cid: 3, port: undefined }],
  ["3:5000", { kind: "vsock", cid: 3, port: 5000 }],
  ["vsock:3:5000", { kind: "vsock", cid: 3, port: 5000 }],
  ["vsock:3", { kind: "vsock", cid: 3, port: undefined }],
  ["vsock::5000", { kind: "vsock", cid: ANY, port: 5000 }],
  ["vsock:any:any", { kind: "vsock", cid: ANY, port: ANY }],
  ["vsock:-1:-1", { kind: "vsock", cid: ANY, port: ANY }],
  ["vsock/3", { kind: "vsock", cid: 3, port: undefined }],
  ["vsock/3:22", { kind: "vsock", cid: 3, port: 22 }],
  ["vsock%3", { kind: "vsock", cid: 3, port: undefined }],
  ["sibling:4:5000", { kind: "vsock", cid: 4, port: 5000, toHost: true }],
  ["sibling:4", { kind: "vsock", cid: 4, port: undefined, toHost: true }],
  ["host:1024", { kind: "vsock", cid: 2, port: 1024 }],
  ["Local", { kind: "vsock", cid: 1, port: undefined }],
  ["hypervisor:1", { kind: "vsock", cid: 0, port: 1 }],
  ["-1:5000", { kind: "vsock", cid: ANY, port: 5000 }],
  ["4294967294:4294967295", { kind: "vsock", cid: 4294967294, port: ANY }],
  ["hybrid:/run/vm4.vsock", { kind: "hybrid", path: "/run/vm4.vsock", port: undefined }],
  ["hybrid:/run/vm4.vsock:5000", { kind: "hybrid", path: "/run/vm4.vsock", port: 5000 }],
  ["hybrid:/run/a:b/vm:5000", { kind: "hybrid", path: "/run/a:b/vm", port: 5000 }],
  ["hybrid:/run/a:b", { kind: "hybrid", path: "/run/a:b", port: undefined }],
  ["vsock-mux/run/vm4.vsock", { kind: "hybrid", path: "/run/vm4.vsock", port: undefined }],
  ["unix:/run/x.sock", { kind: "unix", path: "/run/x.sock" }],
  ["unix:x.sock", { kind: "unix", path: "x.sock" }],
  ["unix:/run/x:5000", { kind: "unix", path: "/run/x:5000" }],
  ["unix/run/x.sock", { kind: "unix", path: "/run/x.sock" }],
  ["web", { kind: "profile", name: "web", port: undefined }],
  ["web-1.prod:8080", { kind: "profile", name: "web-1.prod", port: 8080 }],
];

describe("parseAddress", () => {
  test.each(FORMS)("reads %s", (text, address) => {
    expect(parseAddress(text)).toEqual(address);
  });

  const MALFORMED = [
    ["", "empty"],
    [":", "CID is missing"],
    [":5000", "vsock::PORT"],
    ["3:", "not a port"],
    ["3:x", "not a port"],
    ["3:4294967296", "not a port"],
    ["3:-2", "not a port"],
    ["3:5000:1", "too many colons"],
    ["vsock:3:5000:1", "too many colons"],
    ["vsock:", "CID is missing"],
    ["vsock:x:1", "not a CID"],
    ["vsock:4294967296:1", "not a CID (0 to 4294967295)"],
    ["vsock/", "CID is missing"],
    ["4294967296", "not a CID (0 to 4294967295)"],
    ["3.5", "not a CID"],
    ["0x3", "not a CID"],
    ["+3", "not a CID"],
    ["-2", "not a CID"],
    ["hybrid:", "path is missing"],
    ["hybrid::5000", "path is missing"],
    ["hybrid:/run/x:", "not a port"],
    ["hybrid:/run/x:99999999999", "not a port"],
    ["unix:", "path is missing"],
    ["vsock", "not a known form"],
    ["sibling", "not a known form"],
    ["sibling:", "CID is missing"],
    ["tcp://x", "not a port"],
    ["a b", "not a known form"],
    ["unix:/x\0y", "NUL"],
  ] as const;

  test.each(MALFORMED)("names the fault of %j", (text, message) => {
    let error: unknown;
    try {
      parseAddress(text);
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(VsockboxError);
    const { code, hint, message: shown } = error as VsockboxError;
    expect({ code, hint }).toEqual({ code: "USAGE", hint: ADDRESS_HINT });
    expect(shown).toContain(message);
    expect(shown).toContain(JSON.stringify(text));
  });

  test.each([
    ["/run/x.sock", "/run/x.sock"],
    ["./x.sock", `${process.cwd()}/x.sock`],
    ["../x.sock:5000", resolve("../x.sock:5000")],
    ["run/a:b:c", `${process.cwd()}/run/a:b:c`],
  ])("proposes an address for the path %s", (text, path) => {
    const hint = `write unix:${path}, or hybrid:${path} for the socket of a VMM`;
    expect(() => parseAddress(text)).toThrow(expect.objectContaining({ code: "USAGE", hint }));
  });

  const u32 = fc.integer({ min: 0, max: ANY });
  const port = fc.option(u32, { nil: undefined });
  const path = fc.string({ minLength: 1, unit: "binary" }).filter((text) => !text.includes("\0"));
  const addresses = fc.oneof(
    fc.record({ kind: fc.constant("vsock" as const), cid: u32, port }),
    fc.record({
      kind: fc.constant("vsock" as const),
      cid: u32,
      port,
      toHost: fc.constant(true as const),
    }),
    fc.record({ kind: fc.constant("unix" as const), path }),
    // A path that ends in `:digits` or `:` can only be written with a port behind it.
    fc
      .record({ kind: fc.constant("hybrid" as const), path, port })
      .filter((address) => address.port !== undefined || !/:[0-9]*$/.test(address.path)),
    fc
      .record({
        kind: fc.constant("profile" as const),
        name: fc.stringMatching(/^[A-Za-z_][\w.-]*$/),
        port,
      })
      .filter(({ name }) => isProfileName(name) && readCid(name) === undefined),
  );

  test("round-trips every address through its one full form", () => {
    fc.assert(
      fc.property(addresses, (address) => {
        expect(parseAddress(formatAddress(address))).toEqual(address);
      }),
      { numRuns: 5000 },
    );
  });

  test("throws nothing but its own error, whatever it gets", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        try {
          const address = parseAddress(text);
          expect(parseAddress(formatAddress(address))).toEqual(address);
        } catch (thrown) {
          expect(thrown).toBeInstanceOf(VsockboxError);
        }
      }),
      { numRuns: 5000 },
    );
  });
});

describe("withDefaultPort", () => {
  test("fills in a missing port and keeps an explicit one", () => {
    expect(formatAddress(withDefaultPort(parseAddress("3"), 5000))).toBe("vsock:3:5000");
    expect(formatAddress(withDefaultPort(parseAddress("3:1"), 5000))).toBe("vsock:3:1");
    expect(formatAddress(withDefaultPort(parseAddress("unix:/x"), 5000))).toBe("unix:/x");
  });
});
