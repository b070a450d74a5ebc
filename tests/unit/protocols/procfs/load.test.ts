import { expect, test } from "bun:test";
import { parseLoad, parseUptime } from "../../../../src/protocols/procfs/load.ts";

test("the load has three means", () => {
  expect(parseLoad("7.28 5.95 3.73 5/184 29405\n")).toEqual([7.28, 5.95, 3.73]);
  for (const broken of ["", "1 2", "1 x 3", "a 2 3", "1 2 c", "-1 2 3"])
    expect(parseLoad(broken)).toBeUndefined();
});

test("the uptime is the first number", () => {
  expect(parseUptime("26291.28 21466.62\n")).toBe(26_291.28);
  for (const broken of ["", "x 1", "-1 2"]) expect(parseUptime(broken)).toBeUndefined();
});
