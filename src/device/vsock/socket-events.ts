/** Epoll events of a connection's socket on the host; epoll_ctl(2). */
import { EPOLLERR, EPOLLET, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLRDHUP } from "../../ffi/epoll.ts";

/** Events that are watched on every socket. */
export const SOCKET_EVENTS = EPOLLIN | EPOLLRDHUP | EPOLLET;

/** {@link SOCKET_EVENTS}, and free space in the socket's buffer. */
export const WRITABLE_SOCKET_EVENTS = SOCKET_EVENTS | EPOLLOUT;

/** Returns whether the socket's peer has closed it altogether. */
export function hasPeerClosed(events: number): boolean {
  return (events & (EPOLLHUP | EPOLLERR)) !== 0;
}

/** Returns whether the socket's peer sends no more; bytes may still be unread. */
export function isEndOfInput(events: number): boolean {
  return (events & (EPOLLHUP | EPOLLERR | EPOLLRDHUP)) !== 0;
}

/** Returns whether a read finds bytes, the end of input or an error. */
export function isReadable(events: number): boolean {
  return (events & (EPOLLHUP | EPOLLERR | EPOLLRDHUP | EPOLLIN)) !== 0;
}

/** Returns whether a write does not have to wait: there is free space, or it fails. */
export function isWritable(events: number): boolean {
  return (events & (EPOLLHUP | EPOLLERR | EPOLLOUT)) !== 0;
}
