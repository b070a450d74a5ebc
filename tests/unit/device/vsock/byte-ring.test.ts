import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { BufferPool } from "../../../../src/device/vsock/buffer-pool.ts";
import { ByteRing } from "../../../../src/device/vsock/byte-ring.ts";
import { FakeMappings } from "../../../support/fake-mappings.ts";

const CAPACITY = 8;

const ringOf = (limit = () => CAPACITY, memory = new FakeMappings()) =>
  new ByteRing(new BufferPool(memory.map), limit);

/** A packet that is copied as guest memory is: exactly as many bytes as fit into the target. */
const packet = (bytes: readonly number[]) => ({
  copyTo(target: Uint8Array, skip: number) {
    const part = bytes.slice(skip, skip + target.length);
    if (part.length !== target.length) throw new RangeError("read beyond the packet");
    target.set(part);
  },
});

test("bytes leave a ring in their order, however they are added, read and dropped", () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.constantFrom("push", "shift", "drop"), fc.nat(CAPACITY), fc.nat(3))),
      (steps) => {
        const ring = ringOf();
        let model: number[] = [];
        let next = 0;
        for (const [step, wanted, skip] of steps) {
          const length = Math.min(wanted, step === "push" ? CAPACITY - model.length : model.length);
          if (step === "push") {
            const bytes = Array.from({ length: skip + length }, () => next++ % 256);
            ring.push(packet(bytes), skip, length);
            model.push(...bytes.slice(skip));
          } else if (step === "shift") {
            expect([...ring.first(length)]).toEqual(model.slice(0, length));
            ring.shift(length);
            model = model.slice(length);
          } else {
            ring.drop(length);
            model = model.slice(0, model.length - length);
          }
          expect(ring.count).toBe(model.length);
          expect([...ring.first(model.length)]).toEqual(model);
          const piece = [...ring.piece(wanted)];
          expect(piece).toEqual(model.slice(0, piece.length));
          if (model.length > 0 && wanted > 0) expect(piece.length).toBeGreaterThan(0);
        }
      },
    ),
  );
});

test("a ring moves to more memory when its limit grows, and keeps the order of its bytes", () => {
  const memory = new FakeMappings();
  const pool = new BufferPool(memory.map);
  let limit = CAPACITY;
  const ring = new ByteRing(pool, () => limit);
  ring.push(packet([1, 2, 3, 4, 5, 6]), 0, 6);
  ring.shift(4);
  ring.push(packet([7, 8, 9, 10, 11]), 0, 5);
  expect(ring.capacity).toBe(CAPACITY);
  limit = 37;
  ring.push(packet(Array.from({ length: 30 }, (_, index) => index)), 0, 30);
  expect([...ring.piece()]).toEqual([
    ...[5, 6, 7, 8, 9, 10, 11],
    ...Array.from({ length: 30 }, (_, index) => index),
  ]);
  expect([ring.capacity, pool.unusedBytes]).toEqual([37, CAPACITY]);
  expect(() => ring.push(packet([1]), 0, 1)).toThrow(RangeError);
  ring.shift(37);
  expect([ring.count, ring.capacity, pool.unusedBytes]).toEqual([0, 0, CAPACITY + 37]);
});

test.each([1, 7, 100_000, 65_537])("a limit of %p bytes is the size of its memory", (limit) => {
  const ring = ringOf(() => limit);
  const source = { copyTo: (target: Uint8Array) => void target.fill(7) };
  ring.push(source, 0, 1);
  if (limit > 1) ring.push(source, 0, limit - 1);
  expect([ring.count, ring.capacity]).toEqual([limit, limit]);
  expect(() => ring.push(source, 0, 1)).toThrow(RangeError);
  expect(ring.count).toBe(limit);
});

test("a ring without bytes has no memory", () => {
  const memory = new FakeMappings();
  const pool = new BufferPool(memory.map);
  const ring = new ByteRing(pool, () => CAPACITY);
  ring.push(packet([]), 0, 0);
  ring.compact();
  expect([memory.made, ring.capacity]).toEqual([[], 0]);
  for (const empty of [() => ring.shift(2), () => ring.drop(2), () => ring.clear()]) {
    ring.push(packet([1, 2]), 0, 2);
    expect([ring.capacity, pool.unusedBytes]).toEqual([CAPACITY, 0]);
    empty();
    expect([ring.count, ring.capacity, pool.unusedBytes]).toEqual([0, 0, CAPACITY]);
  }
  ring.clear();
  expect([memory.made, pool.unusedBytes]).toEqual([[CAPACITY], CAPACITY]);
});

describe("a ring at rest", () => {
  const KIB = 1024;
  const source = (byte: number) => ({ copyTo: (target: Uint8Array) => void target.fill(byte) });

  test("has new memory for its last bytes, if 64 KiB or more of the old one hold none", () => {
    const memory = new FakeMappings();
    const pool = new BufferPool(memory.map);
    const ring = new ByteRing(pool, () => 256 * KIB);
    ring.push(source(1), 0, 200 * KIB);
    ring.push(source(2), 0, 56 * KIB);
    ring.shift(64 * KIB - 1);
    ring.compact();
    expect(memory.made).toHaveLength(1);
    ring.shift(1);
    const before = Uint8Array.from(ring.first(ring.count));
    ring.compact();
    expect([memory.made.length, memory.sizes, pool.unusedBytes]).toEqual([2, [256 * KIB], 0]);
    expect(Buffer.compare(ring.first(ring.count), before)).toBe(0);
    expect(ring.piece()).toHaveLength(192 * KIB);
    // Nothing has been read since.
    ring.compact();
    expect(memory.made).toHaveLength(2);
    ring.push(source(3), 0, 64 * KIB);
    ring.shift(64 * KIB);
    ring.compact();
    expect(memory.made).toHaveLength(3);
    expect([ring.first(ring.count)[0], ring.first(ring.count).at(-1)]).toEqual([1, 3]);
  });

  test("does not keep memory that another ring has used", () => {
    const memory = new FakeMappings();
    const pool = new BufferPool(memory.map);
    pool.give(pool.take(256 * KIB));
    const ring = new ByteRing(pool, () => 256 * KIB);
    ring.push(source(1), 0, 10);
    ring.compact();
    expect([memory.made.length, memory.sizes, ring.count]).toEqual([2, [256 * KIB], 10]);
  });

  test("without memory has nothing to do", () => {
    const memory = new FakeMappings();
    ringOf(() => CAPACITY, memory).compact();
    expect(memory.made).toEqual([]);
  });
});

test("bytes that are added to an empty ring are in one piece", () => {
  const ring = ringOf();
  for (let round = 0; round < 3; round++) {
    ring.push(packet([1, 2, 3, 4, 5]), 0, 5);
    expect([...ring.piece()]).toEqual([1, 2, 3, 4, 5]);
    ring.shift(5);
  }
  ring.push(packet([1, 2, 3, 4, 5, 6, 7, 8]), 0, 8);
  expect([...ring.piece()]).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
});

test("bytes that wrap around are read in one copy, or in two pieces", () => {
  const ring = ringOf();
  ring.push(packet([1, 2, 3, 4, 5, 6]), 0, 6);
  ring.shift(4);
  ring.push(packet([0, 7, 8, 9, 10]), 1, 4);
  expect([...ring.first(6)]).toEqual([5, 6, 7, 8, 9, 10]);
  expect([...ring.piece()]).toEqual([5, 6, 7, 8]);
  ring.shift(4);
  expect([...ring.piece()]).toEqual([9, 10]);
});
