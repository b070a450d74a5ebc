/** A short run of the fuzzer, and proof that it finds what is broken. */
import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { badField } from "../../src/protocols/agent/json-fields.ts";
import { burnProcessor } from "./bounds.ts";
import { json } from "./corpus.ts";
import { fuzz, inputOf, replayInput, replayOf, runInput } from "./fuzzer.ts";
import { type Target, TARGETS, Violation } from "./targets.ts";

const INPUTS = 20_000;
const PROGRAM = join(import.meta.dir, "agent.ts");

async function program(...options: string[]) {
  const child = Bun.spawn([process.execPath, "run", PROGRAM, ...options], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [stdout, stderr] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  return { status: await child.exited, stdout, stderr };
}

describe("every reader keeps its promises", () => {
  test.each(TARGETS.map((target) => [target.name, target] as const))("%s", (_, target) => {
    const report = fuzz(target, { inputs: INPUTS, seed: 7 });
    expect(report.failure).toBeUndefined();
    expect(report.inputs).toBe(INPUTS);
    // Neither all valid nor all refused: else the inputs are of no use.
    expect(report.accepted).toBeGreaterThan(INPUTS / 100);
  });

  test("the corpus itself is accepted, but for payloads of another message", () => {
    const mixed = new Set(["exec", "exec-tty", "port-forward", "write-file", "read-file"]);
    for (const target of TARGETS) {
      const outcomes = target.corpus.map((input) => runInput(target, input));
      expect(outcomes).toContain("accepted");
      if (mixed.has(target.name)) continue;
      expect(outcomes.filter((outcome) => outcome !== "accepted")).toEqual([]);
    }
  });
});

/** Takes a `length` that is beyond what there is, and reads it. */
const BROKEN: Target = {
  name: "broken",
  corpus: [json({ list: ["a", "b"], length: 2 })],
  codes: ["BAD_DATA"],
  run(input) {
    let value: { list?: unknown; length?: unknown };
    try {
      value = JSON.parse(Buffer.from(input).toString());
    } catch {
      throw badField("broken", "no JSON");
    }
    const { list, length } = value;
    if (!Array.isArray(list)) throw badField("broken", "no list");
    if (typeof length !== "number") throw badField("broken", "no length");
    if (length > list.length) throw new Violation("it stays within its list");
  },
};

describe("a broken reader is found", () => {
  test("with the input that shows it", () => {
    const { failure } = fuzz(BROKEN, { inputs: INPUTS, seed: 1 });
    if (failure === undefined) throw new Error("it was not found");
    expect(failure.reason).toBe("Violation: it stays within its list");
    expect(failure.replay).toBe(`--replay broken:${failure.input}`);
    const input = Buffer.from(failure.input, "base64");
    expect(inputOf(BROKEN, failure.seed, failure.index)).toEqual(new Uint8Array(input));
    expect(runInput(BROKEN, input)).toBeInstanceOf(Violation);
  });

  test("a long input is named by its seed", () => {
    const which = { seed: 5, index: 123 };
    const option = replayOf(BROKEN, new Uint8Array(5000), which);
    expect(option).toBe("--replay broken:5:123");
    expect(replayInput(BROKEN, "5:123")).toEqual(inputOf(BROKEN, 5, 123));
  });

  test("also if it throws something else, or the wrong code", () => {
    const throwing = (thrown: unknown, codes: Target["codes"] = []): Target => ({
      ...BROKEN,
      codes,
      run() {
        throw thrown;
      },
    });
    const reasonOf = (target: Target) => fuzz(target, { inputs: 1, seed: 1 }).failure?.reason;
    expect(reasonOf(throwing(new TypeError("undefined is no object")))).toContain("TypeError");
    expect(reasonOf(throwing(badField("x", "y"), ["USAGE"]))).toContain("VsockboxError");
    expect(reasonOf(throwing(badField("x", "y"), ["BAD_DATA"]))).toBeUndefined();
  });

  test("also if it is slow", () => {
    const slow: Target = { ...BROKEN, run: burnProcessor };
    expect(fuzz(slow, { inputs: 1, seed: 1 }).failure?.reason).toMatch(/one input took \d+ ms/);
  });
});

describe("the program", () => {
  test("runs the requested targets and reports them as JSON", async () => {
    const options = ["--inputs", "500", "--seed", "3", "--only", "exit", "--only", "glob"];
    const { status, stdout } = await program(...options, "--json");
    const lines = stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as unknown);
    expect(lines).toMatchObject([
      { target: "exit", inputs: 500 },
      { target: "glob", inputs: 500 },
    ]);
    expect(status).toBe(0);
  });

  test("runs one input alone", async () => {
    const input = Buffer.of(0, 0, 1, 0).toString("base64");
    expect((await program("--replay", `exit:${input}`)).stdout).toBe("ok    exit: accepted\n");
    expect((await program("--replay", "exit:AA==")).stdout).toBe("ok    exit: refused\n");
  });

  test("names the option that is wrong", async () => {
    expect(await program("--only", "nothing")).toMatchObject({ status: 64, stdout: "" });
    expect(await program("--inputs", "many")).toMatchObject({ status: 64, stdout: "" });
  });
});
