/**
 * Packets of one network link, through memory that the kernel fills: packet(7), TPACKET_V3
 * (Documentation/networking/packet_mmap.rst).
 *
 * The ring consists of blocks. The kernel appends packets to a block until the next one does not fit, or
 * a timeout has passed, and then hands the block to this process by its status word. It is handed back in
 * the same way after its packets have been read. If this process holds all blocks, the kernel drops
 * packets and counts them.
 *
 *     block:  u32 version, u32, u32 status, u32 packets, u32 offset of the first, …
 *     packet: u32 offset of the next, u32 seconds, u32 nanoseconds, u32 captured, u32 length, u32,
 *             u16 offset of the bytes, …
 */
import { type Pointer, toArrayBuffer } from "bun:ffi";
import { type SystemCall, systemError } from "./errno.ts";
import { lastErrno, libc, ptr } from "./libc.ts";
import {
  assertVsockAllowed,
  bindSocket,
  closeDescriptor,
  getOption,
  openSocket,
  setOption,
} from "./socket.ts";

/** AF_PACKET, bits/socket.h, and SOCK_RAW. */
const AF_PACKET = 17;
const SOCK_RAW = 3;
/** ETH_P_ALL in network byte order. */
const ALL_PROTOCOLS = 0x0300;
/** sizeof(struct sockaddr_ll): u16 family, u16 protocol, i32 index, … */
const SOCKADDR_LL_BYTES = 20;

/** SOL_PACKET and its options, linux/if_packet.h. */
const SOL_PACKET = 263;
const PACKET_RX_RING = 5;
const PACKET_STATISTICS = 6;
const PACKET_VERSION = 10;
const TPACKET_V3 = 2;

const SOL_SOCKET = 1;
const SO_ATTACH_FILTER = 26;
/** The instruction of a classic filter that accepts so many bytes: BPF_RET | BPF_K. */
const BPF_RETURN = 0x06;

/** TP_STATUS_USER: the block is this process's. */
const STATUS_USER = 1;
const STATUS_KERNEL = 0;

/** Offsets in a block. */
const BLOCK_STATUS = 8;
const BLOCK_PACKETS = 12;
const BLOCK_FIRST = 16;

/** PROT_READ | PROT_WRITE, and MAP_SHARED; bits/mman-linux.h. */
const PROT_READ_WRITE = 3;
const MAP_SHARED = 1;

/** Size of a block, in bytes: it has to hold the largest packet, 64 KiB with headers. */
const RING_BLOCK_BYTES = 256 * 1024;
/** After this time a block is handed over with the packets that it has, in milliseconds. */
export const RING_TIMEOUT_MS = 50;
/** struct tpacket_req3 has the size of a slot of older rings, which is not used but checked. */
const FRAME_BYTES = 2048;

/** A packet in the ring. */
export interface RingPacket {
  /** Since 1970. */
  seconds: number;
  nanoseconds: number;
  /** The captured part, in the ring: valid until the block is released. */
  bytes: Uint8Array;
  /** Bytes of the whole packet. */
  length: number;
}

/** Options of {@link PacketRing}. */
export interface PacketRingOptions {
  /** The index of the link. */
  link: number;
  /** The name of the link, for errors. */
  name: string;
  /** Bytes of each packet that are captured. */
  snapBytes: number;
  /** Size of the ring in bytes, rounded up to blocks. */
  bufferBytes: number;
}

/** What the kernel has counted. */
export interface RingStatistics {
  /** Packets of the link, also those that were dropped. */
  packets: number;
  dropped: number;
}

/** A ring on one link. */
export class PacketRing {
  readonly fd: number;
  readonly #name: string;
  readonly #blocks: number;
  readonly #address: number;
  readonly #bytes: Uint8Array<ArrayBuffer>;
  readonly #view: DataView;
  readonly #words: Int32Array<ArrayBuffer>;
  readonly #statistics: RingStatistics = { packets: 0, dropped: 0 };
  #next = 0;

