/**
 * The state of one connection of a virtio-vsock device (virtio 1.2, section 5.10.6), without I/O.
 *
 * Two sides drive it. The muxer passes each packet of the guest to `onPacket`, which returns an action
 * for the host's socket. The socket's owner calls `onForwarded`, `onReadable`, `onHostEnd` and others.
 * Both leave bits in `pending`: the packets to be sent to the guest. When the guest has a free receive
 * buffer, the muxer asks `next` for the first of them and `fillHeader` for its header.
 *
 *     HostOpening   -- RESPONSE -->  Open     the host has sent REQUEST
 *     GuestOpening  -- accept() -->  Open     the guest has sent REQUEST
 *     Open          -- RST, kill() -->  Dead
 *
 * Half-close: each direction ends by itself. `hostEnded` and `guestEnded` mean that a side has sent
 * SHUTDOWN(send), `hostReadShutdown` and `guestReadShutdown` that it has sent SHUTDOWN(receive). When
 * both directions have ended, an RST ends the connection.
 *
 * Credit: `bufAlloc - (received - fwdCnt)` bytes may still come from the guest, and the guest may be sent
 * `peerBufAlloc - (sent - peerFwdCnt)` bytes. All counters are u32 and wrap. Every packet carries
 * `buf_alloc` and `fwd_cnt`; a CREDIT_UPDATE of its own is sent only when the guest would otherwise
 * believe the buffer nearly full. Payloads go straight between the socket and guest memory; this state
 * only counts their bytes. Nothing here allocates.
 */
import {
  HOST_CID,
  Op,
  opOf,
  type PacketHeader,
  PacketType,
  RecordFlag,
  ShutdownFlag,
} from "./packet.ts";

/** States of a connection. */
export const State = {
  /** REQUEST is sent or pending; the guest has not answered. */
  HostOpening: 0,
  /** The guest has sent REQUEST; the host's socket is connecting. */
  GuestOpening: 1,
  Open: 2,
  /** RST was sent, is pending, or was received. */
  Dead: 3,
} as const;

/** One of {@link State}. */
export type State = (typeof State)[keyof typeof State];

/** Packets that are to be sent to the guest: a set of bits, not a queue. */
export const Pending = {
  Request: 1,
  Response: 2,
  Rst: 4,
  Shutdown: 8,
  CreditUpdate: 16,
  CreditRequest: 32,
  /** The socket may have bytes. */
  Data: 64,
} as const;

/** One bit of {@link Pending}. */
export type PendingBit = (typeof Pending)[keyof typeof Pending];

/** What the I/O side has to do for a packet of the guest. */
export const Action = {
  None: 0,
  /** Write the payload to the socket, after bytes that are queued. */
  Write: 1,
  /** The guest has answered the host's REQUEST: notify the client. */
  Opened: 2,
  /** The connection has ended: close the socket at once. */
  Close: 3,
  /** The guest sends no more bytes: half-close the socket after bytes that are queued. */
  EndOutput: 4,
  /** The guest reads no more: shut the socket down for reading, so that its writer gets EPIPE. */
  EndInput: 5,
  /** Both of them. */
  EndBoth: 6,
} as const;

/** One of {@link Action}. */
export type Action = (typeof Action)[keyof typeof Action];

/** A CREDIT_UPDATE is sent if the guest knows of less than this fraction of free buffer: a quarter. */
const CREDIT_UPDATE_PART = 4;

/** A connection's numbers and flags. */
export class Connection {
  state: State = State.HostOpening;
  /** The set of {@link Pending} bits. */
  pending = 0;
  /** The port on the host's side. */
  readonly hostPort: number;
  readonly guestPort: number;
  readonly type: PacketType;

  #bufAlloc: number;
  /** The last `buf_alloc` that the guest was sent. */
  #bufAllocSent: number;
  /** Bytes of the guest that the socket has accepted: our `fwd_cnt`, u32 wrapping. */
  fwdCnt = 0;
  /** Bytes that the guest has sent, u32 wrapping. */
  received = 0;
  /** The last `fwd_cnt` that the guest was sent. */
  #fwdCntSent = 0;

