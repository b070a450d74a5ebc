/** A throw-away guest under QEMU: boot it, run shell lines in it, end it. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { VsockboxError } from "../errors.ts";
import { writeGuestImage, type GuestFile } from "./guest-image.ts";
import { findKernel } from "./kernel.ts";

/** Memory of the guest in MiB; 384 is too little to unpack an initramfs of 114 MB. */
const DEFAULT_MEMORY_MIB = 512;

/** A guest under emulation is up within 10 s here; a loaded machine of two cores takes longer. */
const BOOT_TIMEOUT_MS = 180_000;

/**
 * Now and then an emulated machine hangs before the kernel's first word: the kernel waits for timer
 * ticks in a loop that keeps QEMU from delivering them. One that has written nothing to its console
 * for this long, in milliseconds, is started anew. The last tries count instructions instead of time
 * (`-icount`), which cannot hang there but is slower.
 */
const BOOT_ATTEMPTS = [
  { stallMs: 10_000, countInstructions: false },
  { stallMs: 10_000, countInstructions: false },
  { stallMs: 15_000, countInstructions: false },
  { stallMs: 20_000, countInstructions: false },
  { stallMs: 30_000, countInstructions: true },
  { stallMs: 60_000, countInstructions: true },
] as const;

/** What a shell line in the guest gave. */
export interface GuestResult {
  status: number;
  stdout: Uint8Array;
  stderr: Uint8Array;
}

/** Options of {@link bootGuest}. */
export interface BootOptions {
  /** This machine's file that becomes /bin/vsockbox in the guest. */
  binary: string;
  environment?: Readonly<Record<string, string>>;
  files?: readonly GuestFile[];
  /** Arguments of `vsockbox agent --init`, where that is to be the guest's init. */
  agentInit?: readonly string[];
  memoryMib?: number;
  /** Sockets of vhost-user vsock devices: each becomes a device of the guest. */
  vsockDevices?: readonly string[];
  /** Called once with each stage of the boot: as in "booting Linux 6.1". */
  onStage?: (stage: string) => void;
  /** Ends the guest, also while it boots. */
  signal?: AbortSignal;
}

/**
 * qemu-system-x86_64.
 *
 * @throws {VsockboxError} UNAVAILABLE with what to install.
 */
export function findQemu(): string {
  const found = Bun.which("qemu-system-x86_64");
  if (found !== null) return found;
  throw new VsockboxError({
    code: "UNAVAILABLE",
    operation: "find qemu-system-x86_64",
    message: "it is not in PATH",
    hint: "`apt-get install qemu-system-x86`",
  });
}

function qemuCommand(
  folder: string,
  image: string,
  memoryMib: number,
  countInstructions: boolean,
  vsockDevices: readonly string[] = [],
): [string, ...string[]] {
  const hasDevices = vsockDevices.length > 0;
  const qemu = [
    findQemu(),
    // The smallest machine type boots fastest, but delivers no interrupts of PCI devices.
    ...[
      "-M",
      hasDevices ? "q35,memory-backend=memory" : "microvm,x-option-roms=off,isa-serial=on,rtc=on",
    ],
    ...(countInstructions
      ? ["-accel", "tcg,thread=single", "-icount", "shift=2,sleep=off", "-smp", "1"]
      : ["-accel", "tcg,thread=multi", "-smp", "2"]),
    ...["-cpu", "max", "-m", String(memoryMib)],
    ...["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"],
    ...["-serial", `file:${join(folder, "console.log")}`],
    ...[
      "-device",
      hasDevices ? "virtio-serial-pci" : "virtio-serial-device",
      "-chardev",
      "stdio,id=control,signal=off",
    ],
    ...["-device", "virtserialport,chardev=control"],
    // Behind the control port, whose number in the guest counts virtio devices.
    ...vsockDeviceArguments(vsockDevices, memoryMib),
    ...["-kernel", image, "-initrd", join(folder, "initrd")],
    ...["-append", "console=ttyS0 quiet panic=-1 reboot=t"],
  ];
  // QEMU must not outlive us, not even when we are killed.
  const setpriv = Bun.which("setpriv");
  return setpriv === null
    ? (qemu as [string, ...string[]])
    : [setpriv, "--pdeathsig", "KILL", "--", ...qemu];
}

