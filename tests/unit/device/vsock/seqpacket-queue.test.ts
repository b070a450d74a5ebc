import { expect, test } from "bun:test";
import { BufferPool } from "../../../../src/device/vsock/buffer-pool.ts";
import { SeqpacketQueue } from "../../../../src/device/vsock/seqpacket-queue.ts";
import { FakeMappings } from "../../../support/fake-mappings.ts";
import { Random } from "../../../fuzz/random.ts";

const sourceOf = (bytes: Uint8Array) => ({
  copyTo(target: Uint8Array, skip: number) {
    target.set(bytes.subarray(skip, skip + target.length));
  },
});

test("records come out as they went in, in pieces of any size", () => {
  const random = new Random();
  random.begin(3, 1);
  const capacity = 100;
  const queue = new SeqpacketQueue(new BufferPool(), capacity);
  const model: { bytes: number[]; hasEnd: boolean }[] = [];
  let unfinished: number[] = [];
  let byte = 0;
  let most = 0;
  for (let step = 0; step < 20_000; step++) {
    const used = model.reduce((sum, { bytes }) => sum + bytes.length, unfinished.length);
    const choice = random.below(8);
    if (choice < 4 && used < capacity) {
      const length = 1 + random.below(Math.min(capacity - used, random.below(40) === 0 ? 60 : 2));
      const piece = new Uint8Array(length).map(() => byte++);
      queue.push(sourceOf(piece), length);
      unfinished.push(...piece);
    } else if (choice < 6 && unfinished.length > 0) {
      const hasEnd = random.below(2) === 0;
      queue.finish(hasEnd);
      model.push({ bytes: unfinished, hasEnd });
      unfinished = [];
    } else if (choice === 6 && random.below(10) === 0) {
      expect(queue.dropIncomplete()).toBe(unfinished.length);
      unfinished = [];
    } else if (step % 500 > 250) {
      const record = model.shift();
      if (record === undefined) continue;
      expect([...queue.first()]).toEqual(record.bytes);
      expect(queue.firstHasEor).toBe(record.hasEnd);
      expect(queue.shift()).toBe(record.bytes.length);
    }
    expect(queue.records).toBe(model.length);
    most = Math.max(most, model.length);
  }
  expect(most).toBeGreaterThan(16);
});

test("a queue that is cleared has neither records nor memory", () => {
  const memory = new FakeMappings();
  const pool = new BufferPool(memory.map);
  const queue = new SeqpacketQueue(pool, 100);
  queue.push(sourceOf(Uint8Array.of(1, 2)), 2);
  queue.finish(true);
  queue.push(sourceOf(Uint8Array.of(3)), 1);
  queue.clear();
  expect([queue.records, queue.dropIncomplete(), pool.unusedBytes]).toEqual([0, 0, 100]);
  queue.push(sourceOf(Uint8Array.of(4)), 1);
  queue.finish(false);
  expect([[...queue.first()], queue.firstHasEor, queue.shift()]).toEqual([[4], false, 1]);
});
