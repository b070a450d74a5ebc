import { expect, test } from "bun:test";
import { isAgentRefusal } from "../../../../src/protocols/agent/refused.ts";

test.each([
  ["vsockbox agent: accept: connection refused: the token is missing\n", true],
  ["vsockbox agent: connection refused: 4 sessions are open (--max-sessions)\n", true],
  ["vsockbox agent: connect 127.0.0.1:81: connection refused (ECONNREFUSED)\n", false],
  ["dial tcp: connection refused: no", false],
])("the refusal of an agent: %j: %p", (text, expected) => {
  expect(isAgentRefusal(text)).toBe(expected);
});