/** The driver of a virtio-vsock device on PCI. */
const VSOCK_DEVICE_MODULES = ["virtio_pci", "vmw_vsock_virtio_transport"];

/** A vhost-user device works on the guest's memory itself: that has to be shared. */
function vsockDeviceArguments(sockets: readonly string[], memoryMib: number): string[] {
  if (sockets.length === 0) return [];
  return [
    ...["-object", `memory-backend-memfd,id=memory,size=${memoryMib}M,share=on`],
    ...sockets.flatMap((socket, index) => [
      ...["-chardev", `socket,id=vsock${index},path=${socket}`],
      ...["-device", `vhost-user-vsock-pci,chardev=vsock${index}`],
    ]),
  ];
}

/**
 * Boots a guest and waits until it takes commands.
 *
 * @throws {VsockboxError} UNAVAILABLE where QEMU, a kernel or busybox is missing, TIMEOUT or SOFTWARE
 * with the console's text where the guest does not come up.
 */
export async function bootGuest(options: BootOptions): Promise<Guest> {
  const kernel = findKernel();
  findQemu();
  const folder = mkdtempSync(join(tmpdir(), "vsockbox-guest-"));
  try {
    options.onStage?.("packing the initramfs");
    writeGuestImage(join(folder, "initrd"), {
      kernel,
      binary: options.binary,
      environment: options.environment ?? {},
      files: options.files ?? [],
      agentInit: options.agentInit,
      modules: options.vsockDevices === undefined ? [] : VSOCK_DEVICE_MODULES,
    });
    options.onStage?.(`booting Linux ${kernel.version}`);
    const memoryMib = options.memoryMib ?? DEFAULT_MEMORY_MIB;
    const guest = await startQemu(
      (countInstructions) =>
        new Guest(
          folder,
          qemuCommand(folder, kernel.image, memoryMib, countInstructions, options.vsockDevices),
        ),
      options.signal,
    );
    // The guest has it in memory by now.
    rmSync(join(folder, "initrd"));
    return guest;
  } catch (thrown) {
    rmSync(folder, { recursive: true, force: true });
    throw thrown;
  }
}

async function startQemu(
  start: (countInstructions: boolean) => Guest,
  signal: AbortSignal | undefined,
): Promise<Guest> {
  for (const [index, { stallMs, countInstructions }] of BOOT_ATTEMPTS.entries()) {
    const guest = start(countInstructions);
    const onAbort = () => void guest.stop();
    signal?.addEventListener("abort", onAbort, { once: true });
    if (signal?.aborted) onAbort();
    const stalled = Promise.withResolvers<"stalled">();
    const isLast = index === BOOT_ATTEMPTS.length - 1;
    const timer = setTimeout(() => {
      if (guest.consoleLog() === "" && !isLast) stalled.resolve("stalled");
    }, stallMs);
    try {
      const outcome = await Promise.race([guest.ready(BOOT_TIMEOUT_MS), stalled.promise]);
      if (outcome !== "stalled") return guest;
      await guest.kill();
    } finally {
      clearTimeout(timer);
    }
  }
  throw new Error("the last attempt neither booted nor failed");
}

/** A running guest. */
export class Guest implements AsyncDisposable, Disposable {
  readonly #folder: string;
  readonly #qemu: Bun.Subprocess<"pipe", "pipe", "pipe">;
  readonly #pending = new Map<string, PromiseWithResolvers<GuestResult>>();
  readonly #ready = Promise.withResolvers<void>();
  #nextId = 1;
  #stopped = false;

  constructor(folder: string, command: [string, ...string[]]) {
    this.#folder = folder;
    this.#qemu = Bun.spawn(command, { stdin: "pipe", stdout: "pipe", stderr: "pipe" });
    void this.#readAnswers();
    void this.#watch();
  }

