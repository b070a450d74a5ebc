import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  type BudgetShare,
  defaultBudgetBytes,
  MemoryBudget,
} from "../../../../src/agent/channel/memory-budget.ts";

/** A holder that shrinks, as kept output does. */
function shrinkable(budget: MemoryBudget): BudgetShare {
  const share: BudgetShare = budget.share((bytes) => void share.resize(bytes));
  return share;
}

describe("the limit of an agent that has none configured", () => {
  const MIB = 1024 * 1024;
  test.each([
    ["an eighth of the memory of the kernel", 4096 * MIB, 0, 512 * MIB],
    ["an eighth of the memory of the control group", 4096 * MIB, 1024 * MIB, 128 * MIB],
    ["not more than there is, if the control group may use more", 512 * MIB, 8192 * MIB, 64 * MIB],
    ["whole bytes", 64 * MIB + 7, 0, 8 * MIB],
    ["at least 4 MiB", 16 * MIB, 0, 4 * MIB],
  ])("is %s", (_, total, constrained, expected) => {
    expect(defaultBudgetBytes(total, constrained)).toBe(expected);
  });
});

describe("a budget", () => {
  test("lets a single holder have half of it", () => {
    const budget = new MemoryBudget(100);
    const share = budget.share();
    expect(share.resize(50)).toBe(true);
    expect(share.resize(51)).toBe(false);
    expect([share.bytes, budget.usedBytes]).toEqual([50, 50]);
  });

  test("is shared equally by holders that need everything, and has a part for a later one", () => {
    const budget = new MemoryBudget(1000);
    const grow = (share: BudgetShare) => {
      while (share.resize(share.bytes + 1));
    };
    const greedy = [budget.share(), budget.share(), budget.share()];
    for (const share of greedy) grow(share);
    const late = budget.share();
    expect(late.resize(1)).toBe(true);
    grow(late);
    expect(late.bytes).toBeGreaterThan(30);
    expect(budget.usedBytes).toBeLessThan(1000);
  });

  test("can always be returned, and is free again for others", () => {
    const budget = new MemoryBudget(100);
    const first = budget.share();
    const second = budget.share();
    first.resize(50);
    expect(second.resize(50)).toBe(false);
    expect(first.resize(10)).toBe(true);
    expect(second.resize(45)).toBe(true);
    second.release();
    expect([second.bytes, budget.usedBytes]).toEqual([0, 10]);
    expect(second.resize(1000)).toBe(true);
    expect([second.bytes, budget.usedBytes]).toEqual([0, 10]);
    second.release();
    expect(budget.usedBytes).toBe(10);
  });

  test("shrinks kept output for other holders, the largest first", () => {
    const budget = new MemoryBudget(100);
    const small = shrinkable(budget);
    const large = shrinkable(budget);
    expect([small.resize(10), large.resize(40)]).toEqual([true, true]);
    const session = budget.share();
    expect(session.resize(40)).toBe(true);
    expect([small.bytes, large.bytes, session.bytes]).toEqual([10, 10, 40]);
    expect(session.resize(50)).toBe(true);
    expect([small.bytes, large.bytes, budget.usedBytes]).toEqual([0, 0, 50]);
    expect(session.resize(51)).toBe(false);
  });

  test("does not shrink smaller output for larger output", () => {
    const budget = new MemoryBudget(100);
    const small = shrinkable(budget);
    const large = shrinkable(budget);
    small.resize(20);
    expect(large.resize(40)).toBe(true);
    expect(large.resize(41)).toBe(false);
    expect([small.bytes, large.bytes]).toEqual([20, 40]);
    expect(small.resize(30)).toBe(true);
    expect(small.bytes).toBe(30);
    expect(large.bytes).toBe(40);
    expect(small.resize(32)).toBe(true);
    expect([small.bytes, large.bytes]).toEqual([32, 36]);
  });

  test("can be used to the last byte, and shrinks kept output to nothing", () => {
    const budget = new MemoryBudget(5);
    const tiny = shrinkable(budget);
    expect(tiny.resize(1)).toBe(true);
    const session = budget.share();
    expect(session.resize(2)).toBe(true);
    expect([tiny.bytes, session.bytes]).toEqual([1, 2]);
    expect(session.resize(3)).toBe(false);
    const even = new MemoryBudget(4);
    const kept = shrinkable(even);
    kept.resize(1);
    const other = even.share();
    expect(other.resize(2)).toBe(true);
    expect(kept.bytes).toBe(0);
  });

  test("does not shrink a holder that has more than is free now", () => {
    const budget = new MemoryBudget(100);
    const first = budget.share();
    const second = budget.share();
    expect([first.resize(50), second.resize(25)]).toEqual([true, true]);
    expect([first.resize(50), first.resize(51), first.resize(49)]).toEqual([true, false, true]);
  });

  test("shrinks the older one of two outputs of the same size", () => {
    const budget = new MemoryBudget(100);
    const older = shrinkable(budget);
    const newer = shrinkable(budget);
    expect([older.resize(30), newer.resize(30)]).toEqual([true, true]);
    expect(budget.share().resize(25)).toBe(true);
    expect([older.bytes, newer.bytes]).toEqual([20, 30]);
  });

  test("asks no output to shrink for another one of the size that it has itself", () => {
    const budget = new MemoryBudget(100);
    const asked: number[] = [];
    const kept = budget.share((bytes) => void asked.push(bytes));
    const other = shrinkable(budget);
    expect([kept.resize(40), other.resize(30), other.resize(40)]).toEqual([true, true, false]);
    expect(asked).toEqual([]);
  });

  test("may be released twice, and counts nothing for a holder afterwards", () => {
    const budget = new MemoryBudget(100);
    const [first, second] = [budget.share(), budget.share()];
    expect([first.resize(20), second.resize(20)]).toEqual([true, true]);
    first.release();
    first.release();
    expect([first.bytes, budget.usedBytes]).toEqual([0, 20]);
  });

  test("of a holder that does not shrink though it should is not waited for", () => {
    const budget = new MemoryBudget(100);
    const stubborn = budget.share(() => undefined);
    stubborn.resize(50);
    expect(budget.share().resize(30)).toBe(false);
  });

  test("is never exceeded, and adds up, whatever is asked for", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(9), fc.nat(2000), fc.boolean()), { maxLength: 200 }),
        (steps) => {
          const budget = new MemoryBudget(1000);
          const shares = Array.from({ length: 10 }, (_, index) =>
            index % 2 === 0 ? shrinkable(budget) : budget.share(),
          );
          for (const [index, bytes, isRelease] of steps) {
            const share = shares[index];
            const before = share?.bytes;
            if (isRelease && bytes % 10 === 0) share?.release();
            else if (share?.resize(bytes) === false) expect(share.bytes).toBe(before ?? 0);
            const sum = shares.reduce((total, { bytes: held }) => total + held, 0);
            expect(sum).toBe(budget.usedBytes);
            expect(budget.usedBytes).toBeLessThanOrEqual(1000);
          }
        },
      ),
    );
  });
});
