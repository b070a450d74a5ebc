import { describe, expect, test } from "bun:test";
import {
  Chain,
  Virtqueue,
  type VirtqueueOptions,
} from "../../../../src/device/vhost-user/virtqueue.ts";
import { bufferRegion, DriverRing, tableOf } from "../../../support/vhost.ts";

const BYTES = 0x1_0000;
const NEXT = 1;
const WRITE = 2;
const INDIRECT = 4;
/** Where the test has data and indirect tables. */
const DATA = 0x8000;

function ringOf(entries: number, options: Partial<VirtqueueOptions> = {}) {
  const buffer = new ArrayBuffer(BYTES);
  const driver = new DriverRing(new DataView(buffer), entries);
  const table = tableOf(bufferRegion(0, BYTES, { buffer, hostAddress: 0x10_0000 }));
  const make = () =>
    new Virtqueue(table, {
      name: "ring",
      entries,
      addresses: driver.addresses,
      base: 0,
      ...options,
    });
  return { driver, table, make, ring: make(), chain: new Chain(entries) };
}

const parts = ({ readable, writable }: Chain) =>
  [readable, writable].map((list) =>
    Array.from({ length: list.count }, (_, index) => [list.address(index), list.length(index)]),
  );

describe("chains", () => {
  test("are returned in order, used, and wrap around", () => {
    const { driver, ring, chain } = ringOf(4);
    expect(ring.pop(chain)).toBe(false);
    for (let round = 0; round < 70_000; round++) {
      driver.describe(1, { address: DATA, length: 44, flags: NEXT, next: 3 });
      driver.describe(3, { address: DATA + 100, length: 200, flags: NEXT | WRITE, next: 0 });
      driver.describe(0, { address: DATA + 500, length: 1, flags: WRITE });
      driver.offer(1);
      if (!ring.peek(chain) || !ring.pop(chain)) throw new Error("no chain");
      ring.addUsed(chain.head, round);
      ring.publish();
      if (driver.usedIndex !== ((round + 1) & 0xffff)) throw new Error(`used ${driver.usedIndex}`);
    }
    expect(chain.head).toBe(1);
    expect(parts(chain)).toEqual([
      [[0x10_8000, 44]],
      [
        [0x10_8064, 200],
        [0x10_81f4, 1],
      ],
    ]);
    expect(chain.readable.bytes).toBe(44);
    expect(chain.writable.bytes).toBe(201);
    expect(ring.pop(chain)).toBe(false);
    expect(ring.lastAvailable).toBe(70_000 & 0xffff);
    expect(driver.used(69_999)).toEqual({ head: 1, length: 69_999 });
  });

  test("continue from the index of the previous device", () => {
    const { driver, make, chain } = ringOf(4, { base: 65_535 });
    driver.memory.setUint16(driver.addresses.used + 2, 65_535, true);
    driver.available = 65_535;
    driver.describe(2, { address: DATA, length: 1 });
    driver.offer(2);
    const ring = make();
    expect(ring.pop(chain)).toBe(true);
    expect(ring.lastAvailable).toBe(0);
    ring.addUsed(chain.head, 0);
    expect(driver.usedIndex).toBe(65_535);
    ring.publish();
    expect(driver.usedIndex).toBe(0);
    expect(driver.used(65_535)).toEqual({ head: 2, length: 0 });
    ring.lastAvailable = 65_535;
    expect(ring.pop(chain)).toBe(true);
  });

  test("may be indirect if that is negotiated", () => {
    const { driver, ring, chain } = ringOf(4, { indirect: true });
    driver.describe(0, { address: DATA, length: 10, flags: NEXT, next: 1 });
    driver.describe(1, { address: DATA + 64, length: 32, flags: INDIRECT | WRITE });
    driver.describe(0, { address: DATA + 512, length: 20, flags: NEXT, next: 1 }, DATA + 64);
    driver.describe(1, { address: DATA + 600, length: 30, flags: WRITE }, DATA + 64);
    driver.offer(0);
    expect(ring.pop(chain)).toBe(true);
    expect(parts(chain)).toEqual([
      [
        [0x10_8000, 10],
        [0x10_8200, 20],
      ],
      [[0x10_8258, 30]],
    ]);
  });
});

