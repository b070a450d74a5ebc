import { describe, expect, test } from "bun:test";
import { decodeManifest, encodeManifest, type Manifest } from "../../../src/install/manifest.ts";

const sha256 = "ab".repeat(32);
const manifest: Manifest = {
  version: "1.2.3",
  service: "busybox",
  agentArgs: "--allow-cid 2",
  unfinished: "0123456789ab",
  entries: [
    { kind: "file", path: "/usr/bin/vsockbox", sha256 },
    { kind: "link", path: "/usr/bin/vsock_guest_exec", target: "vsockbox" },
    { kind: "lines", path: "/etc/inittab", sha256 },
    { kind: "directory", path: "/usr/lib/vsockbox" },
  ],
};

describe("a manifest", () => {
  test("comes back as it was written", () => {
    expect(decodeManifest(encodeManifest(manifest), "m")).toEqual(manifest);
    const finished = { ...manifest, unfinished: undefined, agentArgs: undefined };
    expect(decodeManifest(encodeManifest(finished), "m")).toEqual(finished);
  });

  test("cut anywhere it is an error, not half of it", () => {
    const text = encodeManifest(manifest).trimEnd();
    for (let end = 0; end < text.length; end++) {
      expect(() => decodeManifest(text.slice(0, end), "m")).toThrow();
    }
  });

  test.each([
    { format: 2 },
    { service: "upstart" },
    { entries: {} },
    { version: 1 },
    { agentArgs: 1 },
    { unfinished: "../../etc/xx" },
    { entries: [null] },
    { entries: [{ kind: "directory" }] },
    { entries: [{ kind: "device", path: "/dev/sda" }] },
    { entries: [{ kind: "file", path: "/a", sha256: "x" }] },
    { entries: [{ kind: "link", path: "/a", target: "" }] },
    ...["etc/passwd", "/", "/etc/", "/a//b", "/../etc/passwd", "/a/./b", "/a/..", "/a\0b"].map(
      (path) => ({ entries: [{ kind: "file", path, sha256 }] }),
    ),
  ])("with %j it is refused", (change) => {
    const text = JSON.stringify({ ...(JSON.parse(encodeManifest(manifest)) as object), ...change });
    expect(() => decodeManifest(text, "m")).toThrow(expect.objectContaining({ code: "CONFIG" }));
  });
});
