import { expect, test } from "bun:test";
import { EPOLLIN } from "../../../src/ffi/epoll.ts";
import { openEvent, signalEvent } from "../../../src/ffi/eventfd.ts";
import { closeDescriptor } from "../../../src/ffi/socket.ts";
import { EventLoop } from "../../../src/vhost/event-loop.ts";

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

test("a descriptor that is watched no more is not looked at", () => {
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
