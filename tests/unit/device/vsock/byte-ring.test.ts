import { expect, test } from "bun:test";
import fc from "fast-check";
import { ByteRing } from "../../../../src/device/vsock/byte-ring.ts";

const CAPACITY = 8;

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
        const ring = new ByteRing(CAPACITY);
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

test("a ring grows for bytes that do not fit, and keeps their order", () => {
  const ring = new ByteRing(CAPACITY);
  ring.push(packet([1, 2, 3, 4, 5, 6]), 0, 6);
  ring.shift(4);
  ring.push(packet([7, 8, 9, 10, 11]), 0, 5);
  expect([...ring.first(7)]).toEqual([5, 6, 7, 8, 9, 10, 11]);
  ring.push(packet(Array.from({ length: 30 }, (_, index) => index)), 0, 30);
  expect([...ring.piece()]).toEqual([
    ...[5, 6, 7, 8, 9, 10, 11],
    ...Array.from({ length: 30 }, (_, index) => index),
  ]);
  ring.shift(37);
  expect([ring.count, ring.capacity]).toEqual([0, 0]);
  ring.push(packet([1]), 0, 1);
  expect(ring.capacity).toBe(CAPACITY);
  ring.drop(1);
  expect(ring.capacity).toBe(CAPACITY);
});

test("bytes that are added to an empty ring are in one piece", () => {
  const ring = new ByteRing(CAPACITY);
  for (let round = 0; round < 3; round++) {
    ring.push(packet([1, 2, 3, 4, 5]), 0, 5);
    expect([...ring.piece()]).toEqual([1, 2, 3, 4, 5]);
    ring.shift(5);
  }
  ring.push(packet([1, 2, 3, 4, 5, 6, 7, 8]), 0, 8);
  expect([...ring.piece()]).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
});

test("bytes that wrap around are read in one copy, or in two pieces", () => {
  const ring = new ByteRing(CAPACITY);
  ring.push(packet([1, 2, 3, 4, 5, 6]), 0, 6);
  ring.shift(4);
  ring.push(packet([0, 7, 8, 9, 10]), 1, 4);
  expect([...ring.first(6)]).toEqual([5, 6, 7, 8, 9, 10]);
  expect([...ring.piece()]).toEqual([5, 6, 7, 8]);
  ring.shift(4);
  expect([...ring.piece()]).toEqual([9, 10]);
});