  /** The guest's buffer, in bytes. */
  peerBufAlloc = 0;
  /** The guest's `fwd_cnt`. */
  peerFwdCnt = 0;
  /** Bytes sent to the guest, u32 wrapping. */
  sent = 0;

  /** Whether the socket is at end of input: SHUTDOWN(send) is sent or pending. */
  hostEnded = false;
  /** Whether the socket accepts no more bytes: its peer has closed it or shut down reading. */
  hostReadShutdown = false;
  /** Whether the guest has sent SHUTDOWN(send). */
  guestEnded = false;
  /** Whether the guest has sent SHUTDOWN(receive): it is sent no more bytes. */
  guestReadShutdown = false;
  /** Whether data waits for credit. */
  isOutOfCredit = false;
  #creditRequested = false;

  constructor(hostPort: number, guestPort: number, type: PacketType, bufAlloc: number) {
    this.hostPort = hostPort;
    this.guestPort = guestPort;
    this.type = type;
    this.#bufAlloc = this.#bufAllocSent = bufAlloc;
  }

  /** Our buffer for the guest's bytes, in bytes. */
  get bufAlloc(): number {
    return this.#bufAlloc;
  }

  /**
   * Enlarges our buffer for the guest's bytes. It never becomes smaller: the guest may use what it was
   * promised.
   */
  growBuffer(bufAlloc: number): void {
    this.#bufAlloc = Math.max(this.#bufAlloc, bufAlloc);
    if (this.state === State.Open && this.#needsCreditUpdate()) this.post(Pending.CreditUpdate);
  }

  /** Bytes that may be sent to the guest now. */
  get credit(): number {
    const unread = (this.sent - this.peerFwdCnt) >>> 0;
    // A guest whose fwd_cnt exceeds what was sent, or that shrinks its buffer, has no credit.
    return unread > this.peerBufAlloc ? 0 : this.peerBufAlloc - unread;
  }

  /** Bytes of the guest that the socket has not accepted yet. */
  get waiting(): number {
    return (this.received - this.fwdCnt) >>> 0;
  }

  /** Adds {@link Pending} bits. */
  post(bits: number): void {
    this.pending |= bits;
  }

  /**
   * Ends the connection with an RST to the guest and no other packet. If the REQUEST was not sent yet,
   * the guest does not know the connection, and nothing is sent.
   */
  kill(): void {
    if (this.state === State.Dead) return;
    this.state = State.Dead;
    this.pending = (this.pending & Pending.Request) === 0 ? Pending.Rst : 0;
  }

  /** Begins with a REQUEST of the guest, which has its credit. */
  begin(peerBufAlloc: number, peerFwdCnt: number): void {
    this.state = State.GuestOpening;
    this.peerBufAlloc = peerBufAlloc;
    this.peerFwdCnt = peerFwdCnt;
  }

  /** Whether both directions have ended but for the guest's RST. */
  get isAwaitingRst(): boolean {
    return this.hostEnded && (this.guestEnded || this.hostReadShutdown);
  }

  /** Answers the guest's REQUEST: the host's socket is connected. */
  accept(): void {
    this.state = State.Open;
    this.post(Pending.Response);
  }

  /** Handles a packet of the guest with this connection's ports; returns what the I/O side has to do. */
  onPacket(header: PacketHeader): Action {
    if (this.state === State.Dead) return Action.None;
    this.peerBufAlloc = header.bufAlloc;
    this.peerFwdCnt = header.fwdCnt;
    this.#creditRequested = false;
    if (this.isOutOfCredit && this.credit > 0) {
      this.isOutOfCredit = false;
      this.onReadable();
    }
    if (header.type !== this.type) return this.#refuse();
    const op = opOf(header.op);
    switch (op) {
      case Op.Rw:
        return this.#onData(header.len, header.flags);
      case Op.CreditUpdate:
        return Action.None;
      case Op.CreditRequest:
        this.post(Pending.CreditUpdate);
        return Action.None;
      case Op.Shutdown:
        return this.#onShutdown(header.flags);
      case Op.Response:
        if (this.state !== State.HostOpening) return this.#refuse();
        this.state = State.Open;
        this.post(Pending.Data);
        return Action.Opened;
      case Op.Rst:
        this.state = State.Dead;
        this.pending = 0;
        return Action.Close;
      case Op.Request:
      case Op.Invalid:
        return this.#refuse();
    }
  }

  #refuse(): Action {
    this.kill();
    return Action.Close;
  }

