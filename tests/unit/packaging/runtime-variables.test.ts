import { describe, expect, test } from "bun:test";
import {
  overwriteRuntimeVariables,
  REQUIRED_NAMES,
} from "../../../packaging/build/runtime-variables.ts";

const all = `${REQUIRED_NAMES.join("\0")}\0`;
const overwrite = (text: string) => {
  const bytes = Buffer.from(text, "latin1");
  const names = overwriteRuntimeVariables(bytes);
  return { names, text: bytes.toString("latin1") };
};

describe("overwriteRuntimeVariables", () => {
  test("overwrites the first letter of each name, also of neighbours", () => {
    const { names, text } = overwrite(`x\0${all}BUN_A1\0y`);
    expect(names).toEqual([...REQUIRED_NAMES, "BUN_A1"]);
    expect(text).toBe(`x\0${all}BUN_A1\0y`.replaceAll("\0BUN_", "\0\0UN_"));
  });

  test("keeps text that is not a whole name", () => {
    const rest = "BUN_\0aBUN_X\0BUN_lower\0BUN_Y=\0BUN_Z";
    const { text } = overwrite(`\0${all}${rest}`);
    expect(text.slice(-rest.length)).toBe(rest);
  });

  test("acts on a part of a larger buffer alone", () => {
    const whole = Buffer.from(`\0BUN_A\0${all}\0`, "latin1");
    overwriteRuntimeVariables(whole.subarray(6));
    expect(whole.subarray(0, 7).toString("latin1")).toBe("\0BUN_A\0");
  });

  test.each([...REQUIRED_NAMES])("misses %s", (name) => {
    expect(() => overwrite(`\0${all.replace(`${name}\0`, "")}`)).toThrow(name);
  });
});
