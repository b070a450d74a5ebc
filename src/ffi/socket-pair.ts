/** Two connected sockets: socketpair(2). */
import { FFIType } from "bun:ffi";
import { systemError } from "./errno.ts";
import { lastErrno, openLibc, ptr } from "./libc.ts";
import { AF_UNIX } from "./sockaddr.ts";
import { SOCK_STREAM } from "./socket.ts";

const { i32, pointer } = FFIType;

/** In a table of its own, since most commands do without it. */
const SYMBOLS = { socketpair: { args: [i32, i32, i32, pointer], returns: i32 } } as const;

const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;

/** Makes two connected Unix stream sockets, non-blocking and close-on-exec; they are the caller's. */
export function openSocketPair(): [number, number] {
  const ends = new Int32Array(2);
  const kind = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
  if (openLibc(SYMBOLS).socketpair(AF_UNIX, kind, 0, ptr(ends)) < 0) {
    throw systemError(lastErrno(), { operation: "open sockets", code: "IO" });
  }
  const [first = -1, second = -1] = ends;
  return [first, second];
}
