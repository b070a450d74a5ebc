import { describe, expect, test } from "bun:test";
import { clockTime, packetLines, type PayloadView } from "../../../src/monitor/packet-line.ts";
import { decodeVsockmon } from "../../../src/protocols/pcap/vsockmon.ts";
import { packetBytes, type PacketFields } from "../../support/vsock-packets.ts";

const time = { seconds: new Date(2024, 0, 2, 3, 4, 5).getTime() / 1000, nanoseconds: 60_007_999 };

function lines(fields: PacketFields, payload: PayloadView = "none", length?: number): string[] {
  const bytes = packetBytes(fields);
  const packet = decodeVsockmon(bytes, length ?? bytes.length);
  if (packet === undefined) throw new Error("no packet");
  return packetLines(time, packet, payload);
}

const HEAD = "03:04:05.060007 2:1024 > 3:5000";

describe("a packet's line", () => {
  test("has the local time of day", () => {
    expect(clockTime(time)).toBe("03:04:05.060007");
    const noon = { seconds: new Date(2024, 0, 2, 12, 30, 59).getTime() / 1000, nanoseconds: 0 };
    expect(clockTime(noon)).toBe("12:30:59.000000");
  });

  test.each([
    [{ op: 1 }, "REQUEST stream len 0 buf_alloc 262144 fwd_cnt 0"],
    [
      { op: 4, flags: 3, bufAlloc: 5, fwdCnt: 6 },
      "SHUTDOWN stream flags receive,send len 0 buf_alloc 5 fwd_cnt 6",
    ],
    [
      { op: 5, type: 2, flags: 1, payload: "x" },
      "RW seqpacket flags eom len 1 buf_alloc 262144 fwd_cnt 0",
    ],
    [{ op: 6, fwdCnt: 4096 }, "CREDIT_UPDATE stream len 0 buf_alloc 262144 fwd_cnt 4096"],
    [{ op: 77, type: 9 }, "op 77 type 9 len 0 buf_alloc 262144 fwd_cnt 0"],
    [{ monitorOp: 1, transport: 1, payload: "xy" }, "connect transport 1 len 2"],
  ])("has the fields of %p", (fields, text) => {
    expect(lines(fields)).toEqual([`${HEAD} ${text}`]);
  });

  const RW = `${HEAD} RW stream len`;

  test("shows the payload as text only on request, and nothing of an empty one", () => {
    expect(lines({ payload: "hi" })).toEqual([`${RW} 2 buf_alloc 262144 fwd_cnt 0`]);
    expect(lines({ payload: 'a "b"\n\x1b\xff' }, "text")).toEqual([
      `${RW} 9 buf_alloc 262144 fwd_cnt 0 "a \\"b\\"\\n\\x1bÿ"`,
    ]);
    expect(lines({ op: 1 }, "text")).toEqual(lines({ op: 1 }));
  });

  test("shows a backslash of the payload otherwise than the beginning of an escape", () => {
    expect(lines({ payload: String.raw`\x1b\\n"` }, "text")[0]).toEndWith(
      String.raw`"\\x1b\\\\n\""`,
    );
    expect(lines({ payload: "\x1b" }, "text")[0]).toEndWith(String.raw`"\x1b"`);
    // The bytes that are not UTF-8 keep their escapes as well.
    expect(lines({ payload: Uint8Array.of(0x5c, 0xff) }, "text")[0]).toEndWith(
      String.raw`"\\\xff"`,
    );
  });

  test.each([
    ["x".repeat(64), `"${"x".repeat(64)}"`],
    ["x".repeat(65), `"${"x".repeat(64)}"… (1 more bytes)`],
    // Characters are not cut in the middle.
    [`${"x".repeat(63)}é!`, `"${"x".repeat(63)}"… (2 more bytes)`],
    [`${"x".repeat(62)}é!`, `"${"x".repeat(62)}é"… (1 more bytes)`],
    [`${"x".repeat(62)}€`, `"${"x".repeat(62)}"… (1 more bytes)`],
    [`${"x".repeat(61)}\u{1f600}`, `"${"x".repeat(61)}"… (1 more bytes)`],
    [`${"x".repeat(60)}\u{1f600}z`, `"${"x".repeat(60)}\u{1f600}"… (1 more bytes)`],
  ])("cuts the text %p", (payload, text) => {
    expect(lines({ payload }, "text")[0]).toEndWith(`fwd_cnt 0 ${text}`);
  });

  test("names bytes that were not captured", () => {
    expect(lines({ payload: "abc", len: 100 }, "text", 176)[0]).toEndWith('"abc"… (97 more bytes)');
    expect(lines({ payload: "abc", len: 100 }, "hex", 176).at(-1)).toBe("  … (97 more bytes)");
  });

  test("is followed by a dump on request", () => {
    expect(lines({ payload: "0123456789abcdef~\x7f\x05 " }, "hex")).toEqual([
      `${RW} 20 buf_alloc 262144 fwd_cnt 0`,
      "  0000  30 31 32 33 34 35 36 37 38 39 61 62 63 64 65 66  0123456789abcdef",
      `  0010  7e 7f 05 20${" ".repeat(36)}  ~.. `,
    ]);
    expect(lines({ op: 1 }, "hex")).toHaveLength(1);
    const long = lines({ payload: new Uint8Array(5000) }, "hex");
    expect([long.length, long.at(-1)]).toEqual([1 + 256 + 1, "  … (904 more bytes)"]);
  });
});
