/** Guests under QEMU with the kernel of this system, emulated if there is no KVM. */
import { readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { VsockboxError } from "../errors.ts";
import { endingWithUs } from "../process/terminate-with-parent.ts";
import { findKernel, type Kernel } from "./kernel.ts";
import { DEFAULT_MEMORY_MIB, type BootOptions, type GuestKind } from "./machine.ts";

/**
 * Occasionally an emulated VM hangs at the kernel's first messages: the kernel fails to measure
 * the time-stamp counter against the PIT and then waits for ticks of a timer that it has not set up.
 * It never does if it knows the frequency; if that of this processor is unknown, such a guest is
 * started anew. The last try counts instructions instead of time (`-icount`), which cannot hang there
 * but is many times slower.
 */
const ATTEMPTS = [
  { stallMs: 12_000, countInstructions: false },
  { stallMs: 12_000, countInstructions: false },
  { stallMs: 15_000, countInstructions: false },
  { stallMs: 20_000, countInstructions: false },
  { stallMs: 60_000, countInstructions: true },
] as const;

/**
 * Everything that can be emulated, but for the fast string instructions (ERMS, FSRM): emulated byte by
 * byte the kernel copies with them if it finds them, at half the speed.
 */
const CPU = "max,erms=off,fsrm=off";

/** The control channel's transport, and loopback vsock: CID 1. */
const MODULES = ["virtio_mmio", "virtio_console", "vsock_loopback"];

/** The driver of a virtio-vsock device on PCI. */
const VSOCK_DEVICE_MODULES = ["virtio_pci", "vmw_vsock_virtio_transport"];

/** The first port of the first virtio-serial device. */
const CONTROL_DEVICE = "/dev/vport0p1";

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

/**
 * What {@link bootGuest} needs for a guest under QEMU.
 *
 * @throws {VsockboxError} UNAVAILABLE if QEMU or a kernel is missing.
 */
export function qemuMachine({
  memoryMib,
  vsockDevices = [],
  monitor,
  reboots = false,
  modules = [],
  qemuArguments = [],
  kernel = findKernel(),
}: BootOptions): GuestKind {
  const setup = {
    ...{ qemu: findQemu(), kernel, vsockDevices, monitor, reboots, qemuArguments },
    memoryMib: memoryMib ?? DEFAULT_MEMORY_MIB,
    counterKhz: timeStampCounterKhz(readFileSync(CPU_INFO, "utf8")),
  };
  return {
    kernel,
    parent: tmpdir(),
    controlDevice: CONTROL_DEVICE,
    modules: [...MODULES, ...(vsockDevices.length === 0 ? [] : VSOCK_DEVICE_MODULES), ...modules],
    attempts: (directory) =>
      ATTEMPTS.map(({ stallMs, countInstructions }) => {
        const command = qemuCommand({ ...setup, directory, countInstructions });
        return { stallMs, vmm: { command, supervised: false } };
      }),
  };
}

interface QemuSetup {
  qemu: string;
  kernel: Kernel;
  directory: string;
  memoryMib: number;
  countInstructions: boolean;
  vsockDevices: readonly string[];
  monitor: string | undefined;
  reboots: boolean;
  qemuArguments: readonly string[];
  /** Of the local time-stamp counter, if it is known. */
  counterKhz: number | undefined;
}

function qemuCommand(setup: QemuSetup): [string, ...string[]] {
  const { directory, memoryMib, vsockDevices } = setup;
  const hasDevices = vsockDevices.length > 0;
  const command: [string, ...string[]] = [
    setup.qemu,
    // The smallest machine type boots fastest, but delivers no interrupts of PCI devices.
    ...[
      "-M",
      hasDevices ? "q35,memory-backend=memory" : "microvm,x-option-roms=off,isa-serial=on,rtc=on",
    ],
    ...(setup.countInstructions
      ? ["-accel", "tcg,thread=single", "-icount", "shift=2", "-smp", "1"]
      : ["-accel", "tcg,thread=multi", "-smp", "2"]),
    ...["-cpu", CPU, "-m", String(memoryMib)],
    ...["-nodefaults", "-no-user-config", "-display", "none"],
    ...(setup.reboots ? [] : ["-no-reboot"]),
    ...(setup.monitor === undefined ? [] : ["-qmp", `unix:${setup.monitor},server=on,wait=off`]),
    ...["-serial", `file:${join(directory, "console.log")}`],
    ...[
      "-device",
      hasDevices ? "virtio-serial-pci" : "virtio-serial-device",
      "-chardev",
      "stdio,id=control,signal=off",
    ],
    ...["-device", "virtserialport,chardev=control"],
    // After the control port, whose number in the guest counts virtio devices.
    ...vsockDeviceArguments(vsockDevices, memoryMib),
    ...setup.qemuArguments,
    ...["-kernel", setup.kernel.image, "-initrd", join(directory, "initrd")],
    // Its first messages show that it does not hang.
    ...["-append", kernelCommandLine(setup)],
  ];
  return endingWithUs(command);
}

function kernelCommandLine({ countInstructions, counterKhz }: QemuSetup): string {
  const words = ["console=ttyS0", "loglevel=6", "panic=-1", "reboot=t"];
  // An emulated guest reads the host's counter, unless instructions are counted.
  if (!countInstructions && counterKhz !== undefined) words.push(`tsc_early_khz=${counterKhz}`);
  return words.join(" ");
}

const CPU_INFO = "/proc/cpuinfo";

/**
 * Returns the frequency of the time-stamp counter from the text of /proc/cpuinfo: the line `cpu MHz`
 * has it if the hypervisor reports it to the kernel (tsc_known_freq) and the processor's own cannot be
 * measured (aperfmperf), as in most VMs.
 *
 * @returns kHz; undefined if the text does not have it.
 */
export function timeStampCounterKhz(cpuInfo: string): number | undefined {
  const flags = /^flags\s*:(.*)$/m.exec(cpuInfo)?.[1]?.trim().split(/\s+/) ?? [];
  const mhz = Number(/^cpu MHz\s*:\s*(\d+\.\d+)$/m.exec(cpuInfo)?.[1]);
  const isCounter = flags.includes("tsc_known_freq") && !flags.includes("aperfmperf");
  return isCounter && mhz > 0 ? Math.round(mhz * 1000) : undefined;
}

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
