/**
 * The client's end of the test "connects": each connection is opened as every command opens one, a request
 * is answered on it, and it is closed. All run on one thread, in turns.
 */
import { toVsockboxError, VsockboxError } from "../errors.ts";
import { closeDescriptor, readDescriptor, writeDescriptor } from "../ffi/socket.ts";
import type { SocketAddress } from "../net/address.ts";
import type { DialOptions } from "../net/dial.ts";
import { ControlDecoder, encodeControl, type ServerResult } from "../protocols/bench/control.ts";
import {
  becomesReadable,
  type BenchConnection,
  connectBench,
  type Patience,
} from "./connection.ts";
import { CpuClock } from "./cpu-clock.ts";
import { Histogram } from "./histogram.ts";
import { isCounted, type BenchSample, type TestPlan, type TestResult } from "./plan.ts";
import { SAMPLE_MS } from "./stream-test.ts";

/** How long the server has for its result, in milliseconds. */
const RESULT_MS = 10_000;

const READ_BYTES = 4096;
const US_PER_MS = 1000;

/** Options of {@link runConnectTest}. */
export interface ConnectTestOptions {
  plan: TestPlan;
  address: SocketAddress;
  dialOptions: DialOptions;
  /** The accepted control connection; the caller closes it. */
  control: BenchConnection;
  /** Ends the test early, with the result so far. */
  signal: AbortSignal | undefined;
  onSample: (sample: BenchSample) => void;
}

/**
 * Runs the test.
 *
 * @throws {VsockboxError} that of the first connection that fails; TIMEOUT, BAD_DATA.
 */
export async function runConnectTest(options: ConnectTestOptions): Promise<TestResult> {
  const { plan, control, signal } = options;
  const cpu = new CpuClock();
  const begin = performance.now();
  send(control.fd, "start");
  const { latency, samples } = await connectInTurns(options, begin);
  const elapsedMs = performance.now() - begin;
  send(control.fd, "stop");
  const server = await readResult(control.fd, {
    deadline: performance.now() + RESULT_MS,
    signal: undefined,
  });
  return {
    plan,
    elapsedMs,
    isInterrupted: signal?.aborted ?? false,
    toServer: undefined,
    fromServer: undefined,
    operations: { count: latency.count, elapsedMs, latency, isFromDue: false },
    clientCpuMs: cpu.elapsedUs() / US_PER_MS,
    serverCpuMs: (server.cpuUserUs + server.cpuSystemUs) / US_PER_MS,
    samples,
    streams: [],
  };
}

async function connectInTurns(
  { plan, address, dialOptions, control, signal, onSample }: ConnectTestOptions,
  begin: number,
): Promise<{ latency: Histogram; samples: BenchSample[] }> {
  const latency = new Histogram();
  const samples: BenchSample[] = [];
  const end = isCounted(plan) ? Infinity : begin + plan.durationMs;
  const { limitCount = Infinity } = plan;
  let begun = 0;
  let sampleAt = begin + SAMPLE_MS;
  const sample = (now: number) => {
    sampleAt = now + SAMPLE_MS;
    const counts = { toServerBytes: 0, fromServerBytes: 0, operations: latency.count };
    samples.push({ atMs: now - begin, ...counts });
    onSample({ atMs: now - begin, ...counts });
  };
  const connectAgain = async () => {
    const isInterrupted = () => signal?.aborted === true;
    while (performance.now() < end && begun < limitCount && !isInterrupted()) {
      begun++;
      const startNs = Bun.nanoseconds();
      const { fd } = await connectBench(
        address,
        { kind: "connect", token: control.token },
        { ...dialOptions, signal },
      );
      closeDescriptor(fd);
      latency.record(Bun.nanoseconds() - startNs);
      const now = performance.now();
      if (now >= sampleAt) sample(now);
    }
  };
  const outcomes = await Promise.allSettled(Array.from({ length: plan.streams }, connectAgain));
  const failed = outcomes.find((outcome) => outcome.status === "rejected");
  // An interrupted connect is the end of the test.
  if (failed !== undefined && signal?.aborted !== true) throw toVsockboxError(failed.reason);
  sample(performance.now());
  return { latency, samples };
}

function send(fd: number, type: "start" | "stop"): void {
  const bytes = encodeControl({ type });
  if (writeDescriptor(fd, bytes) !== bytes.length) throw lost("the connection is broken");
}

async function readResult(fd: number, patience: Patience): Promise<ServerResult> {
  const decoder = new ControlDecoder();
  const buffer = new Uint8Array(READ_BYTES);
  while (await becomesReadable(fd, patience)) {
    const count = readDescriptor(fd, buffer);
    if (count <= 0) throw lost("the server has closed the connection");
    for (const message of decoder.push(buffer.subarray(0, count))) {
      if (message.type === "result") return message.result;
    }
  }
  throw new VsockboxError({
    code: "TIMEOUT",
    operation: "complete the test",
    message: `the server has sent no result within ${RESULT_MS / 1000} s`,
  });
}

function lost(message: string): VsockboxError {
  return new VsockboxError({
    code: "TRANSPORT",
    operation: "continue with",
    address: "the test",
    message,
  });
}
