/**
 * One connection of a virtio-vsock device, without I/O: what a packet of the guest means, what is to
 * be sent to it next, and how much. Bytes go straight between socket and guest memory; the machine
 * only counts them. Nothing here allocates.
 */
import { HOST_CID, Op, type PacketHeader, PacketType, RecordFlag, ShutdownFlag } from "./packet.ts";

/** Where a connection stands. */
export const State = {
  /** The host has asked; the guest has not answered. */
  HostOpening: 0,
  /** The guest has asked; the host's side is being connected. */
  GuestOpening: 1,
  Open: 2,
  /** An RST has been sent or has come: nothing follows. */
  Dead: 3,
} as const;

/** Things that a connection has to tell its guest: a set of bits, not a queue. */
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

/** What the I/O side has to do for a packet of the guest. */
export const Action = {
  None: 0,
  /** Write the payload to the socket, behind what waits. */
  Write: 1,
  /** The guest has answered the host's request: tell the client. */
  Opened: 2,
  /** Everything is over: close the socket at once. */
  Close: 3,
  /** No more bytes come from the guest: half-close the socket after what waits. */
  EndOutput: 4,
  /** The guest reads no more: shut the socket down for reading, so that its writer gets EPIPE. */
  EndInput: 5,
  /** Both of them. */
  EndBoth: 6,
} as const;

/** A fresh credit is told when so much less than the buffer is known to be free, in parts of it. */
const CREDIT_UPDATE_PART = 4;

/** A connection's numbers and flags. */
export class Connection {
  state: number = State.HostOpening;
  /** The set of {@link Pending} bits. */
  pending = 0;
  /** The port on the host's side. */
  readonly hostPort: number;
  readonly guestPort: number;
  /** PacketType. */
  readonly type: number;

  /** Our buffer for the guest's bytes, in bytes. */
  readonly bufAlloc: number;
  /** Bytes of the guest that the socket has taken, u32 wrapping. */
  fwdCnt = 0;
  /** Bytes that the guest has sent, u32 wrapping. */
  received = 0;
  /** What the guest knows of `fwdCnt`. */
  #fwdCntTold = 0;

  /** The guest's buffer, in bytes. */
  peerBufAlloc = 0;
  /** What the guest says its user has taken. */
  peerFwdCnt = 0;
  /** Bytes that we have sent to the guest, u32 wrapping. */
  sent = 0;

  /** Whether the socket has said its end: the guest gets no more bytes. */
  hostEnded = false;
  /** Whether the socket accepts no more bytes: its peer has closed it, or shut it down for reading. */
  hostDeaf = false;
  /** Whether the guest has said that it sends no more. */
  guestEnded = false;
  /** Whether the guest has sent SHUTDOWN(receive): it is sent no more bytes. */
  guestDeaf = false;
  /** Whether the data stopped for want of credit. */
  starved = false;
  #creditRequested = false;

  constructor(hostPort: number, guestPort: number, type: number, bufAlloc: number) {
    this.hostPort = hostPort;
    this.guestPort = guestPort;
    this.type = type;
    this.bufAlloc = bufAlloc;
  }

  /** Bytes that may be sent to the guest now. */
  get credit(): number {
    const unread = (this.sent - this.peerFwdCnt) >>> 0;
    // A guest that says it has read more than was sent, or shrinks its buffer, gets nothing.
    return unread > this.peerBufAlloc ? 0 : this.peerBufAlloc - unread;
  }

  /** Bytes of the guest that wait for the socket. */
  get waiting(): number {
    return (this.received - this.fwdCnt) >>> 0;
  }

  /** Adds to what is to be told. */
  post(bits: number): void {
    this.pending |= bits;
  }

  /**
   * Ends the connection with an RST to the guest, and sends nothing else. A guest that has not been
   * sent the REQUEST does not know the connection, and gets nothing.
   */
  kill(): void {
    if (this.state === State.Dead) return;
    this.state = State.Dead;
    this.pending = (this.pending & Pending.Request) === 0 ? Pending.Rst : 0;
  }

