/** Connections and listeners of the library: their conformance suite, and what it does not cover. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { dial, listen } from "vsockbox";
import { Running, ScratchDirectory } from "../support/binary.ts";
import { CONFORMANCE_CASES, type Transport } from "../support/conformance.ts";

let scratch: ScratchDirectory;
let bridge: Running;
let count = 0;
beforeAll(async () => {
  scratch = new ScratchDirectory();
  bridge = new Running([
    "bridge",
    ...["--uds-path", scratch.file("vmm.sock"), "--to", `unix:${scratch.file("guest")}`],
  ]);
  await bridge.says("listening");
});
afterAll(async () => {
  await bridge[Symbol.asyncDispose]();
  scratch[Symbol.dispose]();
});

const closeNothing = () => Promise.resolve();

function overUnix(): Transport {
  const address = `unix:${scratch.file(`${count++}.sock`)}`;
  return {
    listen: () => listen(address),
    dial: (options) => dial(address, options),
    network: { near: "unix", far: "unix" },
    [Symbol.asyncDispose]: closeNothing,
  };
}

/** Through the bridge, which leads to the sockets `guest_PORT`. */
function overHybrid(): Transport {
  const port = 1024 + count++;
  return {
    listen: () => listen(`hybrid:${scratch.file("guest")}:${port}`),
    dial: (options) => dial(`hybrid:${scratch.file("vmm.sock")}:${port}`, options),
    network: { near: "hybrid", far: "hybrid" },
    [Symbol.asyncDispose]: closeNothing,
  };
}

describe.each([
  ["unix:", overUnix],
  ["hybrid:", overHybrid],
] as const)("over %s", (_, make) => {
  for (const { name, run } of CONFORMANCE_CASES) test(name, () => run(make));
});

test("the file of a Unix socket goes with its listener", async () => {
  const path = scratch.file("file.sock");
  {
    await using _listener = listen(`unix:${path}`);
    expect(existsSync(path)).toBe(true);
  }
  expect(existsSync(path)).toBe(false);
});
