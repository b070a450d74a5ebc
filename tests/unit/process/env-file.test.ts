import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { collectSettings, parseEnvFile, parseSetting } from "../../../src/process/env-file.ts";

describe("environment settings", () => {
  test("NAME=VALUE keeps everything after the first equals sign", () => {
    expect(parseSetting("A=b=c d", {})).toEqual(["A", "b=c d"]);
    expect(parseSetting("A=", {})).toEqual(["A", ""]);
  });

  test("NAME alone passes on the own value, or nothing", () => {
    expect(parseSetting("A", { A: "own" })).toEqual(["A", "own"]);
    expect(parseSetting("A", {})).toBeUndefined();
  });

  test("a name is required", () => {
    expect(() => parseSetting("=x", {})).toThrow("name is missing");
  });

  test("a file has a setting a line, with comments and empty lines", () => {
    const text = "# comment\n\nA=1\r\n  B=two words \nC='q'\n";
    expect(parseEnvFile(text, {})).toEqual([
      ["A", "1"],
      ["B", "two words "],
      ["C", "'q'"],
    ]);
  });

  test("words win over files, later ones over earlier ones", () => {
    const scratch = mkdtempSync(join(tmpdir(), "vsockbox-env-"));
    const file = join(scratch, "env");
    writeFileSync(file, "A=file\nB=file\n");
    const words = ["A=word", "A=last"].map((word) => Buffer.from(word));
    expect(collectSettings([file], words, []).map(String)).toEqual(["A=last", "B=file"]);
    rmSync(scratch, { recursive: true });
    expect(() => collectSettings([file], [], [])).toThrow("no such file");
  });

  test("names and values are bytes", () => {
    const scratch = mkdtempSync(join(tmpdir(), "vsockbox-env-"));
    const file = join(scratch, "env");
    writeFileSync(file, Buffer.from("\xa0\xff=\xfe\xa0\nOWN\n", "latin1"));
    const word = Buffer.from("W\xff=\x80", "latin1");
    const own = Buffer.from("OWN=\xfd=", "latin1");
    const settings = collectSettings([file], [word], [own]);
    rmSync(scratch, { recursive: true });
    expect(settings.map((setting) => Buffer.from(setting).toString("latin1"))).toEqual([
      "\xa0\xff=\xfe\xa0",
      "OWN=\xfd=",
      "W\xff=\x80",
    ]);
  });
});
