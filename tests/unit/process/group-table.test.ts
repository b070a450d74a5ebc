import { expect, test } from "bun:test";
import fc from "fast-check";
import { GroupTable, groupsOfTable } from "../../../src/process/group-table.ts";

/** A table whose file is an array. */
function tableInMemory() {
  let file = new Uint8Array(0);
  const table = new GroupTable((bytes, offset) => {
    const longer = new Uint8Array(Math.max(file.length, offset + bytes.length));
    longer.set(file);
    longer.set(bytes, offset);
    file = longer;
  });
  return {
    table,
    groups: () => groupsOfTable(file).toSorted((a, b) => a - b),
    bytes: () => file.length,
  };
}

test("the file has the groups that were added and not removed, whatever the order", () => {
  const steps = fc.array(fc.tuple(fc.boolean(), fc.integer({ min: 2, max: 12 })));
  fc.assert(
    fc.property(steps, (commands) => {
      const { table, groups } = tableInMemory();
      const model = new Set<number>();
      for (const [adds, group] of commands) {
        if (adds) {
          table.add(group);
          model.add(group);
        } else {
          table.remove(group);
          model.delete(group);
        }
        expect(groups()).toEqual([...model].toSorted((a, b) => a - b));
        expect(table.size).toBe(model.size);
      }
    }),
  );
});

test("slots are used again: the file is as long as the most groups at once", () => {
  const { table, groups, bytes } = tableInMemory();
  for (let group = 2; group < 1000; group++) {
    table.add(group);
    table.add(group + 5000);
    table.remove(group);
    table.remove(group + 5000);
  }
  expect(groups()).toEqual([]);
  expect(bytes()).toBe(8);
});

test.each([
  [[], []],
  [[0, 0, 0], []],
  [
    [5, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 9, 9],
    [5, 2],
  ],
])("groups of the bytes %j", (bytes, groups) => {
  expect(groupsOfTable(Uint8Array.from(bytes))).toEqual(groups);
});
