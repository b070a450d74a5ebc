import { expect, test } from "bun:test";
import {
  listeningSockets,
  parseListeners,
  parseListeningSockets,
} from "../../../src/net/unix-sockets.ts";
import { ScratchDirectory } from "../../support/scratch-directory.ts";

test("only listening sockets with absolute paths count, blanks and all", () => {
  const text = `Num       RefCount Protocol Flags    Type St Inode Path
00000000c0e6924b: 00000002 00000000 00010000 0001 01 5152818 /tmp/a b.ctl
00000000676e9769: 00000003 00000000 00000000 0001 03 5152819 /tmp/connected
00000000f0a250dd: 00000003 00000000 00000000 0001 03  1599
00000000f0a250de: 00000002 00000000 00010000 0005 01    12 /tmp/seqpacket
00000000f0a250df: 00000002 00000000 00010000 0001 01  1600 @/abstract
00000000f0a250e0: 00000002 00000000 00010000 0001 01  1601 relative
nonsense
`;
  expect(parseListeningSockets(text)).toEqual(["/tmp/a b.ctl", "/tmp/seqpacket"]);
  expect(parseListeners(text)).toEqual([
    { path: "/tmp/a b.ctl", inode: 5152818 },
    { path: "/tmp/seqpacket", inode: 12 },
  ]);
  expect(parseListeningSockets("")).toEqual([]);
});

test("the kernel's own list has ours", () => {
  using scratch = new ScratchDirectory();
  const path = scratch.file("a b.sock");
  const server = Bun.listen({ unix: path, socket: { data() {} } });
  expect(listeningSockets()).toContain(path);
  server.stop(true);
  expect(listeningSockets()).not.toContain(path);
});
