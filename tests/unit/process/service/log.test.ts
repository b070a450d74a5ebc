import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { MAX_LOG_LINE, openLog } from "../../../../src/process/service/log.ts";
import { eventually } from "../../../support/eventually.ts";
import { ScratchDirectory } from "../../../support/scratch-directory.ts";

const FIXTURE = join(import.meta.dir, "../../../fixtures/log-lines.ts");

function linesAt(threshold: string): string[] {
  const child = Bun.spawnSync([process.execPath, FIXTURE, threshold]);
  expect([child.exitCode, child.stdout.toString()]).toEqual([0, ""]);
  return child.stderr.toString().split("\n");
}

describe("a log on standard error", () => {
  test("has a line for each entry, with the program, the level of warnings and the tag", () => {
    const lines = linesAt("info");
    expect(lines.slice(0, 6)).toEqual([
      "vsockbox: agent: info",
      "vsockbox: agent: info",
      "vsockbox: warning: agent: warn",
      "vsockbox: warning: agent: with a hint",
      "  hint: do this",
      "vsockbox: forged\\nvsockbox: \\x1b[31mline\\u{202e}",
    ]);
  });

  test("cuts a line to what a pipe accepts without blocking", () => {
    const [long = "", rest] = linesAt("info").slice(-2);
    expect(rest).toBe("");
    expect(long).toStartWith("vsockbox: warning: xxx");
    expect(long.length).toBeLessThanOrEqual(MAX_LOG_LINE);
    expect(long).toContain("characters more");
  });

  test("has the lines of its threshold and above", () => {
    expect(linesAt("debug")).toHaveLength(linesAt("info").length + 1);
    expect(linesAt("debug")[0]).toBe("vsockbox: agent: debug");
    expect(linesAt("warn")[0]).toBe("vsockbox: warning: agent: warn");
    expect([linesAt("error"), linesAt("silent")]).toEqual([[""], [""]]);
  });

  test("never blocks: lines that a full pipe has no space for are counted, and reported once", async () => {
    using scratch = new ScratchDirectory();
    const [go, done, log] = [scratch.file("go"), scratch.file("done"), scratch.file("log")];
    Bun.spawnSync(["mkfifo", go]);
    const script = `"$0" "$1" flood 20000 "${done}" 2>&1 | { read -r _ < "${go}"; cat > "${log}"; }`;
    const child = Bun.spawn(["sh", "-c", script, process.execPath, FIXTURE]);
    await eventually("all lines are logged while nothing reads", () => existsSync(done));
    writeFileSync(go, "go\n");
    expect(await child.exited).toBe(0);
    const lines = readFileSync(log, "utf8").trimEnd().split("\n");
    const [report = "", after] = lines.splice(-2);
    expect(lines).toEqual(lines.map((_, index) => `vsockbox: x: line ${index}`));
    expect(report).toBe(
      `vsockbox: warning: ${20_000 - lines.length} log lines were dropped: nothing read standard error`,
    );
    expect(after).toBe("vsockbox: x: after");
    expect(lines.length).toBeGreaterThan(100);
  });
});

describe("a log in a file", () => {
  test("has time, level and message, on one line each", () => {
    using scratch = new ScratchDirectory();
    const path = scratch.file("log");
    const log = openLog({ tag: "agent", path });
    log.info("listening");
    log.debug("not shown");
    log.warn("a\nb", "do this");
    const lines = readFileSync(path, "utf8").trimEnd().split("\n");
    expect(lines).toEqual([
      expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z info: listening$/),
      expect.stringMatching(/Z warn: a\\nb \(do this\)$/),
    ]);
  });

  test("is there from the start, or refused", () => {
    using scratch = new ScratchDirectory();
    openLog({ path: scratch.file("log") });
    expect(existsSync(scratch.file("log"))).toBe(true);
    expect(() => openLog({ path: scratch.file("missing/log") })).toThrow("missing/log");
  });
});

test("a log may be shown by a function, such as a prompt's", () => {
  const shown: string[] = [];
  const log = openLog({ show: (line) => shown.push(line), threshold: "warn" });
  log.info("not shown");
  log.warn("warn", "hint");
  expect(shown).toEqual(["vsockbox: warning: warn", "  hint: hint"]);
});