describe("a ring's memory", () => {
  /** A ring whose memory ends with it, and the parts that were viewed. */
  function countedRing(entries: number, options: Partial<VirtqueueOptions> = {}) {
    const driver = new DriverRing(new DataView(new ArrayBuffer(BYTES)), entries);
    const region = bufferRegion(0, driver.end, { buffer: driver.memory.buffer as ArrayBuffer });
    const views: [number, number][] = [];
    const view = (offset: number, length: number) => {
      views.push([offset, length]);
      return region.view(offset, length);
    };
    const counted = { ...region, view };
    const table = tableOf(counted);
    views.length = 0;
    const { addresses } = driver;
    const make = (change: Partial<typeof addresses> = {}) =>
      new Virtqueue(table, {
        ...{ name: "ring", entries, addresses: { ...addresses, ...change }, base: 0 },
        ...options,
      });
    return { driver, table, counted, views, make };
  }

  test.each([1, 4, 256])("with %d entries is exactly that of its parts", (entries) => {
    const { driver, views, make } = countedRing(entries);
    const { descriptors, available, used } = driver.addresses;
    make();
    expect(views.toSorted(([a], [b]) => a - b)).toEqual([
      [descriptors, 16 * entries],
      [available, 6 + 2 * entries],
      [used, 4],
      [used + 4, 8 * entries],
      [used + 4 + 8 * entries, 2],
    ]);
    expect(() => make({ used: used + 4 })).toThrow("in no region");
    expect(() => make({ used: used + 2 })).toThrow("not aligned");
    expect(() => make({ descriptors: 2 })).toThrow("not aligned");
  });

  test("is looked up again after a change of the regions only", () => {
    const { driver, table, counted, views, make } = countedRing(4);
    const ring = make();
    const chain = new Chain(4);
    const use = () => {
      driver.describe(0, { address: 0, length: 1 });
      driver.offer(0);
      expect(ring.pop(chain)).toBe(true);
      ring.addUsed(chain.head, 1);
      expect(ring.shouldSignal()).toBe(true);
      ring.disableKicks();
      ring.enableKicks();
    };
    expect(views).toHaveLength(5);
    use();
    use();
    expect(views).toHaveLength(5);
    table.replace([counted]);
    views.length = 0;
    use();
    use();
    expect(views).toHaveLength(5);
    expect(driver.usedIndex).toBe(4);
  });

  test("is that of the present regions", () => {
    const { driver, table, make } = countedRing(4);
    const ring = make();
    driver.offer(0);
    const other = new DriverRing(new DataView(new ArrayBuffer(BYTES)), 4);
    other.describe(3, { address: 8, length: 4 });
    other.offer(3);
    table.replace([bufferRegion(0, BYTES, { buffer: other.memory.buffer as ArrayBuffer })]);
    const chain = new Chain(4);
    expect(ring.pop(chain)).toBe(true);
    expect(chain.head).toBe(3);
    ring.addUsed(3, 7);
    ring.publish();
    expect([driver.usedIndex, other.usedIndex]).toEqual([0, 1]);
    expect(other.used(0)).toEqual({ head: 3, length: 7 });
  });
});

