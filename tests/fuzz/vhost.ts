/** The vhost-user device against VMMs, guests and host clients that cheat, as a program. */
import { VsockboxError } from "../../src/errors.ts";
import { runFuzzer, seedAndIndex } from "./program.ts";
import { fuzzVhost, playSession } from "./vhost-fuzzer.ts";
import { VHOST_TARGETS } from "./vhost-targets.ts";

await runFuzzer({
  path: "tests/fuzz/vhost.ts",
  targets: VHOST_TARGETS,
  counted: ["steps", 2_000_000],
  run: (target, { count, seed, onBegin }) =>
    fuzzVhost(target, { steps: count, seed, onSession: onBegin }),
  facts: ({ steps, sessions, refused }) => [
    `${steps} steps`,
    `${sessions} sessions`,
    `${Math.round((refused / Math.max(steps, 1)) * 100)} % refused`,
  ],
  replay(target, word) {
    const which = seedAndIndex(word);
    if (which === undefined) {
      const message = `no SEED:INDEX: ${JSON.stringify(word)}`;
      throw new VsockboxError({ code: "USAGE", operation: "fuzz", message });
    }
    const { steps, refused } = playSession(target, ...which);
    return `${steps} steps, ${refused} refused`;
  },
});