  #onData(len: number, flags: number): Action {
    if (this.state !== State.Open || this.guestEnded) return this.#refuse();
    // Without payload it still may end a record.
    if (len === 0) return this.#endsRecord(flags) ? Action.Write : Action.None;
    // More than its credit: the bytes could only be dropped, so the guest gets an RST.
    if (len > this.#bufAlloc - this.waiting) return this.#refuse();
    this.received = (this.received + len) >>> 0;
    // If the bytes are queued, no write follows that would cause the update.
    if (this.#needsCreditUpdate()) this.post(Pending.CreditUpdate);
    return Action.Write;
  }

  #endsRecord(flags: number): boolean {
    return this.type === PacketType.Seqpacket && (flags & RecordFlag.EndOfMessage) !== 0;
  }

  #onShutdown(flags: number): Action {
    if (this.state !== State.Open) return this.#refuse();
    const endsInput = (flags & ShutdownFlag.Receive) !== 0 && !this.guestReadShutdown;
    const endsOutput = (flags & ShutdownFlag.Send) !== 0 && !this.guestEnded;
    if (endsInput) {
      this.guestReadShutdown = true;
      this.pending &= ~Pending.Data;
    }
    if (endsOutput) this.guestEnded = true;
    // Both directions have ended.
    const isOver = this.guestEnded ? this.waiting === 0 : this.hostReadShutdown;
    if (this.guestReadShutdown && isOver) this.kill();
    if (endsInput) return endsOutput ? Action.EndBoth : Action.EndInput;
    return endsOutput ? Action.EndOutput : Action.None;
  }

  /** The socket has accepted bytes of the guest. */
  onForwarded(bytes: number): void {
    this.fwdCnt = (this.fwdCnt + bytes) >>> 0;
    if (this.state !== State.Open) return;
    if (this.guestReadShutdown && this.guestEnded && this.waiting === 0) this.kill();
    else if (this.#needsCreditUpdate()) this.post(Pending.CreditUpdate);
  }

  /**
   * Whether the guest knows of little free buffer although more is free. Newer Linux guests use no more
   * credit than the size of their own buffer, however much they are given.
   */
  #needsCreditUpdate(): boolean {
    const used = Math.min(this.#bufAllocSent, this.peerBufAlloc);
    const known = used - ((this.received - this.#fwdCntSent) >>> 0);
    const isOutdated = this.fwdCnt !== this.#fwdCntSent || this.#bufAlloc !== this.#bufAllocSent;
    return isOutdated && known < used / CREDIT_UPDATE_PART;
  }

  /** The socket has no more bytes for now. */
  onDrained(): void {
    this.pending &= ~Pending.Data;
  }

  /** The socket has bytes, or its end. */
  onReadable(): void {
    if (this.state === State.Open && !this.hostEnded && !this.guestReadShutdown)
      this.post(Pending.Data);
  }

  /** The socket is at end of input: half-closes towards the guest. */
  onHostEnd(): void {
    if (this.hostEnded) return;
    this.hostEnded = true;
    this.pending &= ~Pending.Data;
    this.post(Pending.Shutdown);
  }

  get #shutdownFlags(): number {
    return (
      (this.hostReadShutdown ? ShutdownFlag.Receive : 0) | (this.hostEnded ? ShutdownFlag.Send : 0)
    );
  }

  /**
   * The socket accepts no more bytes, but may still have some for the guest, which is sent
   * SHUTDOWN(receive), as by a peer on kernel vsock that shuts down reading.
   */
  onHostReadShutdown(): void {
    if (this.state === State.Dead || this.hostReadShutdown) return;
    this.hostReadShutdown = true;
    if (this.guestReadShutdown) this.kill();
    else this.post(Pending.Shutdown);
  }

  /**
   * The socket's peer has closed it. Its unread bytes are still sent to the guest; SHUTDOWN(both)
   * follows them.
   *
   * @param hasUnread whether the socket has bytes for the guest; used only before the connection is
   * open.
   */
  onHostClosed(hasUnread: boolean): void {
    if (this.state === State.Dead) return;
    const wasReadShutdown = this.hostReadShutdown;
    this.hostReadShutdown = true;
    if (this.state !== State.Open) {
      if (!hasUnread) this.kill();
    } else if (this.guestReadShutdown) this.kill();
    // SHUTDOWN(send) was sent after the data; only SHUTDOWN(receive) is missing.
    else if (!this.hostEnded) this.post(Pending.Data);
    else if (!wasReadShutdown) this.post(Pending.Shutdown);
  }

  /** The packets that may be sent while data has to wait: SHUTDOWN waits with the data. */
  get pendingBesidesData(): number {
    const { pending } = this;
    return (pending & Pending.Data) === 0 ? pending : pending & ~(Pending.Data | Pending.Shutdown);
  }

  /**
   * Returns the next packet; 0 if there is none. Data without credit turns
   * into a CREDIT_REQUEST.
   *
   * @param holdsData whether data has to wait for another reason than credit.
   */
  next(holdsData = false): PendingBit | 0 {
    const pending = holdsData ? this.pendingBesidesData : this.pending;
    if (pending === 0) return 0;
    if (pending === Pending.Data && this.credit > 0) return Pending.Data;
    for (const bit of ORDER) {
      if ((pending & bit) === 0) continue;
      if (bit !== Pending.Data || this.credit > 0) return bit;
      this.isOutOfCredit = true;
      this.pending &= ~Pending.Data;
      if (!this.#creditRequested) {
        this.#creditRequested = true;
        this.post(Pending.CreditRequest);
        return Pending.CreditRequest;
      }
    }
    return 0;
  }

  /**
   * Fills the header of the packet that {@link next} returned, and counts it as sent.
   *
   * @param bytes of payload, for Data.
   * @param recordFlags RecordFlag bits, for Data of a seqpacket connection.
   */
  fillHeader(
    bit: PendingBit,
    header: PacketHeader,
    guestCid: number,
    bytes: number,
    recordFlags = 0,
  ): void {
    header.srcCid = HOST_CID;
    header.dstCid = guestCid;
    header.srcPort = this.hostPort;
    header.dstPort = this.guestPort;
    header.type = this.type;
    header.op = OP_OF_PENDING[bit];
    header.len = bytes;
    header.flags = bit === Pending.Shutdown ? this.#shutdownFlags : recordFlags;
    header.bufAlloc = this.#bufAllocSent = this.#bufAlloc;
    header.fwdCnt = this.fwdCnt;
    this.#fwdCntSent = this.fwdCnt;
    // Every packet carries the credit.
    this.pending &= ~Pending.CreditUpdate;
    if (bit === Pending.Data) this.sent = (this.sent + bytes) >>> 0;
    else this.pending &= ~bit;
  }
}

/** The order of packets. Data goes before SHUTDOWN. */
const ORDER = [
  Pending.Rst,
  Pending.Request,
  Pending.Response,
  Pending.CreditRequest,
  Pending.Data,
  Pending.Shutdown,
  Pending.CreditUpdate,
] as const;

const OP_OF_PENDING: Readonly<Record<PendingBit, Op>> = {
  [Pending.Request]: Op.Request,
  [Pending.Response]: Op.Response,
  [Pending.Rst]: Op.Rst,
  [Pending.Shutdown]: Op.Shutdown,
  [Pending.CreditUpdate]: Op.CreditUpdate,
  [Pending.CreditRequest]: Op.CreditRequest,
  [Pending.Data]: Op.Rw,
};
