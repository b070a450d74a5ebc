/**
 * The guest that all VM tests share: booted once, at the first use. Where there is no QEMU, or no
 * User-mode Linux for the tests that need that, they are skipped with one line that says so, unless
 * VSOCKBOX_REQUIRE_VM=1: then they fail.
 */
import { describe, test } from "bun:test";
import { existsSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { toVsockboxError, VsockboxError } from "../../src/errors.ts";
import { bootGuest, type Guest } from "../../src/vm/guest.ts";
import { readModule, resolveModules } from "../../src/initramfs/modules.ts";
import { findBusybox, type GuestFile } from "../../src/vm/guest-image.ts";
import { findKernel, type Kernel } from "../../src/vm/kernel.ts";
import { findQemu } from "../../src/vm/qemu.ts";
import { findUml } from "../../src/vm/uml.ts";
import { BINARY } from "../support/binary.ts";
import { findCaptureTools } from "../support/capture-tools.ts";
import { findGo } from "../support/go-vsock.ts";
import { buildCGuest } from "../support/guest-exec.ts";
import { guestVsock } from "../support/guest-vsock.ts";
import { runIn } from "../support/guest-lines.ts";
import { ScratchDirectory } from "../support/scratch-directory.ts";
import { findTool } from "../support/tools.ts";

const REQUIRED = process.env["VSOCKBOX_REQUIRE_VM"] === "1";

function whatIsMissing(...finders: (() => unknown)[]): string | undefined {
  try {
    for (const find of [...finders, findBusybox]) find();
    return undefined;
  } catch (thrown) {
    const { message, hint } = toVsockboxError(thrown);
    return `${message}; ${hint ?? ""}`;
  }
}

/** Gives a `describe` whose tests need all that is found so. */
function describeWhere(kind: string, ...finders: (() => unknown)[]) {
  const missing = whatIsMissing(...finders);
  if (missing !== undefined && !REQUIRED) console.warn(`${kind} tests are SKIPPED: ${missing}`);
  return (name: string, body: () => void): void => {
    if (missing !== undefined && REQUIRED) {
      describe(name, () => {
        test("has a guest to run in", () => {
          throw new Error(`VSOCKBOX_REQUIRE_VM=1, but ${missing}`);
        });
      });
      return;
    }
    describe.skipIf(missing !== undefined)(name, body);
  };
}

/** Whether what a finder looks for is on this machine. */
export function isFound(find: () => unknown): boolean {
  return whatIsMissing(find) === undefined;
}

/** A group of tests that need a guest under QEMU. */
export const describeVm = describeWhere("VM", findQemu, findKernel);

/**
 * A kernel from Linux 6.2 on, whose packets are laid out in other ways: tests/support/fetch-kernel.sh
 * unpacks one of Debian's packages.
 *
 * @throws {VsockboxError} UNAVAILABLE if it is missing.
 */
export function findNewerKernel(): Kernel {
  const cache = process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache");
  const root = process.env["VSOCKBOX_NEWER_KERNEL"] ?? join(cache, "vsockbox-tests/kernel");
  return {
    ...findKernel(join(root, "boot"), join(root, "lib/modules")),
    installHint: `\`tests/support/fetch-kernel.sh ${root}\``,
  };
}

/** A group of tests that compare captures in a guest under QEMU with those of dumpcap, by tshark. */
export const describeCapture = describeWhere("capture", findQemu, findKernel, findCaptureTools);

/** A group of tests that need a guest with a newer kernel under QEMU. */
export const describeNewerKernel = describeWhere("newer kernel", findQemu, findNewerKernel);

/** A group of tests that need a guest with a newer kernel, and one under User-mode Linux. */
export const describeTwoKernels = describeWhere("two kernels", findQemu, findNewerKernel, findUml);

/** A group of tests that need Go in a guest under User-mode Linux. */
export const describeGo = describeWhere("Go", findUml, findGo);

/** A group of tests that need a guest under User-mode Linux. */
export const describeUml = describeWhere("User-mode Linux", findUml);

/** Process 1 of the guests in which systemd runs: this machine's own. */
export const SYSTEMD = "/lib/systemd/systemd";

/** A group of tests that need a guest under User-mode Linux with systemd in it. */
export const describeSystemd = describeWhere("systemd", findUml, () => {
  if (existsSync(SYSTEMD)) return;
  throw new VsockboxError({
    code: "UNAVAILABLE",
    operation: "find systemd",
    address: SYSTEMD,
    message: "it is not there",
    hint: "`apt-get install systemd`",
  });
});

let booting: Promise<Guest> | undefined;

/** The shared guest. Only its init sets VSOCKBOX_TEST_VM=1. */
export function testGuest(): Promise<Guest> {
  booting ??= boot();
  return booting;
}

/** Modules that tests load by themselves, after they have seen what is reported without them. */
const UNLOADED_MODULES = ["vsock_diag", "vsockmon"];

/** Programs of this system that the guest gets if they are installed. */
const PROGRAMS = ["ss", "dumpcap"];

/** Where a module of {@link UNLOADED_MODULES} is in the guest. */
export const unloadedModule = (name: string) => `/usr/lib/modules-of-tests/${name}.ko`;

/** @param scratch is needed until the guest has booted. */
async function testFiles(scratch: ScratchDirectory): Promise<GuestFile[]> {
  const modules = resolveModules(findKernel(), UNLOADED_MODULES)
    .filter(({ name }) => UNLOADED_MODULES.includes(name))
    .map((module) => {
      const source = scratch.file(`${module.name}.ko`);
      writeFileSync(source, readModule(module));
      return { path: unloadedModule(module.name), source, mode: 0o644 };
    });
  const programs = PROGRAMS.flatMap((name) => {
    const source = findTool(name);
    return source === undefined ? [] : [{ path: `/bin/${name}`, source, mode: 0o755 }];
  });
  const built = findTool("gcc") === undefined ? [] : [guestVsock(scratch), await cGuest(scratch)];
  return [...modules, ...programs, ...built];
}

/** Builds the guest of guest-exec in C, as /bin/vsock-guest-exec-c. */
async function cGuest(scratch: ScratchDirectory): Promise<GuestFile> {
  const source = await buildCGuest(scratch.file("vsock-guest-exec-c"), "-static");
  return { path: "/bin/vsock-guest-exec-c", source, mode: 0o755 };
}

async function boot(): Promise<Guest> {
  using scratch = new ScratchDirectory();
  const guest = await bootGuest({
    binary: BINARY,
    files: await testFiles(scratch),
    environment: { VSOCKBOX_TEST_VM: "1", NO_COLOR: "1" },
    // A hundred clients at once are a hundred processes of 25 MB.
    memoryMib: 4096,
  });
  // All test files share it, so it ends with the process.
  process.on("exit", () => guest[Symbol.dispose]());
  return guest;
}

/** A finished line in the guest, with its output as text. */
export interface GuestRun {
  status: number;
  stdout: string;
  stderr: string;
}

/** Runs a shell line in the shared guest. */
export async function inGuest(line: string, timeoutMs = 120_000): Promise<GuestRun> {
  const guest = await testGuest();
  const { status, stdout, stderr } = await guest.run(line, { timeoutMs });
  const decoder = new TextDecoder();
  return { status, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

/**
 * A shell line that starts a server of vsockbox in the background, with its pid in `$server`, and waits
 * until it reports on standard error: that it listens, or why it cannot.
 */
export const startServer = (words: string, log = "/tmp/server.log") =>
  `: > ${log}; vsockbox ${words} 2>> ${log} & server=$!; until [ -s ${log} ]; do sleep 0.1; done; `;

/** A step that prepares what follows: any other status than 0 is an error with all that was said. */
export async function prepare(line: string, timeoutMs?: number): Promise<string> {
  return await runIn(await testGuest(), line, timeoutMs);
}
