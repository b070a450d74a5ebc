import { expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { findVms } from "../../../src/config/discover.ts";
import { ScratchDirectory } from "../../support/scratch-directory.ts";

test("profiles come first, then sockets of VMMs, without listeners, files and what lies deeper", () => {
  using scratch = new ScratchDirectory();
  mkdirSync(scratch.file("config/vsockbox"), { recursive: true });
  writeFileSync(scratch.file("config/vsockbox/config.yaml"), "vms:\n  web:\n    address: 3\n");
  mkdirSync(scratch.file("vm1/deep"), { recursive: true });
  writeFileSync(scratch.file("vsock.txt"), "");
  const before = process.env["XDG_CONFIG_HOME"];
  process.env["XDG_CONFIG_HOME"] = scratch.file("config");
  const names = ["b.vsock", "vm1/v.sock", "other.sock", "a.vsock_5000", "vm1/deep/c.vsock"];
  const sockets = names.map((name) =>
    Bun.listen({ unix: scratch.file(name), socket: { data: () => undefined } }),
  );
  try {
    expect(findVms([scratch.path, scratch.file("missing")])).toEqual([
      { address: "web", detail: "vsock:3" },
      { address: `hybrid:${scratch.file("b.vsock")}`, detail: "a VMM's socket" },
      { address: `hybrid:${scratch.file("vm1/v.sock")}`, detail: "a VMM's socket" },
    ]);
  } finally {
    for (const socket of sockets) socket.stop();
    if (before === undefined) delete process.env["XDG_CONFIG_HOME"];
    else process.env["XDG_CONFIG_HOME"] = before;
  }
});
