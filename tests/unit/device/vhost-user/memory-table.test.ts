import { describe, expect, test } from "bun:test";
import {
  forEachPair,
  MemoryTable,
  PieceList,
} from "../../../../src/device/vhost-user/memory-table.ts";
import { MAX_MEMORY_BYTES } from "../../../../src/protocols/vhost-user/wire.ts";
import { bufferRegion, tableOf } from "../../../support/vhost.ts";

const GIB = 2 ** 30;

function piecesOf(table: MemoryTable, address: number, length: number, capacity = 16) {
  const pieces = new PieceList(capacity);
  table.translate(address, length, pieces);
  return Array.from({ length: pieces.count }, (_, index) => [
    pieces.address(index),
    pieces.length(index),
  ]);
}

describe("translate", () => {
  const table = tableOf(
    bufferRegion(0x1000, 0x1000, { hostAddress: 0x50_0000 }),
    bufferRegion(0x2000, 0x1000, { hostAddress: 0x10_0000 }),
    bufferRegion(0x8000, 0x1000, { hostAddress: 0x7fff_ffff_0000 }),
  );

  test.each<[number, number, number[][]]>([
    [0x1000, 0x1000, [[0x50_0000, 0x1000]]],
    [0x1fff, 1, [[0x50_0fff, 1]]],
    [0x2000, 1, [[0x10_0000, 1]]],
    [0x8ff0, 16, [[0x7fff_ffff_0ff0, 16]]],
    [
      0x1ff0,
      32,
      [
        [0x50_0ff0, 16],
        [0x10_0000, 16],
      ],
    ],
    [0x1000, 0, []],
    [0x9999_9999, 0, []],
  ])("%d, %d bytes", (address, length, expected) => {
    expect(piecesOf(table, address, length)).toEqual(expected);
  });

  test.each<[number, number]>([
    [0, 1],
    [0xfff, 1],
    [0xfff, 2],
    [0x1000, 0x2001],
    [0x3000, 1],
    [0x7fff, 2],
    [0x8fff, 2],
    [0x9000, 1],
    [0x8000, 0xffff_ffff],
    [2 ** 53 - 1, 0xffff_ffff],
  ])("%d, %d bytes: outside", (address, length) => {
    expect(() => piecesOf(table, address, length)).toThrow("not all in the guest's memory");
  });

  test("reports that its list has no space for more pieces", () => {
    expect(() => piecesOf(table, 0x1ff0, 32, 1)).toThrow("too many pieces");
  });

  test("an empty table has nothing", () => {
    expect(() => piecesOf(new MemoryTable(), 0, 1)).toThrow("not all");
  });
});

