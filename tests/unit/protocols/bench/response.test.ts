import { describe, expect, test } from "bun:test";
import { BENCH_VERSION } from "../../../../src/protocols/bench/request.ts";
import {
  decodeBenchResponse,
  encodeBenchResponse,
  RESPONSE_BYTES,
  RESPONSE_STATUSES,
} from "../../../../src/protocols/bench/response.ts";

const token = Uint8Array.from({ length: 16 }, (_, index) => 200 + index);

describe("an answer", () => {
  test.each([...RESPONSE_STATUSES])("is read as it was written: %s", (status) => {
    const bytes = encodeBenchResponse(status, { limit: 60_000, token });
    expect(bytes).toHaveLength(RESPONSE_BYTES);
    expect(decodeBenchResponse(bytes)).toEqual({
      version: BENCH_VERSION,
      status,
      limit: 60_000,
      token,
    });
  });

  test("has its numbers at fixed offsets", () => {
    expect(encodeBenchResponse("busy", { limit: 3 }).toHex()).toBe(
      `${Buffer.from("VSBXBNAN").toString("hex")}0001020000000003${"00".repeat(16)}`,
    );
  });

  test("of a later version may have a status that is not known", () => {
    const bytes = encodeBenchResponse("accepted");
    bytes.set([0, 9, 77], 8);
    expect(decodeBenchResponse(bytes)).toMatchObject({ version: 9, status: undefined, limit: 0 });
  });

  test("is refused if it is cut, at every byte, or is another's", () => {
    const bytes = encodeBenchResponse("accepted", { token });
    for (let length = 0; length < bytes.length; length++) {
      expect(() => decodeBenchResponse(bytes.subarray(0, length))).toThrow("bench serve");
    }
    bytes[0] = 0;
    expect(() => decodeBenchResponse(bytes)).toThrow("bench serve");
  });
});
