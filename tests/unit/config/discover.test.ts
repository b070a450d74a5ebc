import { expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { findVms } from "../../../src/config/discover.ts";
import { TemporaryFolder } from "../../support/folder.ts";

test("profiles come first, then sockets of VMMs, without listeners, files and what lies deeper", () => {
  using folder = new TemporaryFolder();
  mkdirSync(folder.file("config/vsockbox"), { recursive: true });
  writeFileSync(folder.file("config/vsockbox/config.yaml"), "vms:\n  web:\n    address: 3\n");
  mkdirSync(folder.file("vm1/deep"), { recursive: true });
  writeFileSync(folder.file("vsock.txt"), "");
  const before = process.env["XDG_CONFIG_HOME"];
  process.env["XDG_CONFIG_HOME"] = folder.file("config");
  const names = ["b.vsock", "vm1/v.sock", "other.sock", "a.vsock_5000", "vm1/deep/c.vsock"];
  const sockets = names.map((name) =>
    Bun.listen({ unix: folder.file(name), socket: { data: () => undefined } }),
  );
  try {
    expect(findVms([folder.path, folder.file("missing")])).toEqual([
      { address: "web", detail: "vsock:3" },
      { address: `hybrid:${folder.file("b.vsock")}`, detail: "a VMM's socket" },
      { address: `hybrid:${folder.file("vm1/v.sock")}`, detail: "a VMM's socket" },
    ]);
  } finally {
    for (const socket of sockets) socket.stop();
    if (before === undefined) delete process.env["XDG_CONFIG_HOME"];
    else process.env["XDG_CONFIG_HOME"] = before;
  }
});
