/** Listens for the clients of `vsockbox bench` until it is stopped. */
import type { VsockboxError } from "../errors.ts";
import { closeDescriptor } from "../ffi/socket.ts";
import { Acceptor } from "../io/acceptor.ts";
import { EventLoop } from "../io/event-loop.ts";
import { formatPeerHost, peerOf } from "../io/peer.ts";
import { formatAddress, type SocketAddress } from "../net/address.ts";
import type { AllowedCids } from "../net/allow-cid.ts";
import { isAdmitted, openListener } from "../net/listen.ts";
import { BenchServer } from "./server.ts";
import type { ServedTest } from "./server-test.ts";
import { formatAmount } from "./units.ts";

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
    try {
      await this.#loop.run();
    } finally {
      this.#acceptor.close();
      this.#server.close();
      this.#close();
      this.#loop.close();
    }
  }

  /** Ends {@link run}. */
  stop(): void {
    this.#loop.stop();
  }
}

/** Returns the line about a test for the log. */
export function servedLine({ request, peer, result, connects, error }: ServedTest): string {
  const { test, streams } = request;
  const what = `${peer}: ${test} of ${streams === 1 ? "1 stream" : `${streams} streams`}`;
  if (result === undefined) return `${what} was not completed${reasonOf(error)}`;
  const received = result.streams.reduce((sum, { receivedBytes }) => sum + receivedBytes, 0);
  const sent = result.streams.reduce((sum, { sentBytes }) => sum + sentBytes, 0);
  const counts =
    test === "connects"
      ? `${connects} connections`
      : `${formatAmount(received)} received, ${formatAmount(sent)} sent`;
  return `${what}: ${counts} in ${(result.elapsedUs / 1e6).toFixed(1)} s`;
}

function reasonOf(error: VsockboxError | undefined): string {
  return error === undefined ? "" : `: ${error.reason}`;
}
