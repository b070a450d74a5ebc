import { describe, expect, test } from "bun:test";
import {
  decodeConnectionRecord,
  encodeConnectionRecord,
} from "../../../../src/protocols/agent/connection-records.ts";

const RECORD = {
  id: 3,
  peer: "vsock:2:1027",
  ageMs: 1500,
  receivedBytes: 3,
  sentBytes: 2 ** 40,
  requestCount: 9,
  requests: ["exec ls -l", "get /etc/hosts"],
};

describe("the record of a connection", () => {
  test("comes back", () => {
    expect(encodeConnectionRecord(RECORD)).toEqual({
      ...{ id: 3, peer: "vsock:2:1027", age_ms: 1500, received_bytes: 3, sent_bytes: 2 ** 40 },
      ...{ request_count: 9, requests: ["exec ls -l", "get /etc/hosts"] },
    });
    expect(decodeConnectionRecord(encodeConnectionRecord(RECORD))).toEqual(RECORD);
  });

  test("of an agent that leaves fields out has none of them", () => {
    expect(decodeConnectionRecord({})).toEqual({
      ...{
        id: 0,
        peer: "?",
        ageMs: 0,
        receivedBytes: 0,
        sentBytes: 0,
        requestCount: 0,
        requests: [],
      },
    });
  });

  test("has texts that a terminal does not obey, of bounded length", () => {
    const text = `\u001B[2J${"x".repeat(5000)}`;
    const { peer, requests } = decodeConnectionRecord({ peer: text, requests: [text] });
    for (const shown of [peer, ...requests]) {
      expect(shown).not.toContain("\u001B");
      expect(shown.length).toBeLessThan(300);
    }
  });

  test.each([
    [{ peer: 7 }],
    [{ id: -1 }],
    [{ age_ms: -1 }],
    [{ age_ms: "1" }],
    [{ received_bytes: 1.5 }],
    [{ sent_bytes: 2 ** 60 }],
    [{ request_count: [] }],
    [{ requests: "exec" }],
    [{ requests: [1] }],
    [{ requests: Array(9).fill("exec") }],
  ])("%j is refused", (record) => {
    expect(() => decodeConnectionRecord(record)).toThrow("cannot read connection: ");
  });
});
