/** What the decoders of JSON take of the memory: each in a process of its own. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { DECODERS } from "../fixtures/decode-json.ts";
import { ScratchDirectory } from "../support/scratch-directory.ts";

const INPUT_BYTES = 24 * 1024 * 1024;

/** A decoder's peak is at most this many times its input. */
const FACTOR = 4;

/** What may be on top: src/json/bounded-json.ts allows 8 MiB, and the runtime compiles and collects. */
const SLACK_BYTES = 32 * 1024 * 1024;

const FIXTURE = `${import.meta.dir}/../fixtures/decode-json.ts`;

const scratch = new ScratchDirectory();
afterAll(() => scratch[Symbol.dispose]());

function put(name: string, before: string, unit: string, after: string): void {
  const bytes = Buffer.alloc(INPUT_BYTES, unit);
  bytes.write(before, 0);
  bytes.write(after, INPUT_BYTES - Buffer.byteLength(after));
  writeFileSync(scratch.file(name), bytes);
}

const numbered = (unit: (number: string) => string) => {
  const digits = 7;
  const bytes = unit("0".repeat(digits)).length;
  const count = Math.floor(INPUT_BYTES / bytes);
  return Array.from({ length: count }, (_, index) => unit(String(index).padStart(digits, "0")))
    .join("")
    .replace(/,$/, "");
};

const BOMBS = ["nested", "half", "objects", "arrays", "numbers", "strings", "shapes", "names"];

beforeAll(() => {
  put("nested", "[", "[", "[");
  put("half", '{"a":', '{"a":', "1");
  put("objects", '{"a":[  ', "{},", "{}]}");
  put("arrays", '{"a":[  ', "[],", "[]]}");
  put("numbers", '{"a":[1,', "1,", "1]}");
  put("strings", '{"a":[  ', '"a",', "1,1]}");
  writeFileSync(scratch.file("shapes"), `{"a":[${numbered((n) => `{"k${n}":1},`)}]}`);
  writeFileSync(scratch.file("names"), `{${numbered((n) => `"k${n}":1,`)}}`);
});

interface Outcome {
  outcome: string;
  grownBytes: number;
}

async function decoding(decoder: string, names: readonly string[]): Promise<Outcome[]> {
  const child = Bun.spawn(["bun", FIXTURE, decoder, ...names.map((name) => scratch.file(name))], {
    stdout: "pipe",
    stderr: "inherit",
  });
  const lines = (await new Response(child.stdout).text()).trim().split("\n");
  expect(await child.exited).toBe(0);
  return lines.map((line) => JSON.parse(line) as Outcome);
}

test.each(Object.keys(DECODERS))("%s refuses JSON bombs before they are parsed", async (name) => {
  const outcomes = await decoding(name, BOMBS);
  expect(outcomes).toHaveLength(BOMBS.length);
  for (const { outcome, grownBytes } of outcomes) {
    expect(outcome).toMatch(/init.json|nested more than|too many values|has more than \d+ bytes/);
    // A manifest is a text, which the fixture makes of the bytes.
    expect(grownBytes).toBeLessThan(INPUT_BYTES + SLACK_BYTES);
  }
});

describe("accepted input", () => {
  const TAKEN: readonly [decoder: string, name: string, before: string, after: string][] = [
    ["ExecRequest", "stdin", '{"command":"é","stdin":"', '"}'],
    ["ExecRequest", "wide stdin", '{"command":"ł","stdin":"', '"}'],
    ["ExecResult", "wide stdout", '{"error":"ł","stdout":"', '"}'],
    ["WriteFileRequest", "content", '{"path":"/a","content":"', '"}'],
    ["WriteFileRequest", "wide content", '{"path":"/ł","content":"', '"}'],
    ["FileResult", "wide file", '{"error":"ł","content":"', '"}'],
    ["report", "wide report", '{"x":"ł","exit_code":0,"stdout":"', '"}'],
  ];

  test.each(TAKEN)("%s with %s", async (decoder, name, before, after) => {
    put(name, before, "A", after);
    // A whole number of base64's groups.
    const excess = (INPUT_BYTES - Buffer.byteLength(before + after)) % 4;
    put(name, `${before}`, "A", `${after}${" ".repeat(excess)}`);
    const [outcome] = await decoding(decoder, [name]);
    expect(outcome?.outcome).toBe("taken");
    expect(outcome?.grownBytes).toBeLessThan(FACTOR * INPUT_BYTES + SLACK_BYTES);
  });

  test.each([
    ["ASCII", "", 12],
    ["wide characters", '"error":"ł",', 40],
  ])("FileResult with long names in %s", async (name, before, times) => {
    const entry = (n: string) => `{"name":"${n.repeat(times)}","size":1,"mode":1,"is_dir":false},`;
    writeFileSync(scratch.file(name), `{${before}"files":[${numbered(entry)}]}`);
    const [outcome] = await decoding("FileResult", [name]);
    expect(outcome?.outcome).toBe("taken");
    expect(outcome?.grownBytes).toBeLessThan(FACTOR * INPUT_BYTES + SLACK_BYTES);
  });
});