describe("a chain", () => {
  test("may be in memory above 2^32, of which a descriptor has two words", () => {
    const buffer = new ArrayBuffer(BYTES);
    const driver = new DriverRing(new DataView(buffer), 4);
    const far = 5 * 2 ** 32;
    const table = tableOf(
      bufferRegion(0, BYTES, { buffer }),
      bufferRegion(far, 0x1000, { hostAddress: 0x7000_0000 }),
    );
    const { addresses } = driver;
    const options = { name: "ring", entries: 4, addresses, base: 0, indirect: true };
    const ring = new Virtqueue(table, options);
    driver.describe(0, { address: far, length: 8, flags: NEXT, next: 1 });
    driver.describe(1, { address: far + 0xff0, length: 16, flags: WRITE });
    driver.offer(0);
    const chain = new Chain(4);
    expect(ring.pop(chain)).toBe(true);
    expect(parts(chain)).toEqual([[[0x7000_0000, 8]], [[0x7000_0ff0, 16]]]);
    expect(chain.descriptors).toBe(2);
    driver.describe(3, { address: DATA, length: 16, flags: INDIRECT });
    driver.describe(0, { address: far + 32, length: 4 }, DATA);
    driver.offer(3);
    expect(ring.pop(chain)).toBe(true);
    expect(parts(chain)).toEqual([[[0x7000_0020, 4]], []]);
    driver.describe(2, { address: 2 ** 32, length: 1 });
    driver.offer(2);
    expect(() => ring.pop(chain)).toThrow("not all in the guest's memory");
  });

  test("has as many descriptors as the ring has entries at most", () => {
    const { driver, ring, chain } = ringOf(4);
    for (const index of [0, 1, 2, 3]) {
      const flags = index === 3 ? 0 : NEXT;
      driver.describe(index, { address: DATA + index, length: 1, flags, next: index + 1 });
    }
    driver.offer(0);
    expect(ring.pop(chain)).toBe(true);
    expect(chain.descriptors).toBe(4);
    expect(chain.readable.count).toBe(4);
  });

  test("is read ahead without being consumed", () => {
    const { driver, ring, chain } = ringOf(4);
    for (const head of [2, 0, 3, 1]) {
      driver.describe(head, { address: DATA, length: 1 + head });
      driver.offer(head);
    }
    const heads = [0, 1, 2, 3].map((ahead) => ring.peek(chain, ahead) && chain.head);
    expect(heads).toEqual([2, 0, 3, 1]);
    expect(ring.peek(chain, 4)).toBe(false);
    expect(ring.lastAvailable).toBe(0);
    ring.advance();
    expect(ring.peek(chain)).toBe(true);
    expect([chain.head, chain.readable.bytes]).toEqual([0, 1]);
    expect(ring.peek(chain, 3)).toBe(false);
    expect(ring.lastAvailable).toBe(1);
  });

  test("is returned with the others when the used ring is full", () => {
    const { driver, ring } = ringOf(4);
    for (const head of [0, 1, 2, 3]) ring.addUsed(head, head);
    expect(driver.usedIndex).toBe(0);
    ring.addUsed(2, 9);
    expect(driver.usedIndex).toBe(4);
    expect(driver.used(4)).toEqual({ head: 2, length: 9 });
    ring.publish();
    expect(driver.usedIndex).toBe(5);
  });
});

