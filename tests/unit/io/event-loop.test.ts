import { expect, test } from "bun:test";
import { EPOLLET, EPOLLIN } from "../../../src/ffi/epoll.ts";
import { openEvent, signalEvent } from "../../../src/ffi/eventfd.ts";
import { closeDescriptor } from "../../../src/ffi/socket.ts";
import { EventLoop } from "../../../src/io/event-loop.ts";

test("events of a closed descriptor are not those of the next one with its number", () => {
  const loop = new EventLoop();
  const fds = [openEvent(), openEvent()];
  let others = 0;
  for (const [index, fd] of fds.entries()) {
    signalEvent(fd);
    loop.add(fd, EPOLLIN, () => {
      const other = fds[1 - index] ?? -1;
      loop.remove(other);
      closeDescriptor(other);
      const reused = openEvent();
      expect(reused).toBe(other);
      loop.add(reused, EPOLLIN, () => others++);
    });
  }
  expect(loop.round(0)).toBe(true);
  expect(others).toBe(0);
  for (const fd of fds) closeDescriptor(fd);
});

test("a descriptor that is not watched any more is not polled", () => {
  const loop = new EventLoop();
  const fd = openEvent();
  let seen = 0;
  loop.add(fd, EPOLLIN, () => seen++);
  signalEvent(fd);
  loop.round(0);
  loop.remove(fd);
  loop.remove(fd);
  expect(loop.round(0)).toBe(false);
  expect(seen).toBe(1);
  closeDescriptor(fd);
});

/** How many rounds there are until `time`, where each of them wishes as told. */
async function rounds(milliseconds: number, wish: (loop: EventLoop, now: number) => void) {
  const loop = new EventLoop();
  const end = performance.now() + milliseconds;
  let count = 0;
  loop.eachRound(() => {
    const now = performance.now();
    count++;
    if (now >= end) loop.stop();
    else wish(loop, now);
  });
  await loop.run();
  loop.close();
  return count;
}

test("a loop wakes for the earliest wish, and more often the earlier it is", async () => {
  const calm = await rounds(600, () => {});
  const wishing = await rounds(600, (loop, now) => {
    loop.noLaterThan(now + 5000);
    loop.noLaterThan(now + 5);
    loop.noLaterThan(now + 1000);
  });
  expect(wishing).toBeGreaterThan(calm * 2);
});

test("a loop does not spin before a wish's time, nor after it was met", async () => {
  let [wished, met] = [0, 0];
  const count = await rounds(400, (loop, now) => {
    wished ||= now + 250;
    if (now < wished) loop.noLaterThan(wished);
    else met ||= now;
  });
  expect(met).toBeGreaterThanOrEqual(wished);
  expect(count).toBeLessThan(20);
});

test("a deadline in the past does not make the loop spin", async () => {
  let wished = false;
  const count = await rounds(300, (loop) => {
    if (!wished) loop.noLaterThan(-1);
    wished = true;
  });
  expect(count).toBeLessThan(20);
});

test("a loop reports once, after events, that it is idle", async () => {
  const loop = new EventLoop();
  const fd = openEvent();
  const seen: string[] = [];
  loop.add(fd, EPOLLIN | EPOLLET, () => seen.push("event"));
  signalEvent(fd);
  let quiet = 0;
  loop.whenIdle(() => {
    seen.push("idle");
    if (seen.length === 2) signalEvent(fd);
  });
  loop.eachRound(() => {
    quiet = seen.length === 4 ? quiet + 1 : 0;
    if (quiet === 3) loop.stop();
  });
  await loop.run();
  loop.close();
  expect(seen).toEqual(["event", "idle", "event", "idle"]);
  closeDescriptor(fd);
});
