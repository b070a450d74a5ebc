/** The kernel's end of a FUSE session: requests by name, answers as bytes. */
import type { FuseDevice } from "../../src/vfs/mount/fuse-session.ts";
import { FuseOpcode } from "../../src/protocols/fuse/constants.ts";
import { fuseRequest, layOut, readStruct, sizeOf } from "./fuse-structs.ts";

const EAGAIN = 11;
const ENODEV = 19;
const HEADER = sizeOf("fuse_out_header");

/** An answer. */
export interface KernelAnswer {
  /** Positive. */
  errno: number;
  body: Uint8Array;
}

/** A kernel whose requests are made by a test. */
export class FakeKernel implements FuseDevice {
  readonly #requests: Uint8Array[] = [];
  readonly #answers = new Map<number, PromiseWithResolvers<KernelAnswer>>();
  #wake: (() => void) | undefined;
  #lastUnique = 0;
  #isUnmounted = false;
  /** Results of the next writes, in place of success. */
  readonly writeErrors: number[] = [];
  /** The number of buffers that were read into. */
  readonly buffers = new Set<Uint8Array>();

  read(buffer: Uint8Array): number {
    this.buffers.add(buffer);
    const request = this.#requests.shift();
    if (request === undefined) return this.#isUnmounted ? -ENODEV : -EAGAIN;
    buffer.set(request);
    return request.length;
  }

  write(head: Uint8Array, length: number, data: Uint8Array | undefined): number {
    const error = this.writeErrors.shift();
    if (error !== undefined) return -error;
    const bytes = Buffer.concat([head.subarray(0, length), data ?? new Uint8Array(0)]);
    const { len, error: negative = 0, unique = 0 } = readStruct("fuse_out_header", bytes);
    if (len !== bytes.length)
      throw new Error(`an answer of ${bytes.length} bytes has length ${len}`);
    const body = new Uint8Array(bytes.subarray(HEADER));
    this.#answers.get(unique)?.resolve({ errno: Math.abs(negative), body });
    this.#answers.delete(unique);
    return bytes.length;
  }

  whenReadable(wake: () => void): void {
    this.#wake = wake;
  }

  /** Queues bytes as they are. */
  push(bytes: Uint8Array): void {
    this.#requests.push(bytes);
    const wake = this.#wake;
    this.#wake = undefined;
    if (wake !== undefined) queueMicrotask(wake);
  }

  /** Sends a request, and returns its number and its answer. */
  begin(opcode: number, parts: readonly Uint8Array[] = [], nodeid = 1, pid = 7) {
    const unique = (this.#lastUnique += 2);
    const answer = Promise.withResolvers<KernelAnswer>();
    this.#answers.set(unique, answer);
    this.push(fuseRequest(opcode, parts, { unique, nodeid, uid: 1000, gid: 100, pid }));
    return { unique, answer: answer.promise };
  }

  /** Sends a request; resolves with its answer. */
  ask(
    opcode: number,
    parts: readonly Uint8Array[] = [],
    nodeid = 1,
    pid?: number,
  ): Promise<KernelAnswer> {
    return this.begin(opcode, parts, nodeid, pid).answer;
  }

  /** Sends a request that has no answer. */
  send(opcode: number, parts: readonly Uint8Array[], nodeid = 1): void {
    this.push(fuseRequest(opcode, parts, { unique: (this.#lastUnique += 2), nodeid }));
  }

  /** Sends a request that has no answer before those that have not been read, as the kernel does with interrupts. */
  sendFirst(opcode: number, parts: readonly Uint8Array[], nodeid = 1): void {
    this.#requests.unshift(fuseRequest(opcode, parts, { unique: (this.#lastUnique += 2), nodeid }));
  }

  /** Begins the session. */
  async start(flags2 = 0xffff_ffff): Promise<Record<string, number>> {
    const init = { major: 7, minor: 45, max_readahead: 131_072, flags: 0xffff_ffff, flags2 };
    const { body } = await this.ask(FuseOpcode.Init, [layOut("fuse_init_in", init)], 0);
    return readStruct("fuse_init_out", body);
  }

  unmount(): void {
    this.#isUnmounted = true;
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }
}