describe("a broken ring is refused", () => {
  type Break = (driver: DriverRing) => void;
  const cases: [string, Break][] = [
    ["the available index is 5 ahead", (driver) => driver.setIndex(5)],
    ["the available index is 65535 ahead", (driver) => driver.setIndex(-1)],
    [
      "1 bytes at 0x1ffffffffffff0 are not all in the guest's memory",
      (driver) => {
        driver.describe(0, { address: 2 ** 53 - 16, length: 1 });
        driver.offer(0);
      },
    ],
    [
      "an address above 2^53",
      (driver) => {
        driver.describe(0, { address: 2 ** 53, length: 1 });
        driver.offer(0);
      },
    ],
    ["descriptor 4 in a ring of 4", (driver) => driver.offer(4)],
    [
      "descriptor 65535 in a ring of 4",
      (driver) => {
        driver.describe(0, { address: DATA, length: 1, flags: NEXT, next: 65_535 });
        driver.offer(0);
      },
    ],
    [
      "the chain at 0 loops",
      (driver) => {
        driver.describe(0, { address: DATA, length: 1, flags: NEXT, next: 1 });
        driver.describe(1, { address: DATA, length: 1, flags: NEXT, next: 0 });
        driver.offer(0);
      },
    ],
    [
      "not all in the guest's memory",
      (driver) => {
        driver.describe(0, { address: BYTES - 1, length: 2 });
        driver.offer(0);
      },
    ],
    [
      "above 2^53",
      (driver) => {
        driver.describe(0, { address: 0xffff_ffff_ffff_fff0n, length: 2 });
        driver.offer(0);
      },
    ],
    [
      "after a writable one",
      (driver) => {
        driver.describe(0, { address: DATA, length: 1, flags: NEXT | WRITE, next: 1 });
        driver.describe(1, { address: DATA, length: 1 });
        driver.offer(0);
      },
    ],
    [
      "not negotiated",
      (driver) => {
        driver.describe(0, { address: DATA, length: 16, flags: INDIRECT });
        driver.offer(0);
      },
    ],
  ];
  test.each(cases)("%s", (message, breakIt) => {
    const { driver, ring, chain } = ringOf(4);
    breakIt(driver);
    expect(() => ring.pop(chain)).toThrow(message);
    expect(() => ring.pop(chain)).toThrow(message);
  });

  const indirect: [string, Break][] = [
    ["an indirect table of 0 bytes", (driver) => driver.describe(0, { address: DATA, length: 0 })],
    [
      "an indirect table of 17 bytes",
      (driver) => driver.describe(0, { address: DATA, length: 17 }),
    ],
    [
      "with a next one",
      (driver) => driver.describe(0, { address: DATA, length: 16, flags: NEXT, next: 1 }),
    ],
    ["outside of memory", (driver) => driver.describe(0, { address: BYTES, length: 16 })],
    [
      "crosses a border of regions",
      (driver) => driver.describe(0, { address: BYTES - 8, length: 16 }),
    ],
    [
      "descriptor 1 in an indirect table of 1",
      (driver) => {
        driver.describe(0, { address: DATA, length: 16 });
        driver.describe(0, { address: DATA, length: 1, flags: NEXT, next: 1 }, DATA);
      },
    ],
    [
      "loops",
      (driver) => {
        driver.describe(0, { address: DATA, length: 16 });
        driver.describe(0, { address: DATA, length: 1, flags: NEXT, next: 0 }, DATA);
      },
    ],
    [
      "an indirect table in an indirect table",
      (driver) => {
        driver.describe(0, { address: DATA, length: 16 });
        driver.describe(0, { address: DATA, length: 16, flags: INDIRECT }, DATA);
      },
    ],
  ];
  test.each(indirect)("indirect: %s", (message, breakIt) => {
    const { driver, ring, chain } = ringOf(4, { indirect: true });
    breakIt(driver);
    const flags = driver.addresses.descriptors + 12;
    driver.memory.setUint16(flags, driver.memory.getUint16(flags, true) | INDIRECT, true);
    driver.offer(0);
    expect(() => ring.pop(chain)).toThrow(message);
  });

  test("more than 2^32 bytes in all", () => {
    const bytes = 2 ** 30;
    const buffer = new ArrayBuffer(BYTES);
    const driver = new DriverRing(new DataView(buffer), 8);
    const small = bufferRegion(0, BYTES, { buffer });
    const view = (offset: number, length: number) => {
      const shown = new Uint8Array(buffer, 0, Math.min(length, BYTES));
      if (offset === 0 && length === bytes)
        Object.defineProperty(shown, "length", { value: bytes });
      return shown;
    };
    const table = tableOf(small, { ...bufferRegion(bytes, 16, { buffer }), size: bytes, view });
    const { addresses } = driver;
    const ring = new Virtqueue(table, { name: "ring", entries: 8, addresses, base: 0 });
    for (let index = 0; index < 5; index++) {
      const flags = index < 4 ? NEXT : 0;
      driver.describe(index, { address: bytes, length: bytes, flags, next: index + 1 });
    }
    driver.offer(0);
    expect(() => ring.pop(new Chain(8))).toThrow("more than 2^32 bytes");
  });

  test("is refused if its parts are not in memory, or its size is invalid", () => {
    expect(() => ringOf(3)).toThrow("3 entries");
    expect(() => ringOf(0)).toThrow("0 entries");
    expect(() => ringOf(65_536)).toThrow("65536 entries");
    const far = { descriptors: 0, available: 0x1000, used: BYTES - 8 };
    expect(() => ringOf(4, { addresses: far })).toThrow("in no region");
    const odd = { descriptors: 0, available: 0x1001, used: 0x2000 };
    expect(() => ringOf(4, { addresses: odd })).toThrow("not aligned");
  });

  test("also when its memory goes", () => {
    const { ring, table, chain } = ringOf(4);
    table.replace([]);
    expect(() => ring.pop(chain)).toThrow("in no region");
    expect(() => ring.enableKicks()).toThrow("in no region");
    expect(() => ring.addUsed(0, 0)).toThrow("in no region");
  });
});

