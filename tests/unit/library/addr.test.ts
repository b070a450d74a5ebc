import { describe, expect, test } from "bun:test";
import { Addr } from "../../../src/library/addr.ts";

describe("Addr", () => {
  test.each([
    ["3:5000", "vsock:3:5000", { network: "vsock", cid: 3, port: 5000, path: undefined }],
    ["vsock::any", "vsock:any:4294967295", { network: "vsock", cid: 4294967295, port: 4294967295 }],
    ["sibling:4:5", "sibling:4:5", { network: "vsock", cid: 4, port: 5, path: undefined }],
    ["hybrid:/x:7", "hybrid:/x:7", { network: "hybrid", cid: undefined, port: 7, path: "/x" }],
    ["hybrid:/x", "hybrid:/x", { network: "hybrid", cid: undefined, port: undefined, path: "/x" }],
    ["unix:/x", "unix:/x", { network: "unix", cid: undefined, port: undefined, path: "/x" }],
  ] as const)("reads %s", (text, shown, fields) => {
    const addr = Addr.parse(text);
    expect(String(addr)).toBe(shown);
    expect(addr).toMatchObject(fields);
    expect(new Addr(addr.parts)).toEqual(addr);
    expect(String(new Addr(addr.parts))).toBe(shown);
  });

  test("uses the default port if the text has none", () => {
    expect(String(Addr.parse("3", 5000))).toBe("vsock:3:5000");
    expect(String(Addr.parse("3:7", 5000))).toBe("vsock:3:7");
    expect(String(Addr.parse("unix:/x", 5000))).toBe("unix:/x");
  });

  test("shows a socket without a name by its kind", () => {
    expect(String(new Addr({ kind: "unix", path: "" }))).toBe("unix");
    expect(String(new Addr({ kind: "hybrid", path: "/x", port: 1 }))).toBe("hybrid:/x:1");
  });

  test("does not change with the parts that it was made of", () => {
    const parts = { kind: "vsock" as const, cid: 3, port: 5 };
    const addr = new Addr(parts);
    parts.port = 6;
    addr.parts.kind = "unix";
    expect(String(addr)).toBe("vsock:3:5");
  });

  test("refuses a malformed text", () => {
    expect(() => Addr.parse("3:x")).toThrow("is not a port");
  });
});