  /** Resolves when the machine is off, however that came about. */
  get ended(): Promise<unknown> {
    return this.#qemu.exited;
  }

  /** What the guest has written to its console so far. */
  consoleLog(): string {
    const path = join(this.#folder, "console.log");
    return existsSync(path) ? readFileSync(path, "utf8") : "";
  }

  /** Resolves once commands are taken. */
  async ready(timeoutMs: number): Promise<void> {
    const timer = setTimeout(() => {
      this.#ready.reject(this.#failure("TIMEOUT", `it is not up after ${timeoutMs / 1000} s`));
      void this.stop();
    }, timeoutMs);
    try {
      await this.#ready.promise;
    } finally {
      clearTimeout(timer);
    }
  }

  /**
   * Runs a line in the guest's shell. Several may run at once.
   *
   * @throws {VsockboxError} TIMEOUT or UNAVAILABLE, with the console's text, where no answer comes.
   */
  async run(line: string, { timeoutMs = 60_000 } = {}): Promise<GuestResult> {
    if (this.#stopped) throw this.#failure("UNAVAILABLE", "it is stopped");
    const id = String(this.#nextId++);
    const answer = Promise.withResolvers<GuestResult>();
    this.#pending.set(id, answer);
    const timer = setTimeout(() => {
      const message = `no answer after ${timeoutMs / 1000} s to: ${line}`;
      answer.reject(this.#failure("TIMEOUT", message));
    }, timeoutMs);
    try {
      this.#qemu.stdin.write(`${id} ${Buffer.from(line).toString("base64")}\n`);
      await this.#qemu.stdin.flush();
      return await answer.promise;
    } finally {
      clearTimeout(timer);
      this.#pending.delete(id);
    }
  }

  /** Ends the guest. */
  async kill(): Promise<void> {
    this.#stopped = true;
    this.#ready.promise.catch(() => undefined);
    this.#qemu.kill("SIGKILL");
    await this.#qemu.exited;
  }

  /** Ends the guest and removes its files. */
  async stop(): Promise<void> {
    await this.kill();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  /** Ends the guest at once, for exit handlers. */
  [Symbol.dispose](): void {
    this.#stopped = true;
    this.#qemu.kill("SIGKILL");
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async #readAnswers(): Promise<void> {
    const decoder = new TextDecoder();
    let parts: string[] = [];
    for await (const chunk of this.#qemu.stdout) {
      const lines = decoder.decode(chunk, { stream: true }).split("\n");
      for (const [index, part] of lines.entries()) {
        parts.push(part);
        if (index === lines.length - 1) continue;
        this.#onLine(parts.join(""));
        parts = [];
      }
    }
  }

  #onLine(line: string): void {
    const answer = JSON.parse(line) as
      { ready: true } | { id: number; status: number; stdout: string; stderr: string };
    if ("ready" in answer) return this.#ready.resolve();
    this.#pending.get(String(answer.id))?.resolve({
      status: answer.status,
      stdout: Buffer.from(answer.stdout, "base64"),
      stderr: Buffer.from(answer.stderr, "base64"),
    });
  }

  /** The end of QEMU is an error for everybody who waits, unless it was asked for. */
  async #watch(): Promise<void> {
    const complaint = await new Response(this.#qemu.stderr).text();
    await this.#qemu.exited;
    const error = this.#failure("UNAVAILABLE", `QEMU has ended. ${complaint.trim()}`);
    this.#stopped = true;
    this.#ready.promise.catch(() => undefined);
    this.#ready.reject(error);
    for (const answer of this.#pending.values()) answer.reject(error);
  }

  #failure(code: "TIMEOUT" | "UNAVAILABLE", message: string): VsockboxError {
    return new VsockboxError({
      code,
      operation: "guest",
      message: `${message}\n--- console ---\n${this.consoleLog()}--- end of console ---`,
    });
  }
}
