import { describe, expect, test } from "bun:test";
import {
  isAgentRefusal,
  readRefusal,
  refusalMessage,
} from "../../../../src/protocols/agent/refused.ts";

test.each([
  ["vsockbox agent: accept: connection refused: the token is missing\n", true],
  ["vsockbox agent: connection refused: 4 sessions are open (--max-sessions)\n", true],
  ["vsockbox agent: connect 127.0.0.1:81: connection refused (ECONNREFUSED)\n", false],
  ["dial tcp: connection refused: no", false],
])("the refusal of an agent: %j: %p", (text, expected) => {
  expect(isAgentRefusal(text)).toBe(expected);
});

describe("a refusal is read from its text", () => {
  test.each([
    ["the token is missing", "token-missing"],
    ["the token is wrong", "token"],
    ["this agent expects a token, and a client that proves it first (--token-file)", "token"],
    ["4 sessions are open, the limit of --max-sessions", "sessions"],
    ["CID 7 is not in --allow-cid", "cid"],
  ] as const)("%s", (reason, kind) => {
    const text = refusalMessage(reason);
    for (const prefix of ["vsockbox agent: accept: ", "vsockbox agent: ", ""]) {
      expect(readRefusal(`${prefix}${text}\n`)).toEqual({ kind, text });
    }
  });

  test("other text is not a refusal", () => {
    expect(readRefusal("")).toBeUndefined();
    expect(readRefusal("vsockbox agent: the token is missing")).toBeUndefined();
  });
});
