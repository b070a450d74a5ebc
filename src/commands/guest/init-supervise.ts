/** Runs a command beside process 1, and powers off after its end. */
import { existsSync } from "node:fs";
import type { Log } from "../../process/service/log.ts";
import { reasonOf, toVsockboxError, VsockboxError } from "../../errors.ts";
import type { ExitAction } from "../../initramfs/init-config.ts";
import { backoffDelay, type Backoff } from "../../io/deadline.ts";
import { ownEnvironment } from "../../process/environment.ts";
import { ProcessGroup } from "../../process/process-group.ts";
import { runningCommand } from "../../process/self.ts";
import { resolveSpawn, startProcess } from "../../process/spawn.ts";
import { reportError } from "../../ui/report.ts";
import { InitDuties } from "./agent-init.ts";
import { commandHint } from "../shared/error-hints.ts";

/** Pauses before a command that has ended is started again. */
const RESTART_BACKOFF: Backoff = { firstMs: 200, factor: 2, maxMs: 10_000 };

/** What ran for this long, in milliseconds, is started again without much of a pause. */
const LONG_RUN_MS = 10_000;

/**
 * Runs a command until it ends or a shutdown is requested, with the console as its standard input and
 * output. Does not return if the kernel can power off.
 *
 * @param command words of vsockbox's command line, or a program that begins with `/`.
 */
export async function supervise(
  command: readonly [string, ...string[]],
  onExit: ExitAction,
  log: Log,
): Promise<number> {
  using duties = new InitDuties(log, "init");
  process.on("SIGTERM", () => duties.requestEnd("poweroff"));
  for (let attempt = 0; ; attempt++) {
    const began = performance.now();
    const end = await Promise.race([runOnce(command, log), duties.ended]);
    if (end !== undefined) break;
    if (onExit !== "restart") {
      duties.requestEnd(onExit);
      break;
    }
    if (performance.now() - began >= LONG_RUN_MS) attempt = 0;
    const pause = Bun.sleep(backoffDelay(RESTART_BACKOFF, attempt));
    if ((await Promise.race([pause, duties.ended])) !== undefined) break;
  }
  log.info(`${await duties.ended}: ending the guest`);
  await duties.end();
  return 0;
}

/** Reports its end on the console, or why it could not be started. */
async function runOnce(command: readonly [string, ...string[]], log: Log): Promise<undefined> {
  const line = command.join(" ");
  let child: ProcessGroup;
  try {
    child = start(command);
  } catch (thrown) {
    reportError(thrown, commandHint(thrown));
    log.warn(`${line}: it could not be started`);
    return;
  }
  log.info(`${line}: started, process ${child.pid}`);
  const { code, signal } = await child.exited;
  log.info(`${line}: ended with ${signal === undefined ? `status ${code}` : signal}`);
}

function start(command: readonly [string, ...string[]]): ProcessGroup {
  const [first] = command;
  const argv: [string, ...string[]] = first.startsWith("/")
    ? [...command]
    : [...runningCommand(), ...command];
  const resolved = resolveSpawn({ argv, env: ownEnvironment(), cwd: "/" });
  try {
    return new ProcessGroup(startProcess(resolved, ["inherit", "inherit", "inherit"]));
  } catch (thrown) {
    // The program exists: it was checked just before.
    if (reasonOf(thrown).errno === "ENOENT" && existsSync(argv[0])) throw withoutLoader(argv[0]);
    throw toVsockboxError(thrown);
  }
}

function withoutLoader(program: string): VsockboxError {
  return new VsockboxError({
    code: "CONFIG",
    operation: "run",
    address: program,
    message: "it exists, but the loader or interpreter that it names does not",
    errno: "ENOENT",
    hint: "pack that too, with `vsockbox initramfs --file`",
  });
}
