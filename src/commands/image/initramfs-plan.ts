/** The options of `vsockbox initramfs`, checked: errors are reported before anything is written. */
import { isatty } from "node:tty";
import { commandLineError, invalidValue, VsockboxError } from "../../errors.ts";
import { assertDirectory } from "../../files/local-directory.ts";
import { type AddedFile, fileStatus, parseAddedFile } from "../../initramfs/added-file.ts";
import { busyboxEntries } from "../../initramfs/busybox.ts";
import { archivePath } from "../../initramfs/executable.ts";
import { machineName } from "../../elf/elf-head.ts";
import { readElfNeeds } from "../../elf/shared-objects.ts";
import type { ImageOptions } from "../../initramfs/image.ts";
import { IMAGE_EXECUTABLE } from "../../initramfs/image.ts";
import {
  DEFAULT_INIT_CONFIG,
  INIT_CONFIG_PATH,
  type InitConfig,
  type InitMount,
} from "../../initramfs/init-config.ts";
import {
  hasModule,
  moduleFacts,
  type ModuleFile,
  resolveModules,
  VSOCK_MODULES,
} from "../../initramfs/modules.ts";
import { splitLine } from "../../initramfs/words.ts";
import { type Compression } from "../../initramfs/write.ts";
import { selfCommand } from "../../process/self.ts";
import { say } from "../../ui/report.ts";
import type { InitramfsValues } from "./initramfs-arguments.ts";
import { checkAgentValues, wordsOf } from "../guest/agent-run.ts";
import { command as agentCommand } from "../guest/agent.ts";
import { PROGRAM_NAMES, subCommand } from "../aliases.ts";

/** The contents of the image, and its output. */
export interface PackPlan extends ImageOptions {
  /** Undefined: standard output. */
  output: string | undefined;
  compression: Compression;
  base: string | undefined;
}

/** The file system of `vsockbox mount`, where it is not built in. */
const FUSE_MODULE = "fuse";

const MODULES_HINT =
  "look in /lib/modules/VERSION; some distributions have a package of further modules, such as linux-modules-extra or kernel-modules";

/**
 * Reads the options.
 *
 * @throws {VsockboxError} USAGE for conflicting options, CONFIG and UNAVAILABLE for files that are not
 * there.
 */
export async function planOf(args: InitramfsValues): Promise<PackPlan> {
  const output = outputOf(args);
  const overlay = args.overlay;
  const base = args.base;
  if (base !== undefined) fileStatus(base);
  const isInit = !overlay || args.init;
  const files = args.file.map(parseAddedFile);
  for (const { source } of files) fileStatus(source);
  const busybox = args.busybox;
  const busyboxPacked = busybox === undefined ? [] : busyboxEntries(busybox);
  const executable = executableOf(args);
  const { interpreter, machine } = readElfNeeds(executable);
  const modules = modulesOf(args);
  if (!overlay && args.kernelModules === undefined) {
    say(
      "vsockbox: no kernel modules are packed: the guest has vsock only if its kernel has the virtio transport built in",
    );
    say("  hint: --kernel-modules /lib/modules/VERSION packs those that it needs");
  }
  const kernel = kernelOf(modules, executable, machine);
  const packed = [...files.map(({ path }) => path), ...busyboxPacked.map(({ path }) => `/${path}`)];
  const init = await initOf(args, { isInit, packed: overlay ? undefined : packed });
  if (overlay && interpreter !== undefined) {
    say(
      "vsockbox: this build is not self-contained: the overlay's shared objects replace those of the initrd",
    );
  }
  return {
    output,
    compression: args.compress,
    base,
    executable,
    overlay,
    isInit,
    modules,
    config: { kernel, modules: modules.map(({ name }) => name), ...init },
    files: withoutDoubles(files),
    busybox: busyboxPacked,
    names: Object.keys(PROGRAM_NAMES),
  };
}

function usage(message: string, hint?: string): VsockboxError {
  return commandLineError(
    "initramfs",
    message,
    hint ?? "`vsockbox initramfs --help` shows the options and examples",
  );
}

function outputOf(args: InitramfsValues): string | undefined {
  const { output } = args;
  if (output !== "-") return output;
  if (args.json) throw usage("--json and `-o -` would both go to standard output");
  if (isatty(1)) throw usage("standard output is a terminal", "write `-o FILE`, or `-o - > FILE`");
  return undefined;
}

function executableOf(args: InitramfsValues): string {
  const given = args.executable;
  const [own, ...rest] = selfCommand();
  if (given === undefined && rest.length > 0) {
    throw new VsockboxError({
      code: "CONFIG",
      operation: "find the executable",
      message: "this is not the compiled vsockbox, but its source under Bun",
      hint: "`npm run build` makes dist/vsockbox; or name one with --executable",
    });
  }
  const executable = given ?? own;
  fileStatus(executable);
  return executable;
}

/**
 * The version of Linux that the modules are for; undefined if there are none or they do not contain it.
 *
 * @throws {VsockboxError} CONFIG if that Linux is for another architecture than the executable.
 */
