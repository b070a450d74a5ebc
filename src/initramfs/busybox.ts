/** busybox in an image: a shell and the usual programs. */
import { VsockboxError } from "../errors.ts";
import type { CpioEntry } from "./cpio.ts";
import { fileStatus } from "./added-file.ts";

/** Its path in the image. */
const BUSYBOX_PATH = "bin/busybox";

/** Its names would hide what the image is for. */
const OWN_NAMES = new Set(["busybox", "init", "linuxrc"]);

/**
 * busybox, and in /bin a link for each of its programs.
 *
 * @throws {VsockboxError} CONFIG if it does not list its applets, such as one for another architecture.
 */
export function busyboxEntries(source: string): CpioEntry[] {
  fileStatus(source);
  const names = appletsOf(source).filter((name) => !OWN_NAMES.has(name));
  return [
    { kind: "copy", path: BUSYBOX_PATH, mode: 0o755, source },
    ...names.map((name): CpioEntry => ({
      kind: "symlink",
      path: `bin/${name}`,
      target: "busybox",
    })),
  ];
}

function appletsOf(source: string): string[] {
  let output = "";
  try {
    const { exitCode, stdout } = Bun.spawnSync([source, "--list"], { stderr: "ignore" });
    if (exitCode === 0) output = stdout.toString();
  } catch {
    // Not executable, or not here.
  }
  const names = output.split("\n").filter((name) => /^[\w.[-][\w.+[-]*$/.test(name));
  if (names.includes("sh")) return [...new Set(names)].sort();
  throw new VsockboxError({
    code: "CONFIG",
    operation: "pack busybox",
    address: source,
    message: "its list of programs has no shell",
    hint: "name a busybox that runs on this machine, such as /bin/busybox of busybox-static; pack another one with --file",
  });
}
