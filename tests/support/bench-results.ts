/** Results of `bench run` for tests of what is made of them. */
import { Histogram } from "../../src/bench/histogram.ts";
import type { TestPlan, TestResult } from "../../src/bench/plan.ts";
import type { BenchTest } from "../../src/protocols/bench/request.ts";

/** Returns a plan of two seconds. */
export function planOf(test: BenchTest): TestPlan {
  return {
    test,
    streams: 2,
    messageBytes: 65_536,
    durationMs: 2000,
    limitBytes: undefined,
    limitCount: undefined,
    rate: undefined,
    warmUpMs: 100,
  };
}

/** Returns a result of two seconds: 2 GB to the server, 1 GB from it, or a thousand operations. */
export function benchResult(test: BenchTest, changes: Partial<TestResult> = {}): TestResult {
  const isToServer = test === "upload" || test === "both";
  const isFromServer = test === "download" || test === "both";
  const latency = new Histogram();
  for (let index = 1; index <= 1000; index++) latency.record(index * 1000);
  return {
    plan: planOf(test),
    elapsedMs: 2000,
    isInterrupted: false,
    toServer: isToServer ? { bytes: 2_000_000_000, elapsedMs: 2000 } : undefined,
    fromServer: isFromServer ? { bytes: 1_000_000_000, elapsedMs: 1990 } : undefined,
    operations:
      isToServer || isFromServer
        ? undefined
        : { count: 1000, elapsedMs: 2000, latency, isFromDue: false },
    clientCpuMs: 900,
    serverCpuMs: 1800,
    samples: [1, 2].map((second) => ({
      atMs: second * 1000,
      toServerBytes: isToServer ? second * 1e9 : 0,
      fromServerBytes: isFromServer ? second * 5e8 : 0,
      operations: isToServer || isFromServer ? 0 : second * 500,
    })),
    streams: [{ toServerBytes: 2e9, fromServerBytes: 1e9 }],
    ...changes,
  };
}