describe("signals", () => {
  const useOne = (ring: Virtqueue) => {
    ring.addUsed(0, 0);
    return ring.shouldSignal();
  };

  test("follow the guest's flag", () => {
    const { driver, ring } = ringOf(4);
    expect(ring.shouldSignal()).toBe(false);
    expect(useOne(ring)).toBe(true);
    expect(ring.shouldSignal()).toBe(false);
    driver.setFlags(1);
    expect(useOne(ring)).toBe(false);
    driver.setFlags(0);
    expect(useOne(ring)).toBe(true);
    expect(driver.usedIndex).toBe(3);
  });

  test("are sent if the ring ran empty and the guest wants that", () => {
    const { driver, ring } = ringOf(4, { notifyOnEmpty: true });
    driver.setFlags(1);
    expect(useOne(ring)).toBe(true);
    driver.describe(0, { address: DATA, length: 1 });
    driver.offer(0);
    expect(useOne(ring)).toBe(false);
  });

  test("follow the event index, over its end", () => {
    const { driver, ring } = ringOf(4, { eventIndex: true });
    driver.setFlags(1);
    for (let index = 0; index < 70_000; index++) {
      const isWanted = index % 3 === 1;
      driver.setUsedEvent(isWanted ? index : index + 1);
      if (useOne(ring) !== isWanted) throw new Error(`wrong at ${index}`);
    }
    driver.setUsedEvent(70_002);
    for (let index = 0; index < 4; index++) ring.addUsed(0, 0);
    expect(ring.shouldSignal()).toBe(true);
    driver.setUsedEvent(70_003);
    for (let index = 0; index < 4; index++) ring.addUsed(0, 0);
    expect(ring.shouldSignal()).toBe(false);
    for (let index = 0; index < 65_536; index++) ring.addUsed(0, 0);
    expect(ring.shouldSignal()).toBe(true);
  });

  test.each([false, true])("kicks are asked for, event index %p", (eventIndex) => {
    const { driver, ring, chain } = ringOf(4, { eventIndex });
    driver.describe(0, { address: DATA, length: 1 });
    ring.disableKicks();
    expect(driver.usedFlags).toBe(eventIndex ? 0 : 1);
    driver.offer(0);
    driver.offer(0);
    expect(ring.enableKicks()).toBe(true);
    expect(driver.usedFlags).toBe(0);
    expect(ring.pop(chain)).toBe(true);
    expect(ring.pop(chain)).toBe(true);
    expect(ring.enableKicks()).toBe(false);
    expect(driver.availableEvent).toBe(eventIndex ? 2 : 0);
    driver.setIndex(9);
    expect(() => ring.enableKicks()).toThrow("7 ahead");
  });
});