describe("regions", () => {
  test("that overlap, wrap or are too many are refused, and change nothing", () => {
    const table = tableOf(bufferRegion(0x1000, 0x1000));
    const { generation } = table;
    expect(() => table.add(bufferRegion(0x1fff, 1))).toThrow("overlap");
    expect(() => table.add(bufferRegion(0x800, 0x801))).toThrow("overlap");
    const buffer = new ArrayBuffer(0);
    const region = (change: object) => ({ ...bufferRegion(0, 4096, { buffer }), ...change });
    expect(() => table.add(region({ size: 0 }))).toThrow("0 bytes");
    expect(() => table.add(region({ guestAddress: 2 ** 53 - 1 }))).toThrow("a region of");
    expect(() => table.add(region({ userAddress: 2 ** 53 - 1 }))).toThrow("a region of");
    expect(() => table.add(region({ hostAddress: -1 }))).toThrow("a region of");
    expect(() => table.add(region({ guestAddress: 2 ** 50, size: 2 ** 43 }))).toThrow("more than");
    const nine = Array.from({ length: 9 }, (_, index) => bufferRegion(index * 16, 16));
    expect(() => table.replace(nine)).toThrow("more than 8 regions");
    expect(table.generation).toBe(generation);
    expect(table.regions).toHaveLength(1);
  });

  test("come and go, each time with another generation", () => {
    const table = new MemoryTable();
    const [first, second] = [bufferRegion(0, 16), bufferRegion(32, 16)];
    table.add(second);
    table.add(first);
    const { generation } = table;
    expect(table.remove({ ...first, size: 15 })).toBeUndefined();
    expect(table.generation).toBe(generation);
    expect(table.remove(first)).toBe(first);
    expect(table.generation).not.toBe(generation);
    expect(table.windowAt(0)).toBe(-1);
    expect(table.windowAt(32)).toBe(0);
  });

  test("may end at the border of the next one and at the highest address", () => {
    const size = 0x1000;
    const table = tableOf(
      bufferRegion(size, size, { hostAddress: 0 }),
      bufferRegion(0, size, { hostAddress: 2 ** 53 - 1 - size }),
    );
    expect(piecesOf(table, 0, 2 * size)).toEqual([
      [2 ** 53 - 1 - size, size],
      [0, size],
    ]);
    expect([size - 1, size, 2 * size - 1].map((address) => table.windowAt(address))).toEqual([
      0, 1, 1,
    ]);
    expect([2 * size, size - 1].map((address) => table.windowAt(address))).toEqual([-1, 0]);
    const eight = Array.from({ length: 8 }, (_, index) => bufferRegion(index * 16, 16));
    table.replace(eight);
    expect(table.regions).toEqual(eight);
  });

  test("have as many bytes in all as a guest may have at most", () => {
    const view = () => new Uint8Array(0);
    const half = MAX_MEMORY_BYTES / 2;
    const region = (guestAddress: number, size: number) => ({
      ...bufferRegion(guestAddress, 0),
      size,
      view,
    });
    const first = region(0, half);
    expect(tableOf(first, region(half, half)).regions).toHaveLength(2);
    expect(() => tableOf(first, region(half, half + 1))).toThrow(
      `more than ${MAX_MEMORY_BYTES} bytes`,
    );
  });

  test("are found after a smaller table has replaced the one of the last translation", () => {
    const table = tableOf(bufferRegion(0, 16), bufferRegion(32, 16));
    expect(table.windowAt(40)).toBe(1);
    table.replace([bufferRegion(32, 16, { hostAddress: 500 })]);
    expect(table.windowAt(40)).toBe(0);
    expect(table.windowAt(0)).toBe(-1);
    expect(table.offsetIn(0, 40)).toBe(8);
    expect(table.dataView(0).byteLength).toBe(16);
    expect(() => table.dataView(1)).toThrow("window 1 does not exist");
    expect(piecesOf(table, 40, 8)).toEqual([[508, 8]]);
  });

  test("larger than a buffer can be are viewed in parts", () => {
    const asked: [number, number][] = [];
    const buffer = new ArrayBuffer(0);
    const table = tableOf({
      guestAddress: 0.5 * GIB,
      userAddress: 0,
      hostAddress: 2 ** 40,
      size: 6 * GIB,
      view(offset, length) {
        asked.push([offset, length]);
        // As long as it says, but without the memory.
        const bytes = new Uint8Array(buffer);
        Object.defineProperty(bytes, "length", { value: length });
        return bytes;
      },
    });
    expect(asked).toHaveLength(7);
    expect(asked[0]).toEqual([0, 0.5 * GIB]);
    expect(asked[1]).toEqual([0.5 * GIB, GIB]);
    expect(asked[6]).toEqual([5.5 * GIB, 0.5 * GIB]);
    expect(piecesOf(table, GIB - 1, 2)).toEqual([
      [2 ** 40 + 0.5 * GIB - 1, 1],
      [2 ** 40 + 0.5 * GIB, 1],
    ]);
    expect(piecesOf(table, 0.5 * GIB, 0xffff_ffff)).toHaveLength(5);
  });

  test("are found by the VMM's addresses", () => {
    const buffer = Uint8Array.from({ length: 64 }, (_, index) => index).buffer;
    const table = tableOf(
      bufferRegion(0, 32, { userAddress: 0x7000, buffer }),
      bufferRegion(64, 32, { userAddress: 0x6000, buffer, before: 32 }),
    );
    expect([...table.viewAtUser(0x6001, 2)]).toEqual([33, 34]);
    expect([...table.viewAtUser(0x701e, 2)]).toEqual([30, 31]);
    expect(() => table.viewAtUser(0x701f, 2)).toThrow("in no region");
    expect(() => table.viewAtUser(0x5fff, 2)).toThrow("in no region");
  });
});

