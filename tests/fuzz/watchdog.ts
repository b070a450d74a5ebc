/** Runs beside a fuzzer, in a thread: kills it where one input or session never comes to an end. */
import { usedMs } from "./bounds.ts";

declare const self: Worker;

/** What one may take of the processor before the run is given up, in milliseconds. */
const HANG_MS = 20_000;

/** How long one may take that only waits, on a machine as busy as may be, in milliseconds. */
const BLOCK_MS = 300_000;

/** How often it is looked, in milliseconds. */
const LOOK_MS = 1000;

/** What the fuzzer tells it: two shared numbers, which target and which input, and the rest. */
export interface Watched {
  progress: SharedArrayBuffer;
  seed: number;
  targets: string[];
}

self.addEventListener("message", ({ data }: MessageEvent<Watched>) => {
  const progress = new Int32Array(data.progress);
  let seen = "";
  let since = performance.now();
  let usedBefore = usedMs();
  setInterval(() => {
    const target = data.targets[Atomics.load(progress, 0)];
    const now = `${target}:${data.seed}:${Atomics.load(progress, 1)}`;
    if (now !== seen) {
      seen = now;
      since = performance.now();
      usedBefore = usedMs();
    }
    if (usedMs() - usedBefore < HANG_MS && performance.now() - since < BLOCK_MS) return;
    process.stderr.write(`FAIL  ${target} does not come to an end\n      --replay ${now}\n`);
    process.kill(process.pid, "SIGKILL");
  }, LOOK_MS);
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a worker has none
  self.postMessage("watching");
});
