import { describe, expect, test } from "bun:test";
import { decodeMap } from "../../../../src/protocols/vfs/cbor.ts";
import {
  encodeVfsFrame,
  encodeFrameHead,
  MAX_HEAD_BYTES,
  VfsFrameReader,
} from "../../../../src/protocols/vfs/frame.ts";

const collect = (reader: VfsFrameReader, chunks: readonly Uint8Array[]) =>
  chunks.flatMap((chunk) => [...reader.push(chunk)].map((payload) => payload.slice()));

describe("frames", () => {
  test("have their length in front, big-endian", () => {
    expect(Buffer.from(encodeVfsFrame({ op: 3 })).toString("hex")).toBe("00000005a1626f7003");
  });

  test.each([1, 2, 3, 5, 7, 1000])("are read from chunks of %p bytes", (size) => {
    const sent = [{ op: 1 }, { op: 2, data: new Uint8Array(100).fill(7) }, { op: 3 }];
    const bytes = Buffer.concat(sent.map(encodeVfsFrame));
    const chunks = Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) =>
      bytes.subarray(i * size, (i + 1) * size),
    );
    const reader = new VfsFrameReader(1000);
    const found = collect(reader, chunks);
    expect(found.map((payload) => decodeMap(payload).get("op"))).toEqual([1, 2, 3]);
    expect(decodeMap(found[1] ?? new Uint8Array()).get("data")).toEqual(
      new Uint8Array(100).fill(7),
    );
    expect(reader.isAtBoundary).toBe(true);
    expect(reader.heldBytes).toBe(0);
  });

  test("that are large grow with their bytes, not with their length", () => {
    const reader = new VfsFrameReader(4 * 1024 * 1024);
    const large = encodeVfsFrame({ data: new Uint8Array(3 * 1024 * 1024).fill(5) });
    expect([...reader.push(large.subarray(0, 104))]).toEqual([]);
    expect(reader.heldBytes).toBe(64 * 1024);
    expect(reader.isAtBoundary).toBe(false);
    const pieces = [large.subarray(104, 200_000), large.subarray(200_000)];
    expect(collect(reader, pieces).map((payload) => decodeMap(payload).get("data"))).toEqual([
      new Uint8Array(3 * 1024 * 1024).fill(5),
    ]);
  });

  test("that are empty or above the limit are refused", () => {
    expect(() => [...new VfsFrameReader(10).push(Buffer.alloc(4))]).toThrow("empty");
    const eleven = Buffer.from([0, 0, 0, 11]);
    expect(() => [...new VfsFrameReader(10).push(eleven)]).toThrow("above the limit of 10");
    const reader = new VfsFrameReader(10);
    reader.limit(11);
    expect([...reader.push(Buffer.concat([eleven, Buffer.alloc(11)]))]).toHaveLength(1);
  });

  test.each([0, 1, 300, 70_000])(
    "with %p bytes of data sent apart are the same map",
    (dataBytes) => {
      const data = new Uint8Array(dataBytes).fill(3);
      const head = encodeFrameHead(
        { id: 2 ** 32 - 1, err: 0, op: 4, fh: 2 ** 32 - 1, off: 2 ** 53 - 1 },
        dataBytes,
      );
      expect(head.length).toBeLessThan(MAX_HEAD_BYTES);
      const [payload = new Uint8Array()] = collect(new VfsFrameReader(100_000), [head, data]);
      expect(decodeMap(payload)).toEqual(
        new Map<string, unknown>([
          ["id", 2 ** 32 - 1],
          ["fh", 2 ** 32 - 1],
          ["op", 4],
          ["err", 0],
          ["off", 2 ** 53 - 1],
          ["data", data],
        ]) as ReturnType<typeof decodeMap>,
      );
    },
  );

  test("with data sent apart have up to 21 other fields", () => {
    const fields = (count: number) =>
      Object.fromEntries(Array.from({ length: count }, (_, i) => [`k${i}`, i]));
    const head = encodeFrameHead(fields(21), 1);
    expect(decodeMap(Buffer.concat([head.subarray(4), Buffer.from([1])])).size).toBe(22);
    expect(() => encodeFrameHead(fields(22), 1)).toThrow(RangeError);
  });
});