  /**
   * Opens the socket and the ring: packets are captured from now on.
   *
   * @throws {VsockboxError} REFUSED with EPERM without CAP_NET_RAW; IO, such as ENOMEM for the ring;
   * UNAVAILABLE without packet sockets in the kernel.
   */
  constructor({ link, name, snapBytes, bufferBytes }: PacketRingOptions) {
    this.#name = name;
    assertVsockAllowed(this.#call());
    this.#blocks = Math.max(2, Math.ceil(bufferBytes / RING_BLOCK_BYTES));
    // Without a protocol it receives nothing before it is bound.
    this.fd = openSocket(AF_PACKET, SOCK_RAW, name);
    try {
      this.#attachFilter(snapBytes);
      this.#address = this.#map();
      this.#bytes = new Uint8Array(toArrayBuffer(this.#address as Pointer, 0, this.#size));
      this.#view = new DataView(this.#bytes.buffer);
      this.#words = new Int32Array(this.#bytes.buffer);
      bindSocket(this.fd, linkAddress(link), this.#call());
    } catch (thrown) {
      closeDescriptor(this.fd);
      throw thrown;
    }
  }

  get #size(): number {
    return this.#blocks * RING_BLOCK_BYTES;
  }

  #call(): SystemCall {
    return { operation: "capture from", address: this.#name };
  }

  #set(option: number, value: Uint32Array, level = SOL_PACKET): void {
    const errno = setOption(this.fd, level, option, new Uint8Array(value.buffer));
    if (errno !== 0) throw systemError(errno, this.#call());
  }

  #attachFilter(snapBytes: number): void {
    const filter = Uint32Array.of(BPF_RETURN, snapBytes);
    const program = new BigUint64Array([1n, BigInt(ptr(filter))]);
    this.#set(SO_ATTACH_FILTER, new Uint32Array(program.buffer), SOL_SOCKET);
  }

  #map(): number {
    this.#set(PACKET_VERSION, Uint32Array.of(TPACKET_V3));
    const frames = this.#size / FRAME_BYTES;
    this.#set(
      PACKET_RX_RING,
      Uint32Array.of(RING_BLOCK_BYTES, this.#blocks, FRAME_BYTES, frames, RING_TIMEOUT_MS, 0, 0),
    );
    const mapped = Number(libc().mmap(null, this.#size, PROT_READ_WRITE, MAP_SHARED, this.fd, 0n));
    if (mapped === -1) throw systemError(lastErrno(), { ...this.#call(), code: "IO" });
    return mapped;
  }

  /** The status word of the next block. */
  get #status(): number {
    return (this.#next * RING_BLOCK_BYTES + BLOCK_STATUS) / 4;
  }

  /** Returns the packets of the next block, until {@link release}; undefined if it is the kernel's. */
  read(): RingPacket[] | undefined {
    // What the kernel has written before the status is visible after it.
    if ((Atomics.load(this.#words, this.#status) & STATUS_USER) === 0) return undefined;
    const block = this.#next * RING_BLOCK_BYTES;
    const count = this.#view.getUint32(block + BLOCK_PACKETS, true);
    let at = block + this.#view.getUint32(block + BLOCK_FIRST, true);
    const packets: RingPacket[] = [];
    for (let index = 0; index < count; index++) {
      const begin = at + this.#view.getUint16(at + 24, true);
      packets.push({
        seconds: this.#view.getUint32(at + 4, true),
        nanoseconds: this.#view.getUint32(at + 8, true),
        bytes: this.#bytes.subarray(begin, begin + this.#view.getUint32(at + 12, true)),
        length: this.#view.getUint32(at + 16, true),
      });
      at += this.#view.getUint32(at, true);
    }
    return packets;
  }

  /** Hands the block of the last {@link read} back to the kernel. */
  release(): void {
    Atomics.store(this.#words, this.#status, STATUS_KERNEL);
    this.#next = (this.#next + 1) % this.#blocks;
  }

  /** Returns the counts since the ring was opened. */
  statistics(): RingStatistics {
    // The kernel clears its counts with each call.
    const bytes = getOption(this.fd, SOL_PACKET, PACKET_STATISTICS, 12, this.#call());
    const view = new DataView(bytes.buffer);
    this.#statistics.packets += view.getUint32(0, true);
    this.#statistics.dropped += view.getUint32(4, true);
    return { ...this.#statistics };
  }

  /** Closes the socket and unmaps the ring, whose packets must not be touched any longer. */
  close(): void {
    libc().munmap(this.#address as Pointer, this.#size);
    closeDescriptor(this.fd);
  }
}

function linkAddress(link: number): Uint8Array {
  const bytes = new Uint8Array(SOCKADDR_LL_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, AF_PACKET, true);
  view.setUint16(2, ALL_PROTOCOLS, true);
  view.setInt32(4, link, true);
  return bytes;
}
