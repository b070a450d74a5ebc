/**
 * Listens for the clients of `vsockbox bench` until it is stopped. Without any client the process waits
 * for the listening socket alone, without a wake-up; with one the event loop runs.
 */
import type { VsockboxError } from "../errors.ts";
import { closeDescriptor } from "../ffi/socket.ts";
import { Acceptor } from "../io/acceptor.ts";
import { EventLoop } from "../io/event-loop.ts";
import { formatPeerHost, peerOf } from "../io/peer.ts";
import { ReadyDescriptor } from "../io/ready-descriptor.ts";
import { formatAddress, type SocketAddress } from "../net/address.ts";
import type { AllowedCids } from "../net/allow-cid.ts";
import { isAdmitted, openListener } from "../net/listen.ts";
import { BenchServer } from "./server.ts";
import type { ServedTest } from "./server-test.ts";
import { formatAmount } from "./units.ts";
import type { ServerResult } from "../protocols/bench/control.ts";
import { nextTurn } from "../io/fair-turns.ts";

/** Longest wait of one round of the loop, in milliseconds: a signal is delayed by at most this long. */
const BLOCK_MS = 50;

/** The longest interval of a timer, in milliseconds: it keeps the process alive and never fires. */
const LONGEST_MS = 0x7fff_ffff;

/** Options of {@link BenchService}. */
export interface ServeOptions {
  allowed: AllowedCids;
  /** Tests at once. */
  maxClients: number;
  /** The longest test, in milliseconds. */
  maxDurationMs: number;
  /** Called after each test. */
  onServed: (served: ServedTest) => void;
  /** Called for each peer that is not allowed. */
  onRefusal: (peer: string) => void;
  warn: (message: string) => void;
}

/** A listener with its event loop. */
export class BenchService {
  /** The address, with the port that the kernel chose if none was given. */
  readonly address: SocketAddress;
  readonly #loop = new EventLoop();
  readonly #acceptor: Acceptor;
  readonly #server: BenchServer;
  readonly #close: () => void;
  readonly #listener: number;
  readonly #stopping = Promise.withResolvers<void>();
  #isStopped = false;

  /**
   * Binds and listens.
   *
   * @throws {VsockboxError} as `listen`.
   */
  constructor(address: SocketAddress, options: ServeOptions) {
    const { allowed, onRefusal, warn } = options;
    const listener = openListener(address);
    const loop = this.#loop;
    this.address = listener.address;
    this.#listener = listener.fd;
    this.#server = new BenchServer({ loop, ...options });
    this.#acceptor = new Acceptor(loop, {
      fd: listener.fd,
      address: formatAddress(listener.address),
      warn,
      onAccept: (fd) => {
        if (isAdmitted(fd, address, allowed)) return this.#server.accept(fd);
        onRefusal(formatPeerHost(peerOf(fd)));
        closeDescriptor(fd);
      },
    });
    loop.eachRound(() => this.#acceptor.onTime(performance.now()));
    this.#close = () => {
      closeDescriptor(listener.fd);
      listener.removeFile();
    };
  }

  /** Serves clients until {@link stop}, then closes all connections. */
  async run(): Promise<void> {
    const alive = setInterval(() => undefined, LONGEST_MS);
    try {
      while (!this.#isStopped) {
        if (this.#server.isIdle) await this.#nextClient();
        await this.#runUntilTurn();
      }
    } finally {
      clearInterval(alive);
      this.#acceptor.close();
      this.#server.close();
      this.#close();
      this.#loop.close();
    }
  }

  async #nextClient(): Promise<void> {
    const ready = new ReadyDescriptor(this.#listener);
    await Promise.race([ready.readable(), this.#stopping.promise]);
    ready.close();
  }

  /** Handles events until there are none, or the runtime has to run. */
  async #runUntilTurn(): Promise<void> {
    const turn = performance.now() + BLOCK_MS;
    while (this.#loop.round(BLOCK_MS) && performance.now() < turn);
    await nextTurn();
  }

  /** Ends {@link run}. */
  stop(): void {
    this.#isStopped = true;
    this.#stopping.resolve();
  }
}

/** Bytes of all streams of a test. */
function totals({ streams }: ServerResult): { received: number; sent: number } {
  return {
    received: streams.reduce((sum, { receivedBytes }) => sum + receivedBytes, 0),
    sent: streams.reduce((sum, { sentBytes }) => sum + sentBytes, 0),
  };
}

/** Returns the object about a test that `bench serve --json` prints; null for what was not measured. */
export function servedJson({ request, peer, result, connects, error }: ServedTest) {
  const sums = result === undefined ? undefined : totals(result);
  const isConnects = request.test === "connects";
  return {
    event: "served",
    ...{ peer, test: request.test, streams: request.streams },
    completed: result !== undefined,
    duration_ms: result === undefined ? null : result.elapsedUs / 1000,
    received_bytes: sums?.received ?? null,
    sent_bytes: sums?.sent ?? null,
    connections: result === undefined || !isConnects ? null : connects,
    reason: error?.reason ?? null,
  };
}

/** Returns the line about a test for the log. */
export function servedLine({ request, peer, result, connects, error }: ServedTest): string {
  const { test, streams } = request;
  const what = `${peer}: ${test} of ${streams === 1 ? "1 stream" : `${streams} streams`}`;
  if (result === undefined) return `${what} was not completed${reasonOf(error)}`;
  const { received, sent } = totals(result);
  const counts =
    test === "connects"
      ? `${connects} connections`
      : `${formatAmount(received)} received, ${formatAmount(sent)} sent`;
  return `${what}: ${counts} in ${(result.elapsedUs / 1e6).toFixed(1)} s`;
}

function reasonOf(error: VsockboxError | undefined): string {
  return error === undefined ? "" : `: ${error.reason}`;
}
