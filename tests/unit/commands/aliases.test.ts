import { expect, test } from "bun:test";
import { aliasedCommand, subCommand } from "../../../src/commands/aliases.ts";
import { COMMANDS } from "../../../src/commands/index.ts";

test.each([
  ["vhost-device-vsock", "hybrid-proxy"],
  ["/usr/bin/vhost-device-vsock", "hybrid-proxy"],
  ["./vhost-device-vsock", "hybrid-proxy"],
  ["vsock_guest_exec", "guest-exec"],
  ["./vsock_guest_exec", "guest-exec"],
  ["vsock-shell-client", "shell-client"],
  ["/usr/local/bin/vsock-shell-server", "shell-server"],
  ["vsockbox", undefined],
  ["bun", undefined],
  ["", undefined],
  ["constructor", undefined],
  ["/x/vhost-device-vsock/vsockbox", undefined],
])("a program called %j is %p", (name, command) => {
  expect(aliasedCommand(name)).toBe(command);
});

test("export status is a command, and a directory of that name is not", () => {
  expect(subCommand("export", "status")).toBe("export status");
  expect(subCommand("export", "./status")).toBeUndefined();
});

test("hybrid-proxy bridge, status and capture are commands of their own", () => {
  expect(subCommand("hybrid-proxy", "bridge")).toBe("bridge");
  expect(subCommand("hybrid-proxy", "status")).toBe("hybrid-proxy status");
  expect(subCommand("hybrid-proxy", "capture")).toBe("hybrid-proxy capture");
  expect(subCommand("hybrid-proxy", "--socket")).toBeUndefined();
  expect(subCommand("hybrid-proxy", "constructor")).toBeUndefined();
  expect(subCommand("exec", "bridge")).toBeUndefined();
  expect(subCommand("hybrid-proxy", undefined)).toBeUndefined();
  const names = COMMANDS.map(({ name }) => name);
  for (const word of ["bridge", "status", "capture"]) {
    expect(names).toContain(subCommand("hybrid-proxy", word) ?? "");
  }
});