  /** The guest has asked for it, with its credit; the host's side is being connected. */
  begin(peerBufAlloc: number, peerFwdCnt: number): void {
    this.state = State.GuestOpening;
    this.peerBufAlloc = peerBufAlloc;
    this.peerFwdCnt = peerFwdCnt;
  }

  /** Whether only the guest's last word is missing. */
  get isLeaving(): boolean {
    return this.hostEnded && (this.guestEnded || this.hostDeaf);
  }

  /** The host's side of a guest's request is connected. */
  accept(): void {
    this.state = State.Open;
    this.post(Pending.Response);
  }

  /** Takes a packet of the guest whose ports are this connection's; gives an {@link Action}. */
  onPacket(header: PacketHeader): number {
    if (this.state === State.Dead) return Action.None;
    this.peerBufAlloc = header.bufAlloc;
    this.peerFwdCnt = header.fwdCnt;
    this.#creditRequested = false;
    if (this.starved && this.credit > 0) {
      this.starved = false;
      this.onReadable();
    }
    if (header.type !== this.type) return this.#refuse();
    switch (header.op) {
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
      default:
        return this.#refuse();
    }
  }

  #refuse(): number {
    this.kill();
    return Action.Close;
  }

  #onData(len: number, flags: number): number {
    if (this.state !== State.Open || this.guestEnded) return this.#refuse();
    // Without payload it still may end a record.
    if (len === 0) return this.#endsRecord(flags) ? Action.Write : Action.None;
    // More than the credit that it was given: its bytes could only be dropped, so it is told.
    if (len > this.bufAlloc - this.waiting) return this.#refuse();
    this.received = (this.received + len) >>> 0;
    // Its bytes may wait, and then no write follows that would bring the update about.
    if (this.#isWorthTelling()) this.post(Pending.CreditUpdate);
    return Action.Write;
  }

  #endsRecord(flags: number): boolean {
    return this.type === PacketType.Seqpacket && (flags & RecordFlag.EndOfMessage) !== 0;
  }

  #onShutdown(flags: number): number {
    if (this.state !== State.Open) return this.#refuse();
    const endsInput = (flags & ShutdownFlag.Receive) !== 0 && !this.guestDeaf;
    const endsOutput = (flags & ShutdownFlag.Send) !== 0 && !this.guestEnded;
    if (endsInput) {
      this.guestDeaf = true;
      this.pending &= ~Pending.Data;
    }
    if (endsOutput) this.guestEnded = true;
    // Neither direction is of use to a side: the RST ends the connection.
    const isOver = this.guestEnded ? this.waiting === 0 : this.hostDeaf;
    if (this.guestDeaf && isOver) this.kill();
    if (endsInput) return endsOutput ? Action.EndBoth : Action.EndInput;
    return endsOutput ? Action.EndOutput : Action.None;
  }

  /** The socket has taken bytes of the guest. */
  onForwarded(bytes: number): void {
    this.fwdCnt = (this.fwdCnt + bytes) >>> 0;
    if (this.state !== State.Open) return;
    if (this.guestDeaf && this.guestEnded && this.waiting === 0) this.kill();
    else if (this.#isWorthTelling()) this.post(Pending.CreditUpdate);
  }

  /** Whether the guest believes our buffer nearly full while it is not. */
  #isWorthTelling(): boolean {
    const known = this.bufAlloc - ((this.received - this.#fwdCntTold) >>> 0);
    return known < this.bufAlloc / CREDIT_UPDATE_PART && this.fwdCnt !== this.#fwdCntTold;
  }

  /** The socket has no more bytes for now. */
  onDrained(): void {
    this.pending &= ~Pending.Data;
  }

  /** The socket has bytes, or its end. */
  onReadable(): void {
    if (this.state === State.Open && !this.hostEnded && !this.guestDeaf) this.post(Pending.Data);
  }

  /** The socket has said its end: a half-close for the guest. */
  onHostEnd(): void {
    if (this.hostEnded) return;
    this.hostEnded = true;
    this.pending &= ~Pending.Data;
    this.post(Pending.Shutdown);
  }

  get #shutdownFlags(): number {
    return (this.hostDeaf ? ShutdownFlag.Receive : 0) | (this.hostEnded ? ShutdownFlag.Send : 0);
  }

  /**
   * The socket accepts no more bytes, but may still have some for the guest, which is sent
   * SHUTDOWN(receive): as when a reader on kernel vsock shuts down its side for reading.
   */
  onHostDeaf(): void {
    if (this.state === State.Dead || this.hostDeaf) return;
    this.hostDeaf = true;
    if (this.guestDeaf) this.kill();
    else this.post(Pending.Shutdown);
  }

  /**
   * The socket's peer has closed it. What it has sent before is still the guest's; SHUTDOWN(both)
   * follows that.
   *
   * @param hasUnread whether the socket has bytes for the guest; of interest before the connection is
   * open alone.
   */
  onHostGone(hasUnread: boolean): void {
    if (this.state === State.Dead) return;
    const wasDeaf = this.hostDeaf;
    this.hostDeaf = true;
    if (this.state !== State.Open) {
      if (!hasUnread) this.kill();
    } else if (this.guestDeaf) this.kill();
    // After the end of its data has been sent, the guest gets the rest.
    else if (!this.hostEnded) this.post(Pending.Data);
    else if (!wasDeaf) this.post(Pending.Shutdown);
  }

  /** What may be told while data has to wait: not the end of data before it, either. */
  get pendingBesidesData(): number {
    const { pending } = this;
    return (pending & Pending.Data) === 0 ? pending : pending & ~(Pending.Data | Pending.Shutdown);
  }

  /**
   * What is told next, as one {@link Pending} bit; 0 where nothing is. Data without credit turns into
   * a request for some.
   *
   * @param holdsData whether data has to wait for something else than credit.
   */
  next(holdsData = false): number {
    const pending = holdsData ? this.pendingBesidesData : this.pending;
    if (pending === 0) return 0;
    if (pending === Pending.Data && this.credit > 0) return Pending.Data;
    for (const bit of ORDER) {
      if ((pending & bit) === 0) continue;
      if (bit !== Pending.Data || this.credit > 0) return bit;
      this.starved = true;
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
   * Fills a header for what {@link next} gave, and counts it as told.
   *
   * @param bytes of payload, for Data.
   * @param recordFlags RecordFlag bits, for Data of a seqpacket connection.
   */
  tell(bit: number, header: PacketHeader, guestCid: number, bytes: number, recordFlags = 0): void {
    header.srcCid = HOST_CID;
    header.dstCid = guestCid;
    header.srcPort = this.hostPort;
    header.dstPort = this.guestPort;
    header.type = this.type;
    header.op = OP_OF_PENDING[bit] ?? Op.Rst;
    header.len = bytes;
    header.flags = bit === Pending.Shutdown ? this.#shutdownFlags : recordFlags;
    header.bufAlloc = this.bufAlloc;
    header.fwdCnt = this.fwdCnt;
    this.#fwdCntTold = this.fwdCnt;
    // Every packet carries the credit.
    this.pending &= ~Pending.CreditUpdate;
    if (bit === Pending.Data) this.sent = (this.sent + bytes) >>> 0;
    else this.pending &= ~bit;
  }
}

/** What comes first. Data goes before the end of data. */
const ORDER = [
  Pending.Rst,
  Pending.Request,
  Pending.Response,
  Pending.CreditRequest,
  Pending.Data,
  Pending.Shutdown,
  Pending.CreditUpdate,
] as const;

const OP_OF_PENDING: Readonly<Record<number, number>> = {
  [Pending.Request]: Op.Request,
  [Pending.Response]: Op.Response,
  [Pending.Rst]: Op.Rst,
  [Pending.Shutdown]: Op.Shutdown,
  [Pending.CreditUpdate]: Op.CreditUpdate,
  [Pending.CreditRequest]: Op.CreditRequest,
  [Pending.Data]: Op.Rw,
};
