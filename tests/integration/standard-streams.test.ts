/** Standard input and output that are closed, or that nothing can be read from. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { ScratchDirectory, shell, TestAgent } from "../support/binary.ts";
import { describeWith } from "../support/tools.ts";
import { EACH_METHOD } from "../support/wake-up-methods.ts";

let agent: TestAgent;
beforeAll(async () => {
  agent = await TestAgent.start();
});
afterAll(() => agent[Symbol.asyncDispose]());

/** Runs a line in which $A is the agent's address. */
const run = (line: string) => shell(line, { env: { A: agent.address } });

describe("a standard input that is a directory", () => {
  test.each([
    `vsockbox cp - "$A:${"$PWD"}/never" < /`,
    'vsockbox exec "$A" -- cat < /',
    'vsockbox connect "$A" < /',
  ])("ends %j with the reason", async (line) => {
    expect(await run(line)).toMatchObject({
      status: 74,
      stdout: "",
      stderr: expect.stringContaining("cannot read standard input: is a directory (EISDIR)\n"),
    });
  });
});

test("cp names the errno of a file system without temporary files as the kernel does", async () => {
  const result = await run('vsockbox cp /etc/hosts "$A:/proc/x"');
  expect(result.status).toBe(74);
  expect(result.stderr).toContain("no such file or directory (ENOENT)");
});

describe("a closed standard output", () => {
  test.each([
    'exec "$A" -- echo hi',
    'exec --json "$A" -- true',
    'exec "$A,$A" -- echo hi',
    'exec -d "$A" -- true',
    'ps "$A"',
    'info "$A"',
    'info --json "$A"',
    'cat "$A:/etc/hosts"',
    'ls "$A:/"',
    'stat "$A:/"',
    'cp "$A:/etc/hosts" -',
    "--version",
    "--help",
  ])("is an error of %s", async (words) => {
    expect(await run(`vsockbox ${words} >&-`)).toMatchObject({
      status: 74,
      stderr: expect.stringContaining("write to standard output: bad file descriptor (EBADF)\n"),
    });
  });

  test("without output does not exist, and /dev/null is not closed", async () => {
    for (const line of [
      'vsockbox exec "$A" -- true >&-',
      'vsockbox exec "$A" -- echo hi > /dev/null',
      'vsockbox exec "$A" -- echo hi 1<> /dev/null',
      'vsockbox ps "$A" <&- > /dev/null',
      'vsockbox exec "$A" -- sh -c "echo hidden >&2" 2>&-',
    ]) {
      expect({ line, ...(await run(line)) }).toEqual({ line, status: 0, stdout: "", stderr: "" });
    }
  });
});

describe("a closed standard input", () => {
  test("is an empty one for a command", async () => {
    expect(await run('vsockbox exec "$A" -- sh -c "wc -c; echo end" <&-')).toEqual({
      status: 0,
      stdout: "0\nend\n",
      stderr: "",
    });
  });

  test("is an error of cp -", async () => {
    expect(await run('vsockbox cp - "$A:/tmp/never" <&-')).toMatchObject({
      status: 74,
      stderr: "vsockbox: cannot read standard input: bad file descriptor (EBADF)\n",
    });
  });
});

describeWith(["strace"], "a command that waits for nothing itself", () => {
  test.each(["< /dev/null > /dev/null", "< /dev/null | cat", "< /etc/hosts > /dev/null"])(
    "uses no asynchronous I/O, which would delay its exit: %s",
    async (streams) => {
      const line = `trace=$(mktemp); strace -f -e trace=io_setup,exit_group -o $trace vsockbox exec "$A" -- true ${streams}
        grep -c exit_group $trace; grep -c io_setup $trace; rm $trace`;
      expect(await run(line)).toMatchObject({ stdout: "1\n0\n" });
    },
  );
});

const HAS_URING = EACH_METHOD.some(({ name }) => name === "io_uring");

describeWith(["strace"], "a command that has waited for bytes", () => {
  const TRACED = "strace -f -e trace=io_setup,exit_group -o $D/trace vsockbox";
  const READY = "until [ -S $D/s ]; do sleep 0.01; done";

  test.each([
    [
      "connect",
      `vsockbox listen -q unix:$D/s --exec cat & ${READY}
      { sleep 0.2; echo bytes; } | ${TRACED} connect unix:$D/s; kill $!; wait`,
    ],
    [
      "listen",
      `{ sleep 0.2; echo bytes; } | ${TRACED} listen -q unix:$D/s & ${READY}
      vsockbox connect -n unix:$D/s; wait`,
    ],
    ["exec", `{ sleep 0.2; echo bytes; } | ${TRACED} exec "$A" -- cat`],
  ])("uses no asynchronous I/O, which would delay its exit: %s", async (_, line) => {
    using scratch = new ScratchDirectory();
    const result = await run(
      `D=${scratch.path}; ${line}
      for call in exit_group io_setup; do grep -c "$call(" $D/trace; done`,
    );
    expect(result).toMatchObject({ stdout: `bytes\n1\n${HAS_URING ? 0 : 1}\n` });
  });
});
