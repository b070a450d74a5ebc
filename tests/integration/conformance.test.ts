/** The conformance suite against the compiled agent, and against agents that do not conform. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { ScratchDirectory, TestAgent } from "../support/binary.ts";

const SUITE = join(import.meta.dir, "../conformance");

interface Line {
  result?: "ok" | "FAIL" | "skip";
  level?: "required" | "strict";
  row?: string;
  name?: string;
  detail?: string;
}

/** For cases that pass: however busy this machine is. */
const PATIENCE = ["--deadline", "120"];

/** Runs the suite; gives its lines, without the summary, and its exit status. */
async function conformance(...options: string[]) {
  const child = Bun.spawn([process.execPath, "run", SUITE, "--json", ...options], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "inherit",
  });
  const output = await new Response(child.stdout).text();
  const lines = output
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Line);
  const having = (result: Line["result"]) => lines.filter((line) => line.result === result);
  return {
    status: await child.exited,
    passed: having("ok"),
    failed: having("FAIL"),
    skipped: having("skip"),
  };
}

describe("the agent conforms", () => {
  test("passes every case and leaves no process", async () => {
    using scratch = new ScratchDirectory();
    const ready = `unix:${scratch.file("ready.sock")}`;
    await using agent = await TestAgent.start(["--ready-listen", ready]);
    const { status, passed, failed } = await conformance(
      ...["--target", agent.address, "--ready", ready],
      ...PATIENCE,
    );
    expect(failed).toEqual([]);
    expect(passed.length).toBeGreaterThan(60);
    expect(passed.filter(({ level }) => level === "required").length).toBeGreaterThan(60);
    expect(status).toBe(0);
  });

  test("a case that does not apply is skipped with the reason", async () => {
    await using agent = await TestAgent.start();
    const { status, skipped } = await conformance(
      "--target",
      agent.address,
      "--only",
      "Ready port",
    );
    expect(skipped.map(({ detail }) => detail)).toEqual([
      "--ready is not given",
      "--ready is not given",
    ]);
    expect(status).toBe(0);
  });
});

/** An agent that does the same whatever is asked. */
function brokenAgent(path: string, answer: "exit 0" | "empty result" | "close" | "nothing") {
  const answers = {
    "exit 0": Uint8Array.of(10, 0, 0, 0, 4, 0, 0, 0, 0),
    "empty result": Buffer.concat([Uint8Array.of(2, 0, 0, 0, 15), Buffer.from('{"exit_code":0}')]),
    close: new Uint8Array(0),
    nothing: undefined,
  };
  const bytes = answers[answer];
  return Bun.listen({
    unix: path,
    socket: {
      data(socket) {
        if (bytes === undefined) return;
        socket.write(bytes);
        socket.end();
      },
      error: () => undefined,
    },
  });
}

describe("every case can fail", () => {
  let scratch: ScratchDirectory;
  beforeAll(() => {
    scratch = new ScratchDirectory();
  });
  afterAll(() => scratch[Symbol.dispose]());

  test.each([
    ["exit 0", "3"],
    ["empty result", "3"],
    ["close", "3"],
    ["nothing", "0.2"],
  ] as const)("at an agent whose answer is always: %s", async (answer, deadline) => {
    const path = scratch.file(`${answer.replace(" ", "-")}.sock`);
    const agent = brokenAgent(path, answer);
    try {
      const { status, passed, failed, skipped } = await conformance(
        ...["--target", `unix:${path}`, "--ready", `unix:${path}`],
        ...["--deadline", deadline, "--jobs", "16"],
      );
      expect(passed).toEqual([]);
      expect(skipped).toEqual([]);
      expect(failed.length).toBeGreaterThan(60);
      expect(status).toBe(1);
    } finally {
      agent.stop(true);
    }
  });
});

test("--required-only: a strict case that fails does not decide", async () => {
  using scratch = new ScratchDirectory();
  const path = scratch.file("close.sock");
  const agent = brokenAgent(path, "close");
  try {
    const only = ["--target", `unix:${path}`, "--only", "a Stderr frame says so"];
    expect(await conformance(...only)).toMatchObject({ status: 1, failed: [{ level: "strict" }] });
    expect(await conformance(...only, "--required-only")).toMatchObject({
      status: 0,
      failed: [{ level: "strict" }],
    });
  } finally {
    agent.stop(true);
  }
});

test("--list names more than 60 cases, each once, and needs no agent", async () => {
  const child = Bun.spawn([process.execPath, "run", SUITE, "--list"]);
  const lines = (await new Response(child.stdout).text()).trim().split("\n");
  expect(new Set(lines).size).toBe(lines.length);
  expect(lines.length).toBeGreaterThan(60);
  expect(await child.exited).toBe(0);
});

test.each([
  [["--target", "unix:/no/such/socket"], 69],
  [[], 64],
  [["--no-such-option"], 64],
  [["--target", "unix:/x", "--only", "no such case"], 64],
])("%j has status %d, unlike a failed case", async (options, status) => {
  const child = Bun.spawn([process.execPath, "run", SUITE, ...options], { stderr: "ignore" });
  expect(await child.exited).toBe(status);
});
