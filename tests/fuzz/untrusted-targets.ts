/** What stands between a peer's words and this side: JSON, names, patterns and text that is shown. */
/* oxlint-disable no-control-regex */
import { CheckedEntries, CheckedMatches } from "../../src/agent/client/checked-answers.ts";
import { VsockboxError } from "../../src/errors.ts";
import { pathMatcher } from "../../src/files/glob.ts";
import { MAX_JSON_DEPTH, parseJson } from "../../src/json/bounded-json.ts";
import { printable, printableBytes, printableJson } from "../../src/text/printable.ts";
import { parseEnvFile } from "../../src/process/env-file.ts";
import { DECODERS } from "../fixtures/decode-json.ts";
import * as corpus from "./corpus.ts";
import { BENCH_TARGETS } from "./bench-targets.ts";
import { METRICS_TARGETS } from "./metrics-targets.ts";
import { FUSE_TARGETS } from "./fuse-targets.ts";
import { NETLINK_TARGETS } from "./netlink-targets.ts";
import { VFS_TARGETS } from "./vfs-targets.ts";
import { WATCH_TARGETS } from "./watch-targets.ts";
import { referenceGlob } from "./reference.ts";
import { type Target, Violation } from "./targets.ts";

function demand(holds: boolean, promise: string): asserts holds {
  if (!holds) throw new Violation(promise);
}

const latin1 = (input: Uint8Array) => Buffer.from(input).toString("latin1");
const ofLatin1 = (text: string) => new Uint8Array(Buffer.from(text, "latin1"));

const JSON_SAMPLES = [
  ...corpus.REQUESTS,
  ...corpus.RECORDS,
  ...corpus.COMMANDS,
  ...corpus.FILE_RESULTS,
  ...corpus.ERRORS,
  { exit_code: 0, signal: "SIGTERM", stdout: "AAEC", stderr: "", duration_ms: 3, dropped_bytes: 1 },
  { exit_code: 9, signal: null },
  { version: 1, kernel: "6.1.0", modules: ["vsock"], command: ["agent"], on_exit: "poweroff" },
  { format: 1, version: "0.1.0", service: "none", entries: [{ kind: "directory", path: "/opt" }] },
].map(corpus.json);

/** Levels of a parsed value, without recursion. */
function depthOf(value: unknown): number {
  let depth = 0;
  let level: unknown[] = [value];
  for (;;) {
    level = level.filter((item) => typeof item === "object" && item !== null);
    if (level.length === 0) return depth;
    depth++;
    level = level.flatMap((item) => Object.values(item as object));
  }
}

/** Levels of brackets in a valid text; a name that comes twice hides a value, not its brackets. */
function writtenDepth(text: string): number {
  let depth = 0;
  let deepest = 0;
  for (const character of text.replaceAll(/"(?:[^"\\]|\\.)*"/gs, "")) {
    if (character === "[" || character === "{") deepest = Math.max(deepest, ++depth);
    if (character === "]" || character === "}") depth--;
  }
  return deepest;
}

/** A small text costs less than the floor, so it is refused for its depth or its syntax alone. */
const NESTED_JSON: Target = {
  name: "nested-json",
  corpus: [...JSON_SAMPLES, corpus.text(`${"[".repeat(32)}${"]".repeat(32)}`)],
  codes: ["BAD_DATA"],
  run(input) {
    let expected: { value: unknown } | undefined;
    // The runtime's own parser needs 80 times the input for what is nested.
    if (input.length < 4096) {
      try {
        expected = { value: JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(input)) };
      } catch {
        expected = undefined;
      }
    }
    try {
      const value = parseJson("fuzz", input);
      demand(depthOf(value) <= MAX_JSON_DEPTH, "nothing deep is parsed");
      if (expected !== undefined) demand(Bun.deepEquals(value, expected.value), "values are right");
    } catch (thrown) {
      if (thrown instanceof VsockboxError && expected !== undefined) {
        const text = new TextDecoder().decode(input);
        demand(writtenDepth(text) > MAX_JSON_DEPTH, "what is not deep is parsed");
        demand(thrown.message.includes("nested"), "the reason is the depth");
      }
      throw thrown;
    }
  },
};

/** Every decoder of JSON refuses what it does not take as bad data, and nothing else happens. */
const DECODER_TARGETS = Object.entries(DECODERS).map(([name, decode]): Target => {
  return {
    name: `decoder-${name.replaceAll(" ", "-").toLowerCase()}`,
    corpus: JSON_SAMPLES,
    codes: ["BAD_DATA", "CONFIG"],
    run: (input) => void decode(input),
  };
});

