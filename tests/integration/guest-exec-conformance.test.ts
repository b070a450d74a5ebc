/** The guest-exec suite against ours, against a guest in C, and against some that do not conform. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { BINARY, ScratchDirectory } from "../support/binary.ts";
import { buildCGuest } from "../support/guest-exec.ts";
import { describeWith } from "../support/tools.ts";

const SUITE = join(import.meta.dir, "../conformance/guest-exec.ts");
const GUEST = `exec ${BINARY} guest-exec "$ADDRESS" "$MODE" $OPTIONS`;
const HOST = `exec ${BINARY} guest-exec-host "$ADDRESS" --once -q \${MODE:+--persistent} $OPTIONS --file "$COMMANDS"`;

interface Line {
  result: "ok" | "FAIL";
  level: "required" | "strict";
  name: string;
  detail?: string;
}

let scratch: ScratchDirectory;
beforeAll(() => {
  scratch = new ScratchDirectory();
});
afterAll(() => scratch[Symbol.dispose]());

/** For cases that pass: however busy this machine is. */
const PATIENCE = ["--deadline", "120"];

async function suite(...options: string[]) {
  const child = Bun.spawn(
    [
      process.execPath,
      "run",
      SUITE,
      "--json",
      "--address",
      `unix:${scratch.file("x.sock")}`,
      ...options,
    ],
    { stdin: "ignore", stdout: "pipe", stderr: "inherit" },
  );
  const lines = (await new Response(child.stdout).text())
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Line);
  return {
    status: await child.exited,
    passed: lines.filter(({ result }) => result === "ok"),
    failed: lines.filter(({ result }) => result === "FAIL"),
  };
}

describe("ours conform", () => {
  test("the guest", async () => {
    const { status, passed, failed } = await suite("--role", "guest", "--run", GUEST, ...PATIENCE);
    expect([status, failed]).toEqual([0, []]);
    expect(passed.length).toBeGreaterThan(15);
  });

  test("the host", async () => {
    const { status, passed, failed } = await suite("--role", "host", "--run", HOST, ...PATIENCE);
    expect([status, failed]).toEqual([0, []]);
    expect(passed.length).toBeGreaterThan(7);
  });
});

describeWith(["gcc"], "a guest in C", () => {
  test("passes the required cases, and fails those it cannot do", async () => {
    const program = await buildCGuest(scratch.file("guest"));
    const run = ["--role", "guest", "--run", `exec ${program} "$ADDRESS" $MODE`];
    const { status, failed } = await suite(...run, "--required-only", "--deadline", "10");
    expect(failed.filter(({ level }) => level === "required")).toEqual([]);
    expect(status).toBe(0);
    expect(failed.map(({ name }) => name)).toContain(
      "disposable: a command in two segments is one",
    );
  });
});

describe("every case can fail", () => {
  test.each([
    ["guest", "that takes no connection", "exit 0"],
    ["guest", "that connects and does nothing", `exec ${BINARY} connect -n "$ADDRESS" > /dev/null`],
    ["host", "that is not there", "exit 1"],
    ["host", "that sends nothing", `exec ${BINARY} listen "$ADDRESS" -qn > /dev/null`],
  ])("at a %s %s", async (role, _, run) => {
    const { status, passed } = await suite("--role", role, "--run", run, "--deadline", "0.7");
    // A host that refuses to start with a command that is too long does right.
    expect(
      passed.map(({ name }) => name).filter((name) => !name.startsWith("a command that no")),
    ).toEqual([]);
    expect(status).toBe(1);
  });
});

test.each([
  [["--role", "neither", "--run", "x"], 64],
  [["--role", "guest"], 64],
  [["--role", "guest", "--run", "x", "--only", "no such case"], 64],
])("%j has status %d, unlike a failed case", async (options, status) => {
  const child = Bun.spawn([process.execPath, "run", SUITE, ...options], { stderr: "ignore" });
  expect(await child.exited).toBe(status);
});
