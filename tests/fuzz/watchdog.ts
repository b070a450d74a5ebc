/** Runs beside the fuzzer, in a thread: kills it where one input never comes to an end. */
import { inputOf, replayOption } from "./fuzzer.ts";
import { TARGETS } from "./targets.ts";

declare const self: Worker;

/** How long one input may take before the run is given up, in milliseconds. */
const HANG_MS = 20_000;

/** How often it is looked, in milliseconds. */
const LOOK_MS = 1000;

/** What the fuzzer tells it: two shared numbers, which target and which input, and the seed. */
export interface Watched {
  progress: SharedArrayBuffer;
  seed: number;
}

self.addEventListener("message", ({ data }: MessageEvent<Watched>) => {
  const progress = new Int32Array(data.progress);
  let seen = "";
  let since = performance.now();
  setInterval(() => {
    const targetIndex = Atomics.load(progress, 0);
    const index = Atomics.load(progress, 1);
    const now = `${targetIndex} ${index}`;
    if (now !== seen) {
      seen = now;
      since = performance.now();
    }
    const target = TARGETS[targetIndex];
    if (target === undefined || performance.now() - since < HANG_MS) return;
    const replay = replayOption(target, inputOf(target, data.seed, index), {
      seed: data.seed,
      index,
    });
    process.stderr.write(
      `FAIL  ${target.name}: input ${index} of seed ${data.seed} does not come to an end\n      ${replay}\n`,
    );
    process.kill(process.pid, "SIGKILL");
  }, LOOK_MS);
});
