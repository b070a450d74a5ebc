import { describe, expect, test } from "bun:test";
import { EscapeFilter } from "../../../../src/protocols/terminal/escape.ts";

/** What goes to the guest and what is asked for, with the keys given at once and one by one. */
function filter(typed: string) {
  const results = [[typed], typed.split("")].map((chunks) => {
    const escape = new EscapeFilter();
    let bytes = "";
    const actions: string[] = [];
    for (const chunk of chunks) {
      if (actions.includes("disconnect")) break;
      const filtered = escape.push(new TextEncoder().encode(chunk));
      bytes += new TextDecoder().decode(filtered.bytes);
      actions.push(...filtered.actions);
    }
    return { bytes, actions };
  });
  expect(results[0]).toEqual(results[1]);
  return results[0];
}

describe("EscapeFilter", () => {
  test.each([
    ["~.", "", ["disconnect"]],
    ["ls\r~.rest", "ls\r", ["disconnect"]],
    ["ls\n~.", "ls\n", ["disconnect"]],
    ["a~.", "a~.", []],
    ["~~", "~", []],
    ["~~.", "~.", []],
    ["~?", "", ["help"]],
    ["~?~.", "", ["help", "disconnect"]],
    ["~x", "~x", []],
    ["cd ~\r", "cd ~\r", []],
    ["~\r~.", "~\r", ["disconnect"]],
    ["~/bin\r", "~/bin\r", []],
  ])("%j sends %j and means %j", (typed, bytes, actions) => {
    expect(filter(typed)).toEqual({ bytes, actions });
  });
});
