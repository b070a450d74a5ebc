import { describe, expect, test } from "bun:test";
import { BufferPool, KEPT_BYTES } from "../../../../src/device/vsock/buffer-pool.ts";
import { FakeMappings } from "../../../support/fake-mappings.ts";

const MIB = 1024 * 1024;

describe("a pool of buffers", () => {
  test("returns the mapping of the same size that was used last", () => {
    const memory = new FakeMappings();
    const pool = new BufferPool(memory.map);
    const [first, second, other] = [pool.take(10), pool.take(10), pool.take(20)];
    for (const mapping of [first, second, other]) pool.give(mapping);
    expect(pool.unusedBytes).toBe(40);
    expect(pool.take(10)).toBe(second);
    expect(pool.take(10)).toBe(first);
    expect(pool.unusedBytes).toBe(20);
    expect(pool.take(10)).not.toBe(first);
    expect(pool.take(20)).toBe(other);
    expect([memory.made, pool.unusedBytes]).toEqual([[10, 10, 20, 10], 0]);
  });

  test("keeps 8 MiB, and unmaps what is returned beyond that", () => {
    expect(KEPT_BYTES).toBe(8 * MIB);
    const memory = new FakeMappings();
    const pool = new BufferPool(memory.map);
    const used = Array.from({ length: 64 }, () => pool.take(MIB));
    for (const mapping of used) pool.give(mapping);
    expect([memory.sizes.length, pool.unusedBytes]).toEqual([8, KEPT_BYTES]);
    const small = pool.take(1);
    pool.give(small);
    expect(memory.sizes).not.toContain(1);
  });

  test("unmaps all that is unused when it is trimmed, and nothing that is used", () => {
    const memory = new FakeMappings();
    const pool = new BufferPool(memory.map);
    const [used, unused] = [pool.take(30), pool.take(40)];
    pool.give(unused);
    pool.trim();
    expect([memory.sizes, pool.unusedBytes]).toEqual([[30], 0]);
    pool.give(used);
    expect(pool.take(40)).not.toBe(unused);
    expect(pool.take(30)).toBe(used);
  });

  test("has mappings that no one has written, even if others are kept", () => {
    const memory = new FakeMappings();
    const pool = new BufferPool(memory.map);
    const kept = pool.take(10);
    pool.give(kept);
    expect(pool.takeUntouched(10)).not.toBe(kept);
    expect(pool.unusedBytes).toBe(10);
  });
});
