import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { LogFile } from "../../../../src/process/service/log-file.ts";
import { writePidFile } from "../../../../src/process/service/pid-file.ts";

let scratch = "";
beforeEach(() => {
  scratch = mkdtempSync(join(tmpdir(), "vsockbox-log-"));
});
afterEach(() => rmSync(scratch, { recursive: true }));

const TIME = new Date("2024-05-06T07:08:09.010Z");

describe("a log file", () => {
  test("has the time before each line", () => {
    const log = new LogFile(join(scratch, "log"));
    expect(log.write("one", TIME)).toBe(true);
    expect(log.write("two\nthree\n", TIME)).toBe(true);
    expect(readFileSync(log.path, "utf8")).toBe(
      ["one", "two", "three"].map((line) => `2024-05-06T07:08:09.010Z ${line}\n`).join(""),
    );
  });

  test("is appended to, and is not readable by other users", () => {
    const path = join(scratch, "log");
    new LogFile(path).write("x");
    expect(statSync(path).mode & 0o777 & ~0o640).toBe(0);
    new LogFile(path).write("y");
    expect(readFileSync(path, "utf8").split("\n")).toHaveLength(3);
  });

  test("is made anew once it was renamed", () => {
    const log = new LogFile(join(scratch, "log"));
    log.write("old");
    renameSync(log.path, join(scratch, "log.1"));
    log.write("new");
    expect(readFileSync(log.path, "utf8")).toEndWith(" new\n");
    expect(readFileSync(join(scratch, "log.1"), "utf8")).toEndWith(" old\n");
  });

  test("never throws", () => {
    expect(new LogFile(join(scratch, "missing/log")).write("x")).toBe(false);
    expect(new LogFile(scratch).write("x")).toBe(false);
    expect(new LogFile("/dev/full").write("x")).toBe(false);
    expect(new LogFile("a\0b").write("x")).toBe(false);
  });
});

describe("a pid file", () => {
  test("stands until it is disposed", async () => {
    const path = join(scratch, "agent.pid");
    {
      using _file = writePidFile(path);
      expect(readFileSync(path, "utf8")).toBe(`${process.pid}\n`);
      expect(statSync(path).mode & 0o777).toBe(0o644);
    }
    expect(() => statSync(path)).toThrow("ENOENT");
  });

  test("makes no directory", () => {
    const path = join(scratch, "run/agent.pid");
    expect(() => writePidFile(path)).toThrow(
      expect.objectContaining({ code: "CANNOT_CREATE", errno: "ENOENT" }),
    );
    expect(readdirSync(scratch)).toEqual([]);
  });

  test("of a successor is left alone", async () => {
    const path = join(scratch, "agent.pid");
    {
      using _file = writePidFile(path);
      writeFileSync(path, "1\n");
    }
    expect(readFileSync(path, "utf8")).toBe("1\n");
  });

  test("that cannot be written is an error", () => {
    writeFileSync(join(scratch, "file"), "");
    expect(() => writePidFile(join(scratch, "file/agent.pid"))).toThrow("write pid file");
    expect(readdirSync(scratch)).toEqual(["file"]);
  });
});
