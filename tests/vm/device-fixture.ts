/** A hybrid-proxy with one VM: the guest runs an agent, and programs of the tests. */
import { expect } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { closeDescriptor } from "../../src/ffi/socket.ts";
import { openUnixListener, type UnixListener } from "../../src/net/listen.ts";
import { bootGuest, type Guest } from "../../src/vm/guest.ts";
import { findKernel as findOwnKernel, type Kernel } from "../../src/vm/kernel.ts";
import { BINARY, Running, ScratchDirectory, vsockbox } from "../support/binary.ts";
import { guestFiles } from "../support/guest-files.ts";
import { runIn, startListener } from "../support/guest-lines.ts";
import { guestVsock } from "../support/guest-vsock.ts";

/** The part of `hybrid-proxy status --json` that the tests read. */
export interface VmStatus {
  guest_cid: number;
  connections: {
    host_port: number;
    guest_port: number;
    bytes_from_guest: number;
    waiting_bytes: number;
  }[];
  connections_draining: number;
  counters: { single_descriptor_to_guest: number; bytes_lost: number };
}

/** A VMM, and how the tests use it. */
export interface Vmm {
  name: "qemu" | "uml";
  /** Carried each way, in MiB. */
  bulkMib: number;
  /** Further options of the device. */
  options?: string[];
  /** Returns for QEMU another kernel than this machine's newest. */
  findKernel?: () => Kernel;
}

/** A device with a guest that runs an agent, for all tests of a VMM. */
export class DeviceFixture implements AsyncDisposable {
  readonly vmm: Vmm;
  #scratch: ScratchDirectory | undefined;
  #device: Running | undefined;
  #guest: Guest | undefined;

  /** Starts nothing, since the tests of this VMM may be skipped. */
  constructor(vmm: Vmm) {
    this.vmm = vmm;
  }

  get scratch(): ScratchDirectory {
    return (this.#scratch ??= new ScratchDirectory());
  }

  /** The device's `--uds-path`. */
  get uds(): string {
    return this.scratch.file("vm4.vsock");
  }

  /** The device's `--socket`. */
  get socket(): string {
    return this.scratch.file("vhost.sock");
  }

  /** The address of the guest. */
  get address(): string {
    return `hybrid:${this.uds}`;
  }

  get device(): Running {
    if (this.#device === undefined) throw new Error("the device was not started");
    return this.#device;
  }

  /** Starts the device and boots its guest. */
  async start(): Promise<void> {
    const seqpacket = this.scratch.file("seqpacket");
    const paths = `socket=${this.socket},uds-path=${this.uds},seqpacket-path=${seqpacket}`;
    // An emulated guest on a busy machine takes its time to answer 500 clients at once.
    const vm = `guest-cid=4,connect-timeout=30,${paths}`;
    this.#device = new Running(["hybrid-proxy", ...(this.vmm.options ?? []), "--vm", vm]);
    await this.#device.says("waiting for its VMM");
    await this.boot();
  }

  /** The guest of the last {@link boot}. */
  get guest(): Guest {
    if (this.#guest === undefined) throw new Error("no guest was booted");
    return this.#guest;
  }

  /** The kernel that QEMU boots. */
  kernel(): Kernel {
    return (this.vmm.findKernel ?? findOwnKernel)();
  }

  /** Boots a guest at the device and starts its agent. */
  async boot(): Promise<void> {
    const { name } = this.vmm;
    this.#guest = await bootGuest({
      vmm: name,
      binary: BINARY,
      environment: { VSOCKBOX_TEST_VM: "1", NO_COLOR: "1" },
      memoryMib: 1024,
      files: [
        guestVsock(this.scratch),
        ...(name === "qemu" ? guestFiles(this.scratch, this.kernel()) : []),
      ],
      vsockDevices: [this.socket],
      ...(name === "qemu"
        ? { kernel: this.kernel(), monitor: this.scratch.file("monitor"), reboots: true }
        : {}),
    });
    await this.#guest.run("(vsockbox agent -q > /tmp/agent.log 2>&1 &)");
    const { status, stderr } = await vsockbox(["wait", this.address, "--timeout", "120"]);
    expect([status, stderr]).toEqual([0, ""]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#guest?.stop();
    await this.#device?.[Symbol.asyncDispose]();
    this.#scratch?.[Symbol.dispose]();
  }

  /** Runs a line in the guest and returns its output. */
  run(line: string): Promise<string> {
    return runIn(this.guest, line);
  }

  /** Starts a listener in the guest; the function that it returns waits for its output. */
  runListener(line: string): Promise<() => Promise<string>> {
    return startListener(this.guest, line);
  }

  /** Serves a port of the host. */
  async serve(port: number, onSocket: (socket: Socket) => void): Promise<Server> {
    const server = createServer({ allowHalfOpen: true }, (client) => {
      client.on("error", () => undefined);
      onSocket(client);
    });
    await new Promise<void>((resolve) => server.listen(`${this.uds}_${port}`, resolve));
    return server;
  }

  /** Opens a service of the host whose clients wait in its backlog, unread. */
  listenUnread(port: number, seqpacket = false): UnixListener & Disposable {
    const listener = openUnixListener({ kind: "unix", path: `${this.uds}_${port}` }, { seqpacket });
    const close = () => {
      closeDescriptor(listener.fd);
      listener.removeFile();
    };
    return { ...listener, [Symbol.dispose]: close };
  }

  /** Returns the number of system calls of the device that read, so far; proc(5). */
  readCalls(): number {
    return Number(/^syscr: (\d+)$/m.exec(readFileSync(`/proc/${this.device.pid}/io`, "utf8"))?.[1]);
  }

  /** Returns the number of open descriptors of the device. */
  descriptors(): number {
    return readdirSync(`/proc/${this.device.pid}/fd`).length;
  }

  async vmStatus(): Promise<VmStatus> {
    const { stdout, stderr } = await vsockbox(["hybrid-proxy", "status", this.socket, "--json"]);
    expect(stderr).toBe("");
    return JSON.parse(stdout) as VmStatus;
  }
}
