import { expect, test } from "bun:test";
import { wrongServiceHint } from "../../../../src/commands/guest/mount-hints.ts";

const unix = { kind: "unix", path: "/run/x.sock" } as const;
const vsock = { kind: "vsock", cid: 2, port: 5000 } as const;

test.each([
  ["hybrid", unix, "its address is hybrid:/run/x.sock:5001"],
  ["hybrid", vsock, "`vsockbox export` listens on port 5001 unless --listen has another address"],
  ["ssh", unix, "`vsockbox export` listens on port 5001 unless --listen has another address"],
  [
    "agent",
    vsock,
    "`vsockbox export` listens on port 5001 unless --listen has another address; through an agent, " +
      "its host mounts: `vsockbox share DIR vsock:2:5000:/PATH`",
  ],
] as const)("where %s answers", (service, target, hint) => {
  expect(wrongServiceHint({ service, target })).toBe(hint);
});
