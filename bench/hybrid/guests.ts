/** What stands in for the guest behind a device: the driver program, or Linux under QEMU. */
import { bootGuest, type Guest } from "../../src/vm/guest.ts";
import { findBusybox, GUEST_BINARY } from "../../src/vm/guest-image.ts";
import { findKernel } from "../../src/vm/kernel.ts";
import { findQemu } from "../../src/vm/qemu.ts";
import { kept } from "./children.ts";
import { type Device, GUEST_CID } from "./devices.ts";
import type { Programs } from "./programs.ts";

/** The guest's servers: sink, source, echo, accept, in this order. */
export const FIRST_GUEST_PORT = 1000;

/** The host's port for connects of the guest. */
export const HOST_PORT = 2000;

/** A guest with its servers running. */
export interface GuestEnd extends AsyncDisposable {
  /** Connects to {@link HOST_PORT} so often, and gives the seconds that it took. */
  connectToHost(count: number): Promise<number>;
}

/** The driver program. */
export class DriverEnd implements GuestEnd {
  readonly #child: Bun.Subprocess<"pipe", "pipe", "inherit">;
  readonly #lines: AsyncIterator<string>;

  private constructor(programs: Programs, device: Device, entries: number) {
    const command = [programs.driver, device.socket, String(GUEST_CID), String(entries)];
    this.#child = kept(Bun.spawn(command, { stdin: "pipe", stdout: "pipe", stderr: "inherit" }));
    this.#lines = linesOf(this.#child.stdout);
  }

  /** @param entries of each ring. */
  static async start(programs: Programs, device: Device, entries: number): Promise<DriverEnd> {
    const end = new DriverEnd(programs, device, entries);
    await end.#line();
    return end;
  }

  async #line(): Promise<string> {
    const { done, value } = await this.#lines.next();
    if (done) throw new Error("the driver has ended");
    return value;
  }

  async connectToHost(count: number): Promise<number> {
    this.#child.stdin.write(`connect ${HOST_PORT} ${count}\n`);
    await this.#child.stdin.flush();
    return Number(await this.#line());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#child.stdin.end();
    await this.#child.exited;
  }
}

async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of stream) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    yield* lines;
  }
}

/** Why no guest can be booted here; undefined where one can. */
export function whyNoQemu(): string | undefined {
  try {
    findQemu();
    findKernel();
    findBusybox();
    return undefined;
  } catch (thrown) {
    return thrown instanceof Error ? thrown.message : String(thrown);
  }
}

/** Linux under QEMU. */
export class QemuEnd implements GuestEnd {
  readonly #guest: Guest;

  private constructor(guest: Guest) {
    this.#guest = guest;
  }

  static async start(programs: Programs, device: Device): Promise<QemuEnd> {
    const guest = await bootGuest({
      vmm: "qemu",
      // All that the guest has to run is the traffic.
      binary: programs.load,
      environment: { LOAD_VSOCK: "1" },
      vsockDevices: [device.socket],
    });
    process.once("exit", () => guest[Symbol.dispose]());
    const any = 0xffffffff;
    const end = new QemuEnd(guest);
    await end.#run(
      `(${GUEST_BINARY} serve vsock:${any}:${FIRST_GUEST_PORT} > /tmp/serve.log 2>&1 &); sleep 1; cat /tmp/serve.log >&2`,
    );
    return end;
  }

  async #run(line: string): Promise<string> {
    const { status, stdout, stderr } = await this.#guest.run(line, { timeoutMs: 120_000 });
    const complaint = Buffer.from(stderr).toString();
    if (status !== 0 || complaint !== "") throw new Error(`in the guest: ${line}: ${complaint}`);
    return Buffer.from(stdout).toString();
  }

  async connectToHost(count: number): Promise<number> {
    return Number(await this.#run(`${GUEST_BINARY} connect vsock:2:${HOST_PORT} ${count}`));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#guest.stop();
  }
}
