/** Many small files cost few system calls each, and no round trip: counted, not timed. */
import { expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { shell } from "../support/binary.ts";
import { describeWith } from "../support/tools.ts";

/** A file system with O_TMPFILE, if there is one. */
const PARENT = existsSync("/dev/shm") ? "/dev/shm" : "/tmp";

/** Calls that have to do with files and connections, not those of threads and memory. */
const TRACED = "%file,%desc,%net,umask";

/** System calls by their names. */
type Calls = ReadonlyMap<string, number>;

function readCalls(trace: string): Calls {
  const calls = new Map<string, number>();
  for (const line of readFileSync(trace, "utf8").split("\n")) {
    const name = /^\d+ +(\w+)\(/.exec(line)?.[1];
    if (name !== undefined) calls.set(name, (calls.get(name) ?? 0) + 1);
  }
  return calls;
}

/** Runs a line in which $A is the agent's address and $D its directory; returns the calls of both ends. */
async function callsOf(files: number, line: string): Promise<{ client: Calls; agent: Calls }> {
  const directory = mkdtempSync(join(PARENT, "vsockbox-test-"));
  try {
    mkdirSync(join(directory, "tree/sub"), { recursive: true });
    mkdirSync(join(directory, "to"));
    for (let file = 0; file < files; file++) {
      writeFileSync(join(directory, "tree/sub", `file-${file}`), `content ${file}`);
    }
    const result = await shell(
      `set -e; D=${directory}; A=unix:$D/agent.sock
      strace -f -o $D/agent.trace -e trace=${TRACED} "$VSOCKBOX" agent --listen $A 2> $D/log & strace=$!
      until [ -S $D/agent.sock ]; do sleep 0.01; done
      vsockbox() { strace -f -o $D/client.trace -e trace=${TRACED} "$VSOCKBOX" "$@"; }
      ${line}
      kill $(pgrep -P $strace); wait $strace || true
      find $D/to -type f | wc -l`,
    );
    expect(result).toMatchObject({ status: 0, stderr: "" });
    expect(Number(result.stdout)).toBeGreaterThanOrEqual(files);
    return {
      client: readCalls(join(directory, "client.trace")),
      agent: readCalls(join(directory, "agent.trace")),
    };
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** Returns the calls that each further file costs, in tenths. */
function perFile(few: Calls, many: Calls, files: number): Record<string, number> {
  const costs = [...many].map(([name, count]): [string, number] => [
    name,
    Math.round(((count - (few.get(name) ?? 0)) / files) * 10) / 10,
  ]);
  return Object.fromEntries(costs.filter(([, cost]) => cost > 0.1));
}

const FEW = 100;
const MORE = 200;

describeWith(["strace", "pgrep"], "each of many small files costs", () => {
  const SENT = { openat: 1, statx: 1, read: 1, close: 1 };
  const RECEIVED = { openat: 1, pwrite64: 1, linkat: 1, close: 1 };

  test.each([
    ["cp -r $D/tree $A:$D/to", { client: SENT, agent: RECEIVED }],
    ["cp -r $A:$D/tree $D/to", { client: RECEIVED, agent: SENT }],
  ])("%s", async (words, expected) => {
    const few = await callsOf(FEW, `vsockbox ${words}`);
    const many = await callsOf(FEW + MORE, `vsockbox ${words}`);
    expect({
      client: perFile(few.client, many.client, MORE),
      agent: perFile(few.agent, many.agent, MORE),
    }).toEqual(expected);
  });

  test.each(["cp $D/tree/sub/* $A:$D/to", "cp $A:$D/tree/sub/\\* $D/to"])(
    "no message of its own: %s",
    async (words) => {
      const few = await callsOf(FEW, `vsockbox ${words}`);
      const many = await callsOf(FEW + MORE, `vsockbox ${words}`);
      for (const end of ["client", "agent"] as const) {
        const { sendto = 0, write = 0 } = perFile(few[end], many[end], MORE);
        expect({ end, sendto, write }).toEqual({ end, sendto: 0, write: 0 });
      }
    },
  );
});