describe("pieces", () => {
  test("are copied from and to, from any offset on", () => {
    const buffer = Uint8Array.from({ length: 256 }, (_, index) => index).buffer;
    const table = tableOf(
      bufferRegion(0, 100, { buffer }),
      bufferRegion(100, 100, { buffer, before: 156 }),
    );
    const pieces = new PieceList(4);
    table.translate(90, 20, pieces);
    table.translate(0, 2, pieces);
    const into = new Uint8Array(30);
    expect(table.read(pieces, 0, into)).toBe(22);
    expect([...into.subarray(0, 22)]).toEqual([
      90, 91, 92, 93, 94, 95, 96, 97, 98, 99, 156, 157, 158, 159, 160, 161, 162, 163, 164, 165, 0,
      1,
    ]);
    expect(table.read(pieces, 19, into)).toBe(3);
    expect([...into.subarray(0, 3)]).toEqual([165, 0, 1]);
    expect(table.read(pieces, 22, into)).toBe(0);
    expect(table.write(pieces, 9, Uint8Array.of(1, 2, 3))).toBe(3);
    expect([...new Uint8Array(buffer, 98, 3)]).toEqual([98, 1, 100]);
    expect([...new Uint8Array(buffer, 156, 3)]).toEqual([2, 3, 158]);
    pieces.clear();
    table.translate(0, 200, pieces);
    const large = new Uint8Array(200).fill(9);
    expect(table.write(pieces, 0, large)).toBe(200);
    expect(table.read(pieces, 1, large)).toBe(199);
    expect(large.subarray(0, 199).every((byte) => byte === 9)).toBe(true);
  });

  test("are handed on in part", () => {
    const table = tableOf(bufferRegion(0, 100, { hostAddress: 1000 }));
    const pieces = new PieceList(4);
    for (const [address, length] of [
      [0, 10],
      [50, 10],
    ] as const) {
      table.translate(address, length, pieces);
    }
    const filled = (from: number, length: number, room = 9) => {
      const got: number[][] = [];
      const sink = {
        push(...piece: [number, number]) {
          if (got.length === room) return false;
          got.push(piece);
          return true;
        },
      };
      return [pieces.pushTo(sink, from, length), ...got];
    };
    expect(filled(0, 100)).toEqual([20, [1000, 10], [1050, 10]]);
    expect(filled(4, 8)).toEqual([8, [1004, 6], [1050, 2]]);
    expect(filled(10, 3)).toEqual([3, [1050, 3]]);
    expect(filled(20, 3)).toEqual([0]);
    expect(filled(4, 8, 1)).toEqual([6, [1004, 6]]);
  });

  test("are not more than the capacity of their list, which is empty after clear", () => {
    const pieces = new PieceList(2);
    expect(pieces.push(100, 1, 2, 3)).toBe(true);
    expect(pieces.push(200, 4, 5, 6)).toBe(true);
    expect(pieces.push(300, 7, 8, 9)).toBe(false);
    const shown = (index: number) => [
      pieces.address(index),
      pieces.length(index),
      pieces.window(index),
      pieces.offset(index),
    ];
    expect([0, 1, 2].map(shown)).toEqual([
      [100, 1, 2, 3],
      [200, 4, 5, 6],
      [0, 0, 0, 0],
    ]);
    expect([pieces.count, pieces.bytes]).toEqual([2, 5]);
    pieces.clear();
    expect([pieces.count, pieces.bytes]).toEqual([0, 0]);
  });

  test.each([1, 63, 64, 65, 100])("of %d bytes are copied up to the border", (length) => {
    const buffer = Uint8Array.from({ length: 300 }, (_, index) => index).buffer;
    const table = tableOf(bufferRegion(0, 200, { buffer, before: 50 }));
    const pieces = new PieceList(1);
    table.translate(200 - length, length, pieces);
    const into = new Uint8Array(length + 2).fill(0xee);
    expect(table.read(pieces, 0, into.subarray(1))).toBe(length);
    const expected = Array.from({ length }, (_, index) => 250 - length + index);
    expect([...into]).toEqual([0xee, ...expected, 0xee]);
    expect(table.write(pieces, 0, new Uint8Array(length + 1).fill(0xdd))).toBe(length);
    const bytes = [...new Uint8Array(buffer, 249 - length, length + 2)];
    expect(bytes).toEqual([249 - length, ...new Uint8Array(length).fill(0xdd), 250]);
  });

  test("of an earlier table are not copied", () => {
    const table = tableOf(bufferRegion(0, 16));
    const pieces = new PieceList(1);
    table.translate(0, 16, pieces);
    table.replace([]);
    expect(() => table.read(pieces, 0, new Uint8Array(1))).toThrow("the table has changed");
    expect(table.read(pieces, 0, new Uint8Array(0))).toBe(0);
  });
});

