/**
 * The guest of tests that run scripts in it, over its own vsock_loopback: its executable is a runtime of
 * scripts as well. Booted once, at the first use.
 */
import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { bootGuest, type Guest } from "../../src/vm/guest.ts";
import { ScratchDirectory } from "../support/binary.ts";
import { findGo, goVsock } from "../support/go-vsock.ts";
import { guestVsock } from "../support/guest-vsock.ts";
import { writeRuntimeBinary } from "../support/runtime-binary.ts";
import { isFound } from "./support.ts";

/** Of tests/fixtures/, without `.ts`. */
const SCRIPTS = ["forward-guest", "library-guest"];

/** `run-script NAME WORDS...` runs one of them. */
const RUN_SCRIPT = `#!/bin/sh
name=$1
shift
BUN_BE_BUN=1 exec vsockbox run /test/$name.js "$@"
`;

let booting: Promise<Guest> | undefined;

/** Returns the guest. It has `run-script`, `guest-vsock`, and `go-vsock` if there is Go. */
export function runtimeGuest(): Promise<Guest> {
  booting ??= boot();
  return booting;
}

async function boot(): Promise<Guest> {
  using scratch = new ScratchDirectory();
  const entrypoints = SCRIPTS.map((name) => join(import.meta.dir, `../fixtures/${name}.ts`));
  await Bun.build({ entrypoints, target: "bun", outdir: scratch.path });
  const runtime = scratch.file("runtime");
  writeRuntimeBinary(runtime);
  const runScript = scratch.file("run-script");
  writeFileSync(runScript, RUN_SCRIPT);
  chmodSync(runScript, 0o755);
  const guest = await bootGuest({
    vmm: "uml",
    binary: runtime,
    environment: { VSOCKBOX_TEST_VM: "1", NO_COLOR: "1" },
    files: [
      guestVsock(scratch),
      ...(isFound(findGo) ? [goVsock(scratch)] : []),
      { path: "bin/run-script", source: runScript, mode: 0o755 },
      ...SCRIPTS.map((name) => ({
        path: `test/${name}.js`,
        source: scratch.file(`${name}.js`),
        mode: 0o644,
      })),
    ],
  });
  // Several test files use it, so it ends with the process.
  process.on("exit", () => guest[Symbol.dispose]());
  return guest;
}
