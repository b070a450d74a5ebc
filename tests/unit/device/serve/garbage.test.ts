import { expect, test } from "bun:test";
import { ConnectionGarbage, CONNECTIONS_TO_COLLECT } from "../../../../src/device/serve/garbage.ts";

test("garbage is collected once for each 256 connections or more", () => {
  expect(CONNECTIONS_TO_COLLECT).toBe(256);
  const garbage = new ConnectionGarbage();
  expect([0, 255, 256, 256, 511, 600, 855, 856].map((opened) => garbage.isDue(opened))).toEqual([
    ...[false, false, true, false],
    ...[false, true, false, true],
  ]);
});
