/** vsock-shell's codecs and state machines against peers that cheat, as a program. */
import { parseArgs } from "node:util";
import { fuzzVhost, playSession } from "./vhost-fuzzer.ts";
import { SHELL_TARGETS } from "./vsock-shell-targets.ts";

const HELP = `Usage: bun run tests/fuzz/vsock-shell.ts [options]

  --steps N                    inputs for each target (default: 1000000)
  --seed S                     where the sessions come from (default: 1)
  --replay TARGET:SEED:INDEX   play one session

Exit status: 0 where every promise was kept, 1 where one was broken.
`;

const { values } = parseArgs({
  options: {
    steps: { type: "string", default: "1000000" },
    seed: { type: "string", default: "1" },
    replay: { type: "string" },
    help: { type: "boolean", default: false, short: "h" },
  },
});

function replay(option: string): void {
  const [name, seed, index] = option.split(":");
  const target = SHELL_TARGETS.find((one) => one.name === name);
  if (target === undefined) throw new Error(`there is no target ${name}`);
  console.log(playSession(target, Number(seed), Number(index)));
}

function fuzzAll(steps: number, seed: number): number {
  let failures = 0;
  for (const target of SHELL_TARGETS) {
    const { sessions, refused, milliseconds, failure, ...done } = fuzzVhost(target, {
      steps,
      seed,
    });
    const rss = Math.round(process.memoryUsage.rss() / 1024 / 1024);
    const facts = `${done.steps} inputs in ${sessions} sessions, ${refused} refused, ${(milliseconds / 1000).toFixed(1)} s, RSS ${rss} MiB`;
    console.log(`${failure === undefined ? "ok  " : "FAIL"}  ${target.name.padEnd(8)} ${facts}`);
    if (failure === undefined) continue;
    failures++;
    console.log(`      ${failure.reason}\n      ${failure.replay}`);
  }
  return failures;
}

if (values.help) console.log(HELP);
else if (values.replay !== undefined) replay(values.replay);
else process.exitCode = fuzzAll(Number(values.steps), Number(values.seed)) === 0 ? 0 : 1;
