/**
 * `hybrid-proxy --sandbox`: opens the sockets, drops its privileges, replaces itself by this program
 * (execve(2), so the process ID stays), and there serves the sockets that it has inherited.
 */
import { constants } from "node:os";
import { closeSync, readFileSync } from "node:fs";
import type { VmConfig } from "../config/vm-config.ts";
import { VsockboxError } from "../../errors.ts";
import { setBlockedSignals, setInherited } from "../../ffi/child-process.ts";
import { replaceProcess } from "../../ffi/credentials.ts";
import { openMemory } from "../../ffi/memfd.ts";
import { confineSelf, type DeviceFiles, deviceUser, filterCalls } from "./device-sandbox.ts";
import { signalNumber } from "../../process/exit-status.ts";
import { selfCommand } from "../../process/self.ts";
import { ignoresHangUp, SERVICE_ENDING_SIGNALS } from "../../process/signals.ts";
import { openLog } from "../../process/service/log.ts";
import { CONFINED_VARIABLE, SIGNALS_HELD } from "./confined-variable.ts";
import { ListeningSockets, type InheritedSockets } from "../host/listening-sockets.ts";
import type { ObserverOptions } from "../observe/observers.ts";
import { runDevice, type DevicesOptions } from "../serve/run-devices.ts";

/** Options besides the VMs. */
export interface ConfinedOptions extends DevicesOptions {
  /** `USER` or `USER:GROUP`; undefined: the present user. */
  user?: string | undefined;
}

/** Data for the program after execve(2), in a memfd. */
interface Handover {
  configs: VmConfig[];
  observers: DevicesOptions;
  sockets: InheritedSockets;
  /** Landlock's version, as confineSelf returns it. */
  landlock: number;
}

/**
 * Opens the sockets and becomes the confined device. It does not return; if it throws, the sockets are
 * removed.
 *
 * There are two calls of execve(2). Threads inherit the signal mask of the thread that starts them, and a
 * signal that one of them does not block ends the process without removing the sockets. So ending signals
 * are blocked before there are other threads, until they have a handler.
 *
 * @throws {VsockboxError} CANNOT_CREATE and REFUSED for sockets, CONFIG for an unknown user, REFUSED if
 * privileges cannot be dropped.
 */
export function becomeConfinedDevice(
  configs: VmConfig[],
  { user, ...observers }: ConfinedOptions,
): never {
  const program = compiledProgram();
  if (process.env[CONFINED_VARIABLE] !== SIGNALS_HELD) {
    setBlockedSignals(SERVICE_ENDING_SIGNALS.flatMap((signal) => signalNumber(signal) ?? []));
    restart(program, SIGNALS_HELD);
  }
  const credentials = user === undefined ? undefined : deviceUser(user);
  const sockets = ListeningSockets.open(configs, openLog().warn);
  try {
    const { inherited } = sockets;
    for (const fd of sockets.descriptors) setInherited(fd, true);
    const landlock = confineSelf(credentials, filesOf(configs, observers));
    const handover: Handover = { configs, observers, sockets: inherited, landlock };
    const fd = openMemory("vsockbox-devices", new TextEncoder().encode(JSON.stringify(handover)));
    restart(program, String(fd));
  } catch (thrown) {
    sockets.close();
    throw thrown;
  }
}

/** Returns the files that the program after execve(2) creates or removes. */
function filesOf(configs: readonly VmConfig[], { metrics }: ObserverOptions): DeviceFiles {
  const paths = (of: (config: VmConfig) => string | undefined) =>
    configs.map(of).filter((path) => path !== undefined);
  return {
    // The control sockets are beside those of the VMMs.
    sockets: [
      ...paths(({ socket }) => socket),
      ...paths(({ backend }) => (backend.kind === "unix" ? backend.udsPath : undefined)),
      ...paths(({ backend }) => (backend.kind === "unix" ? backend.seqpacketPath : undefined)),
      ...(metrics?.kind === "unix" ? [metrics.path] : []),
    ],
    written: paths(({ capture }) => capture?.file),
  };
}

function restart(program: string, stage: string): never {
  const env = { ...process.env, [CONFINED_VARIABLE]: stage };
  const settings = Object.entries(env).map(([name, value]) => `${name}=${value}`);
  const keptIgnored = ignoresHangUp() ? [constants.signals.SIGHUP] : [];
  replaceProcess(program, [process.argv0, ...process.argv.slice(2)], settings, keptIgnored);
}

function compiledProgram(): string {
  const [program, ...rest] = selfCommand();
  if (rest.length === 0) return program;
  throw new VsockboxError({
    code: "UNAVAILABLE",
    operation: "apply --sandbox",
    message: "only the compiled executable can do this",
  });
}

/**
 * Serves the devices of the program before execve(2).
 *
 * @param stage the value of {@link CONFINED_VARIABLE}.
 * @returns the exit status.
 */
export async function serveConfinedDevice(stage: string): Promise<number> {
  delete process.env[CONFINED_VARIABLE];
  const fd = Number(stage);
  const { configs, observers, sockets, landlock } = JSON.parse(
    readFileSync(fd, "utf8"),
  ) as Handover;
  closeSync(fd);
  const log = openLog();
  const adopted = ListeningSockets.adopt(sockets, log.warn);
  for (const listener of adopted.descriptors) setInherited(listener, false);
  return runDevice(configs, {
    ...observers,
    openSockets() {
      setBlockedSignals([]);
      return adopted;
    },
    onReady() {
      filterCalls(configs.some(({ backend }) => backend.kind === "vsock"));
      log.info(`confined: ${describeSelf(landlock)}`);
    },
  });
}

function describeSelf(landlock: number): string {
  const user = `user ${process.getuid?.()}:${process.getgid?.()}`;
  const files =
    landlock > 0
      ? `files by Landlock ${landlock}`
      : "files by their modes alone, since the kernel has no Landlock";
  return `${user}, no capabilities, system calls by seccomp, ${files}`;
}