/** Input: a pattern, NUL, a path. */
const PATH_MATCHER: Target = {
  name: "path-matcher",
  corpus: [
    "/var/log/*.log\0/var/log/a.log",
    "*\0a",
    "./[ab]*/?\0./b1/x",
    "a\\*/b*\0a*/b",
    ".*\0..",
    "/*/x\0/../x",
  ].map(ofLatin1),
  codes: [],
  run(input) {
    const [pattern = "", path = ""] = latin1(input.subarray(0, 8192)).split("\0");
    const isMatch = pathMatcher(ofLatin1(pattern))(ofLatin1(path));
    const wanted = pattern.split("/").filter((part) => part !== "");
    const isAbsolute = pattern.startsWith("/");
    const names = (isAbsolute ? path.slice(1) : path).split("/");
    const hasRoot = !isAbsolute || path.startsWith("/");
    const agree =
      hasRoot &&
      names.length === wanted.length &&
      wanted.every((part, index) => matchesPart(part, names[index] ?? ""));
    demand(isMatch === agree, "a path matches what the pattern stands for, and nothing else");
  },
};

function matchesPart(part: string, name: string): boolean {
  if (!/[*?[]/.test(part)) return part.replaceAll(/\\(.)/gs, "$1") === name;
  if (name === "" || name === "." || name === ".." || name.length > 255) return false;
  return (!name.startsWith(".") || part.startsWith(".")) && referenceGlob(part, name);
}

const asRecord = (input: Uint8Array, key: string) => ({
  [key]: { base64: Buffer.from(input).toString("base64") },
});

const NAMES: Target = {
  name: "answered-names",
  corpus: ["a", "a b.log", "..", "/etc/passwd", "x/y", "\xff", "n".repeat(255)].map(ofLatin1),
  codes: ["BAD_DATA"],
  run(input) {
    const name = latin1(new CheckedEntries(ofLatin1("/srv")).read(asRecord(input, "name")));
    const isName = !name.includes("/") && name !== "." && name !== ".." && name.length <= 255;
    demand(isName || name === "/srv", "an entry is one name, or what was asked for");
    demand(name !== "" && !name.includes("\0"), "a name is one that the kernel takes");
    new CheckedMatches(ofLatin1("*")).read(asRecord(input, "path"));
    demand(isName && !name.startsWith("."), "a match is one name without a dot");
  },
};

const UNSAFE =
  /[\u0000-\u001F\u007F-\u009F\u00AD\u061C\u200B-\u200F\u2028-\u202E\u2060-\u206F\uFEFF]/;

const PRINTABLE: Target = {
  name: "printable",
  corpus: ["plain", "a\nvsockbox: b", "\u202Ex\u{E0041}\u200B", "\x1b]0;x\x07\x9b", "🙂ł"].map(
    corpus.text,
  ),
  codes: [],
  run(input) {
    const text = new TextDecoder().decode(input);
    for (const shown of [printable(text), printableBytes(input), printableJson(text)]) {
      demand(!UNSAFE.test(shown), "nothing unsafe is left");
      demand(printable(shown, { maxCharacters: Infinity }) === shown, "once is enough");
    }
    demand(JSON.parse(printableJson(text)) === text, "JSON is the same text");
    demand(printable(text).length < 40_000, "it is bounded");
  },
};

const ENV_FILE: Target = {
  name: "env-file",
  corpus: [
    "A=1\nB=\n# no\n\n  C = x y\r\nHOME\nD=a=b\n",
    "A.b-c=1\nNAME WITH BLANK=x\n\tE=\\n'\"\n",
    "A=\xff\xfe\nÄ=ö\n",
  ].map(ofLatin1),
  codes: ["USAGE"],
  run(input) {
    const own = { HOME: "/root", EMPTY: "" };
    const settings = parseEnvFile(latin1(input), own);
    const lines = latin1(input).split("\n");
    demand(settings.length <= lines.length, "a line has one setting");
    for (const [name, value] of settings) {
      demand(name !== "" && !name.includes("=") && !name.includes("\n"), "a name is one");
      demand(!value.includes("\n"), "a value is on its line");
      const isThere = lines.some((line) =>
        line.replace(/^[ \t]+/, "").startsWith(`${name}=${value}`),
      );
      demand(isThere || own[name as keyof typeof own] === value, "a value is as it was written");
    }
  },
};

/** Everything that is fuzzed here. */
export const UNTRUSTED_TARGETS: readonly Target[] = [
  NESTED_JSON,
  ...DECODER_TARGETS,
  PATH_MATCHER,
  NAMES,
  PRINTABLE,
  ENV_FILE,
  ...BENCH_TARGETS,
  ...NETLINK_TARGETS,
  ...VFS_TARGETS,
  ...WATCH_TARGETS,
  ...FUSE_TARGETS,
  ...METRICS_TARGETS,
];
