/** Explains why a listener on a Unix socket closes each connection without an answer. */
import { VsockboxError } from "../errors.ts";
import { formatAddress, type UnixAddress } from "./address.ts";
import { DEFAULT_CONNECT_TIMEOUT_MS, dial, type DialOptions } from "./dial.ts";
import { type ServiceName, WrongServiceError } from "./wrong-service.ts";

/** Limit for the answer to CONNECT, in milliseconds: a guest that listens answers at once. */
const PROBE_TIMEOUT_MS = 1000;

/** The service that was meant. */
export interface ExpectedService {
  service: ServiceName;
  /** Its port in a guest. */
  port: number;
  /** Whether it may have carried out a request before it closed the connection. */
  mayHaveServed: boolean;
}

/** A connection that was closed before its first byte, by a service that is not known. */
export class SilentCloseError extends VsockboxError {
  constructor(address: UnixAddress, mayHaveServed: boolean) {
    super({
      code: mayHaveServed ? "TRANSPORT" : "UNAVAILABLE",
      operation: "connect",
      address: formatAddress(address),
      message: "the connection was closed without an answer",
      hint: `if that is the socket of a VMM or of hybrid-proxy, its address is hybrid:${address.path}`,
    });
  }
}

/**
 * Returns the error for a listener that has closed a connection without sending a byte. A hybrid-vsock
 * listener does so if the first line is not `CONNECT port`, so this function connects once more and
 * sends that line.
 *
 * The caller must have excluded the Go agent: that one would read the line as a frame of 1.3 GB.
 *
 * @returns WrongServiceError if the guest's port answers; otherwise SilentCloseError, since a guest may
 * have no listener on that port.
 * @throws {VsockboxError} ABORTED.
 */
export async function explainSilentClose(
  address: UnixAddress,
  expected: ExpectedService,
  options: DialOptions = {},
): Promise<VsockboxError> {
  const closed = new SilentCloseError(address, expected.mayHaveServed);
  const timeoutMs = Math.min(options.timeoutMs ?? DEFAULT_CONNECT_TIMEOUT_MS, PROBE_TIMEOUT_MS);
  try {
    const hybrid = { kind: "hybrid", path: address.path, port: expected.port } as const;
    const stream = await dial(hybrid, { ...options, timeoutMs });
    stream.abort();
    return new WrongServiceError(address, "hybrid", expected.service, closed);
  } catch (thrown) {
    if (thrown instanceof VsockboxError && thrown.code === "ABORTED") throw thrown;
    return closed;
  }
}
