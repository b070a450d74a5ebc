/** The client of `vsockbox bench`: runs one test against a server. */
import { closeDescriptor } from "../ffi/socket.ts";
import type { SocketAddress } from "../net/address.ts";
import type { DialOptions } from "../net/dial.ts";
import { runConnectTest } from "./connect-test.ts";
import { connectBench } from "./connection.ts";
import { isBulk, isCounted, type BenchSample, type TestPlan, type TestResult } from "./plan.ts";
import { runStreamTest } from "./stream-test.ts";

/** Options of {@link runTest}. */
export interface RunTestOptions {
  address: SocketAddress;
  plan: TestPlan;
  dialOptions: DialOptions;
  /** Ends the test early, with the result so far. */
  signal: AbortSignal | undefined;
  /** Called about ten times a second with the counts so far. */
  onSample: (sample: BenchSample) => void;
}

/**
 * Connects to a server of `vsockbox bench serve`, runs a test, and returns its result.
 *
 * @throws {VsockboxError} as `connectBench`; TRANSPORT if a connection breaks, TIMEOUT if the server does
 * not end the test.
 */
export async function runTest(options: RunTestOptions): Promise<TestResult> {
  const { address, plan, signal, onSample } = options;
  const { test, streams, messageBytes, durationMs, warmUpMs, limitBytes = 0 } = plan;
  const dialOptions = { ...options.dialOptions, signal };
  using opened = new Descriptors();
  const beforeMs = test === "latency" ? warmUpMs : 0;
  const control = await connectBench(
    address,
    {
      ...{ kind: "control", test, streams, messageBytes },
      durationMs: isCounted(plan) ? 0 : Math.round(durationMs + beforeMs),
      limitBytes: isBulk(test) ? limitBytes : 0,
    },
    dialOptions,
  );
  opened.add(control.fd);
  if (test === "connects") {
    return await runConnectTest({ plan, address, dialOptions, control, signal, onSample });
  }
  const fds: number[] = [];
  for (let stream = 0; stream < streams; stream++) {
    const request = { kind: "data", token: control.token, stream } as const;
    const { fd } = await connectBench(address, request, dialOptions);
    opened.add(fd);
    fds.push(fd);
  }
  return await runStreamTest({ plan, control: control.fd, streams: fds, signal, onSample });
}

/** Descriptors that are closed when this is disposed. */
class Descriptors implements Disposable {
  readonly #fds: number[] = [];

  add(fd: number): void {
    this.#fds.push(fd);
  }

  [Symbol.dispose](): void {
    for (const fd of this.#fds) closeDescriptor(fd);
  }
}