describe("two lists", () => {
  /** Pieces at these addresses; a list that had more before. */
  function listOf(...parts: [address: number, length: number][]): PieceList {
    const pieces = new PieceList(8);
    for (let count = 0; count < 8; count++) pieces.push(9000, 50, 0, 0);
    pieces.clear();
    for (const [address, length] of parts) pieces.push(address, length, 0, 0);
    return pieces;
  }

  /** The visited parts: target, source, length. */
  function pairsOf(
    [source, skip]: [PieceList, number],
    [target, begin]: [PieceList, number],
    length: number,
  ): number[][] {
    const pairs: number[][] = [];
    forEachPair(source, skip, target, begin, length, (...pair) => {
      pairs.push(pair);
      if (pairs.length > 20) throw new Error("no end");
    });
    return pairs;
  }

  const source = listOf([100, 10], [200, 20]);
  const target = listOf([1000, 15], [2000, 5], [3000, 40]);

  test.each<[string, number, number, number, number[][]]>([
    [
      "all bytes of the shorter list",
      ...([0, 0, 100] as const),
      [
        [1000, 100, 10],
        [1010, 200, 5],
        [2000, 205, 5],
        [3000, 210, 10],
      ],
    ],
    [
      "a length within pieces of both",
      ...([0, 0, 12] as const),
      [
        [1000, 100, 10],
        [1010, 200, 2],
      ],
    ],
    ["a length that ends with a piece of the source", 0, 0, 10, [[1000, 100, 10]]],
    [
      "a length that ends one byte after it",
      ...([0, 0, 11] as const),
      [
        [1000, 100, 10],
        [1010, 200, 1],
      ],
    ],
    ["no bytes", 0, 0, 0, []],
    [
      "bytes after the beginning of both",
      ...([4, 14, 8] as const),
      [
        [1014, 104, 1],
        [2000, 105, 5],
        [3000, 200, 2],
      ],
    ],
    ["bytes after whole pieces", 10, 20, 3, [[3000, 200, 3]]],
    ["bytes within later pieces", 13, 22, 30, [[3002, 203, 17]]],
    ["no byte after the end of the source", 30, 0, 1, []],
    ["no byte after the end of the target", 0, 60, 1, []],
    ["the last byte of both", 29, 59, 9, [[3039, 219, 1]]],
  ])("are visited at once: %s", (_, skip, begin, length, expected) => {
    expect(pairsOf([source, skip], [target, begin], length)).toEqual(expected);
  });

  test("are not visited beyond the end of either", () => {
    expect(pairsOf([target, 0], [source, 0], 100)).toEqual([
      [100, 1000, 10],
      [200, 1010, 5],
      [205, 2000, 5],
      [210, 3000, 10],
    ]);
    expect(pairsOf([listOf(), 0], [target, 0], 1)).toEqual([]);
    expect(pairsOf([source, 0], [listOf(), 0], 1)).toEqual([]);
  });
});
