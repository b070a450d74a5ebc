/** What the agent does to start a command, as a number of system calls. */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { ScratchDirectory, shell } from "../support/binary.ts";
import { describeWith } from "../support/tools.ts";

/** Counts the calls of the agent that serves so many commands, each with a connection of its own. */
async function callsFor(commands: number, names: string): Promise<number> {
  using scratch = new ScratchDirectory();
  const result = await shell(
    `D=${scratch.path}
    strace -f -o $D/trace -e trace=${names} "$VSOCKBOX" agent --listen unix:$D/s 2> $D/log & strace=$!
    until [ -S $D/s ]; do sleep 0.01; done
    for i in $(seq ${commands}); do vsockbox exec unix:$D/s -- true < /dev/null; done
    kill $(pgrep -P $strace); wait $strace; cat $D/log`,
  );
  expect(result.stderr).toBe("");
  const lines = readFileSync(scratch.file("trace"), "utf8").split("\n");
  return lines.filter((line) => /^\d+ +\w+\(/.test(line)).length;
}

const FEW = 5;
const MORE = 20;

describeWith(["strace", "pgrep"], "a command costs the agent", () => {
  test.each([
    // Three to a pipe: its size, that it does not block, and a look at its flags by the runtime.
    ["fcntl", 14],
    // The connection and the end of the process by the runtime, and two to each pipe of the output.
    ["epoll_ctl", 13],
    ["pipe2", 3],
  ])("at most that many calls of %s: %d", async (name, most) => {
    const few = await callsFor(FEW, name);
    const many = await callsFor(FEW + MORE, name);
    expect((many - few) / MORE).toBeLessThanOrEqual(most);
  });
});
