/** What vsockbox does as process 1 of an image that `vsockbox initramfs` has written. */
import { mkdirSync, readFileSync } from "node:fs";
import { reasonOf } from "../../errors.ts";
import {
  decodeInitConfig,
  DEFAULT_INIT_CONFIG,
  INIT_CONFIG_PATH,
  type InitConfig,
  type InitMount,
} from "../../initramfs/init-config.ts";
import { packedModulePath } from "../../initramfs/modules.ts";
import { initArguments, kernelWords } from "../../process/init/kernel-command-line.ts";
import { type LoadedModules, loadModules } from "../../process/init/load-modules.ts";
import { runningCommand } from "../../process/self.ts";
import { type Log, openLog } from "../../process/service/log.ts";
import { endMachine } from "../../process/init/power.ts";
import { reportError, say } from "../../ui/report.ts";
import { mountAndReport } from "./agent-init.ts";
import { command as agentCommand } from "./agent.ts";
import { supervise } from "./init-supervise.ts";
import { commandHint } from "../shared/error-hints.ts";

/** How long the host may take until it exports. */
const MOUNT_WAIT = "5s";

/**
 * Mounts, loads modules, and runs the agent in this process, or another command beside it. The kernel's
 * own words for its init are ignored: they are the ones that it did not know itself. What was meant for
 * us follows `--`.
 */
export async function runInit(): Promise<number> {
  const log = openLog({ tag: "init" });
  try {
    mountAndReport(log);
    const config = readInitConfig() ?? DEFAULT_INIT_CONFIG;
    const words = kernelCommandLine();
    reportModules(loadPackedModules(config, words), log);
    for (const mount of config.mounts) await mountExport(mount, log);
    const [program, ...rest] = config.command;
    const further = [...rest, ...initArguments(words)];
    if (program !== "agent") return await supervise([program, ...further], config.onExit, log);
    return await agentCommand.run(["--init", ...further]);
  } catch (thrown) {
    // An agent without the limits that it was to have is worse than none; and the end of process 1 is
    // a panic of the kernel, which hides the error.
    reportError(thrown, commandHint(thrown));
    say("vsockbox: init: this guest cannot run its program, and is powered off");
    await endMachine("poweroff", { warn: (message) => log.warn(message) });
    return 1;
  }
}

/** A guest without a directory of its host can still do its work, or show why it cannot. */
async function mountExport({ source, directory }: InitMount, log: Log): Promise<void> {
  const words = ["mount", "--daemon", "--reconnect", "--wait", MOUNT_WAIT];
  const places = source === undefined ? [directory] : [source, directory];
  try {
    mkdirSync(directory, { recursive: true });
    const child = Bun.spawn([...runningCommand(), ...words, "--", ...places], {
      stdio: ["ignore", "inherit", "inherit"],
    });
    if ((await child.exited) === 0) log.info(`mounted ${source ?? "the host"} on ${directory}`);
    else log.warn(`${directory} is not mounted`);
  } catch (thrown) {
    log.warn(`${directory} is not mounted: ${reasonOf(thrown).message}`);
  }
}

/**
 * The image's instructions; undefined if it has none.
 *
 * @throws {VsockboxError} CONFIG if they are invalid.
 */
export function readInitConfig(): InitConfig | undefined {
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(INIT_CONFIG_PATH);
  } catch (thrown) {
    if (reasonOf(thrown).errno === "ENOENT") return undefined;
    throw thrown;
  }
  return decodeInitConfig(bytes);
}

/** Without /proc it is empty. */
export function kernelCommandLine(): string[] {
  try {
    return kernelWords(readFileSync("/proc/cmdline", "utf8"));
  } catch {
    return [];
  }
}

/** Loads the modules that the image has. */
export function loadPackedModules(config: InitConfig, commandLine: string[]): LoadedModules {
  const { modules: names, kernel } = config;
  return loadModules({ names, kernel, commandLine, pathOf: packedModulePath });
}

function reportModules({ loaded, unneeded, warnings }: LoadedModules, log: Log): void {
  if (loaded.length > 0) log.info(`loaded ${loaded.join(", ")}`);
  if (unneeded.length > 0) log.info(`no device for ${unneeded.join(", ")}`);
  for (const warning of warnings) log.warn(warning);
}
