import { expect, test } from "bun:test";
import { locateVms } from "../../../../src/device/config/yaml-lines.ts";

const located = (...lines: string[]) =>
  locateVms(lines.join("\n")).map(({ line, keys }) => [line, Object.fromEntries(keys)]);

test("VMs and their keys are found with their lines, counted from 1", () => {
  expect(
    located("# a file", "vms:", "  - socket: /a", "    guest_cid: 3", "", "  - socket: /b"),
  ).toEqual([
    [3, { socket: [3], "guest-cid": [4] }],
    [6, { socket: [6] }],
  ]);
});

test("a key that is there twice has both lines, however it is written", () => {
  expect(located("vms:", "- guest_cid: 3", "  'guest-cid': 4", '  "guest_cid" : 5')).toEqual([
    [2, { "guest-cid": [2, 3, 4] }],
  ]);
});

test("keys above, below and beside the list, or deeper in a VM, are not those of a VM", () => {
  expect(
    located(
      "socket: /x",
      "vms:",
      "- socket: /a",
      "  more:",
      "    socket: /c",
      "other:",
      "  socket: /d",
    ),
  ).toEqual([[3, { socket: [3], more: [4] }]]);
});

test("a list in a VM has no VMs in it, and a list of another key neither", () => {
  expect(located("vms:", "- a:", "    - b: 1", "- c: 2", "others:", "- d: 3")).toEqual([
    [2, { a: [2] }],
    [4, { c: [4] }],
  ]);
});

test("comments, blank lines and all ends of lines are allowed", () => {
  expect(locateVms('"vms": # all\r\n# no\r\n\r\n- a: 1\r  b: 2').map(({ line }) => line)).toEqual([
    4,
  ]);
  expect(located("vms: [{a: 1}]", "- b: 2")).toEqual([]);
  expect(located("")).toEqual([]);
});
