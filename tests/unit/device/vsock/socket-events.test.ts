import { expect, test } from "bun:test";
import {
  EPOLLERR,
  EPOLLET,
  EPOLLHUP,
  EPOLLIN,
  EPOLLOUT,
  EPOLLRDHUP,
} from "../../../../src/ffi/epoll.ts";
import {
  isEndOfInput,
  hasPeerClosed,
  isReadable,
  isWritable,
  SOCKET_EVENTS,
  WRITABLE_SOCKET_EVENTS,
} from "../../../../src/device/vsock/socket-events.ts";

test.each([
  ["no event", 0, []],
  ["bytes", EPOLLIN, ["readable"]],
  ["free space", EPOLLOUT, ["writable"]],
  ["a peer that has shut down sending", EPOLLRDHUP, ["readable", "end"]],
  ["a peer that has closed", EPOLLHUP, ["readable", "writable", "end", "closed"]],
  ["an error", EPOLLERR, ["readable", "writable", "end", "closed"]],
])("%s", (_, events, expected) => {
  const found = [
    ...(isReadable(events) ? ["readable"] : []),
    ...(isWritable(events) ? ["writable"] : []),
    ...(isEndOfInput(events) ? ["end"] : []),
    ...(hasPeerClosed(events) ? ["closed"] : []),
  ];
  expect(found).toEqual(expected);
});

test("sockets are watched edge-triggered, for free space only on request", () => {
  expect(SOCKET_EVENTS >>> 0).toBe(EPOLLIN + EPOLLRDHUP + EPOLLET);
  expect(WRITABLE_SOCKET_EVENTS >>> 0).toBe(EPOLLIN + EPOLLOUT + EPOLLRDHUP + EPOLLET);
});
