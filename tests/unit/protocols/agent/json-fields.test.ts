/** Fields of peers as text for people. */
import { expect, test } from "bun:test";
import {
  numberField,
  textField,
  textListField,
} from "../../../../src/protocols/agent/json-fields.ts";

const trap = { toString: 1, valueOf: 1 };

test("strings, numbers and booleans are text, everything else is not", () => {
  const object = { a: "x", b: 1.5, c: false, d: null, e: trap, f: [trap], g: "" };
  expect(Object.keys(object).map((name) => textField(object, name))).toEqual([
    ...["x", "1.5", "false", "?", "?", "?", ""],
  ]);
  expect(textField(object, "constructor", "none")).toBe("none");
});

test("numbers are numbers alone", () => {
  const object = { a: 2, b: "2", c: trap, d: null };
  expect(Object.keys(object).map((name) => numberField(object, name))).toEqual([2, 0, 0, 0]);
  expect(numberField(object, "b", 7)).toBe(7);
});

test("lists keep their length", () => {
  const object = { a: ["x", 1, trap, null], b: "xy", c: trap };
  expect(textListField(object, "a")).toEqual(["x", "1", "?", "?"]);
  expect(textListField(object, "b")).toBeUndefined();
  expect(textListField(object, "c")).toBeUndefined();
});

test("a value that is not an object has no fields", () => {
  for (const value of [null, undefined, 5, "text", true]) {
    expect(textField(value, "length")).toBe("?");
    expect(numberField(value, "length", 3)).toBe(3);
    expect(textListField(value, "length")).toBeUndefined();
  }
});
