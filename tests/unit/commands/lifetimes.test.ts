import { expect, test } from "bun:test";
import { COMMANDS } from "../../../src/commands/index.ts";
import { ignoresStraySignals, isServer } from "../../../src/commands/lifetimes.ts";

const names = COMMANDS.map(({ name }) => name);

test("commands that finish their work before they end", () => {
  expect(names.filter(isServer).toSorted()).toEqual([
    ...["agent", "bridge", "demo", "guest-exec", "hybrid-proxy"],
    ...["init", "initramfs", "install", "mount", "shell-server"],
  ]);
});

test("commands that no stray signal ends", () => {
  expect(names.filter(ignoresStraySignals).toSorted()).toEqual([
    ...["agent", "bench serve", "bridge", "cp", "demo", "forward", "guest-exec", "guest-exec-host"],
    ...["hybrid-proxy", "init", "initramfs", "install", "listen", "metrics", "mount"],
    "shell-server",
  ]);
});
