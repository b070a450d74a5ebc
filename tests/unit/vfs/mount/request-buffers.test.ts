import { expect, test } from "bun:test";
import { RequestBuffers } from "../../../../src/vfs/mount/request-buffers.ts";

test("a buffer that came back is used again", () => {
  const buffers = new RequestBuffers(100);
  const first = buffers.acquire();
  expect(first.length).toBe(100);
  expect(buffers.acquire()).not.toBe(first);
  buffers.release(first);
  expect(buffers.acquire()).toBe(first);
  expect(buffers.free).toBe(0);
});

test("a few of the buffers of a burst are kept", () => {
  const buffers = new RequestBuffers(10);
  const burst = Array.from({ length: 100 }, () => buffers.acquire());
  for (const buffer of burst) buffers.release(buffer);
  expect(buffers.free).toBe(4);
  const again = Array.from({ length: 5 }, () => buffers.acquire());
  expect(again.filter((buffer) => burst.includes(buffer)).length).toBe(4);
});