function kernelOf(
  [first]: readonly ModuleFile[],
  executable: string,
  machine: number,
): string | undefined {
  if (first === undefined) return undefined;
  const { kernel, machine: theirs } = moduleFacts(first);
  if (theirs !== undefined && theirs !== machine) {
    throw new VsockboxError({
      code: "CONFIG",
      operation: "pack",
      address: first.path,
      message: `it is for ${machineName(theirs)}, and ${executable} is for ${machineName(machine)}`,
      hint: "name the build for that machine with --executable, or its modules with --kernel-modules",
    });
  }
  return kernel;
}

/** Reads `--mount [NAME:]DIR`. */
function mountOf(text: string): InitMount {
  const [, source, directory = ""] = /^(?:([^/]*):)?(\/.*)$/s.exec(text) ?? [];
  if (directory !== "" && source !== "") return { source, directory };
  throw invalidValue({
    value: text,
    name: "--mount",
    message: "expected an absolute directory of the guest, or NAME:DIRECTORY",
  });
}

function modulesOf(args: InitramfsValues): ModuleFile[] {
  const scratch = args.kernelModules;
  if (scratch !== undefined) assertDirectory(scratch);
  const named = [...wordsOf(args.modules), ...(args.loopback ? ["vsock_loopback"] : [])];
  if (named.includes("")) throw usage("--modules has an empty name");
  if (scratch === undefined) {
    if (named.length > 0)
      throw usage("modules are packed from --kernel-modules DIR, which is missing");
    return [];
  }
  const tree = { modules: scratch, installHint: MODULES_HINT };
  const optional = args.mount.length === 0 ? VSOCK_MODULES : [...VSOCK_MODULES, FUSE_MODULE];
  const modules = resolveModules(tree, named, { optional });
  for (const name of ["vsock", "vmw_vsock_virtio_transport"]) {
    if (!hasModule(tree, name)) {
      say(
        `vsockbox: ${scratch} has no ${name}, and it is not built in: the guest may have no vsock`,
      );
    }
  }
  return modules;
}

/** What the init does. */
async function initOf(
  args: InitramfsValues,
  { isInit, packed }: { isInit: boolean; packed: readonly string[] | undefined },
): Promise<Pick<InitConfig, "command" | "onExit" | "mounts">> {
  const [program, ...words] = splitLine(args.command, "command");
  if (program === undefined || program === "") throw usage("--command is empty");
  const command: [string, ...string[]] = [program, ...words, ...args.arguments];
  const { onExit } = args;
  const isDefault = command.length === 1 && program === "agent";
  if (!isInit && (!isDefault || onExit !== undefined)) {
    throw usage("--command and --on-exit are for an init", "add --init, or omit them");
  }
  if (program === "agent") {
    if (onExit !== undefined) throw usage("--on-exit is for a --command other than the agent");
    checkAgent(command.slice(1));
  } else if (program.startsWith("/")) {
    checkProgram(program, packed);
  } else {
    await checkOwn(program, command.slice(1));
  }
  const mounts = args.mount.map(mountOf);
  if (!isInit && mounts.length > 0) throw usage("--mount is for an init", "add --init, or omit it");
  return { command, mounts, onExit: onExit ?? DEFAULT_INIT_CONFIG.onExit };
}

/** In the guest a wrong word would be seen on its console only. */
function checkAgent(words: readonly string[]): void {
  const parsed = agentCommand.parse(words);
  if (parsed.daemon) throw usage("--daemon is not for an agent that is process 1");
  if (parsed.pidFile !== undefined) throw usage("--pid-file is not for an agent that is process 1");
  checkAgentValues(parsed);
}

/** Another command of vsockbox. */
async function checkOwn(name: string, words: readonly string[]): Promise<void> {
  const { COMMANDS } = await import("../index.ts");
  const inner = subCommand(name, words[0]);
  const entry = COMMANDS.find((candidate) => candidate.name === (inner ?? name));
  if (entry === undefined || entry.name === "init") {
    throw usage(
      `--command ${JSON.stringify(name)} is not a command of vsockbox`,
      "`vsockbox --help` lists the commands; a program of the image begins with /",
    );
  }
  (await entry.load()).command.parse(inner === undefined ? words : words.slice(1));
}

/** @param packed paths of the image; undefined if not all of them are known. */
function checkProgram(program: string, packed: readonly string[] | undefined): void {
  if (packed === undefined || packed.includes(program) || program === IMAGE_EXECUTABLE) return;
  throw usage(`${program} is not in the image`, `pack it: --file SOURCE:${program}:755`);
}

/** @throws {VsockboxError} USAGE if two files have one path, or one replaces a file of the image itself. */
function withoutDoubles(files: readonly AddedFile[]): readonly AddedFile[] {
  const seen = new Set<string>();
  for (const { path } of files) {
    const key = archivePath(path);
    if (seen.has(key)) throw usage(`--file has ${path} twice`);
    if (path === IMAGE_EXECUTABLE) {
      throw usage(`${path} is vsockbox itself`, "--executable FILE packs another build");
    }
    if (path === INIT_CONFIG_PATH) {
      throw usage(`${path} is what --command, --on-exit and --modules make`);
    }
    seen.add(key);
  }
  return files;
}
