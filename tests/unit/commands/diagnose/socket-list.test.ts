import { describe, expect, test } from "bun:test";
import {
  compareSockets,
  type ListedSocket,
  matchesFilter,
  socketJson,
  socketLines,
} from "../../../../src/commands/diagnose/socket-list.ts";

import { expectShape, shapeOf } from "../../../support/json-shapes.ts";

const NO_END = { cid: undefined, port: undefined };

function socket(fields: Partial<ListedSocket>): ListedSocket {
  return {
    ...{ type: "stream", state: "established", inode: 7, uid: 0, processes: [] },
    ...{ local: { cid: 3, port: 5000 }, peer: { cid: 2, port: 9999 } },
    ...{ isReceiveShutdown: false, isSendShutdown: false },
    ...fields,
  };
}

const listener = (port: number) =>
  socket({ state: "listening", local: { cid: undefined, port }, peer: NO_END });

describe("a filter of sockets", () => {
  const all = { states: [], cid: undefined, port: undefined };

  test.each([
    [{ ...all }, true],
    [{ ...all, states: ["closed", "established"] }, true],
    [{ ...all, states: ["listening"] }, false],
    [{ ...all, cid: 3 }, true],
    [{ ...all, cid: 2 }, true],
    [{ ...all, cid: 4 }, false],
    [{ ...all, port: 5000 }, true],
    [{ ...all, port: 9999 }, true],
    [{ ...all, port: 1 }, false],
    [{ states: ["established"], cid: 2, port: 5000 }, true],
    [{ states: ["established"], cid: 2, port: 1 }, false],
    [{ states: ["listening"], cid: 2, port: 5000 }, false],
    [{ states: ["established"], cid: 9, port: 5000 }, false],
  ])("%p", (filter, isMatch) => {
    expect(matchesFilter(socket({}), filter)).toBe(isMatch);
  });
});

test("sockets are ordered: listening, local port, local CID, peer, inode", () => {
  const ordered = [
    listener(52),
    listener(5000),
    socket({ local: { cid: 3, port: 5000 }, peer: { cid: 2, port: 1 }, inode: 2 }),
    socket({ local: { cid: 3, port: 5000 }, peer: { cid: 2, port: 1 }, inode: 3 }),
    socket({ local: { cid: 3, port: 5000 }, peer: { cid: 2, port: 2 }, inode: 1 }),
    socket({ local: { cid: 3, port: 5000 }, peer: { cid: 4, port: 1 }, inode: 1 }),
    socket({ local: { cid: undefined, port: 5000 }, inode: 1 }),
    socket({ local: { cid: 1, port: 6000 }, inode: 1 }),
    socket({ local: NO_END, peer: NO_END, inode: 1 }),
  ];
  expect(ordered.toReversed().sort(compareSockets)).toEqual(ordered);
  const shuffled = [4, 0, 7, 2, 8, 5, 1, 3, 6].flatMap((at) => ordered.slice(at, at + 1));
  expect(shuffled.sort(compareSockets)).toEqual(ordered);
});

describe("the table of sockets", () => {
  test("has ends, users and processes", () => {
    const processes = [
      { pid: 12, name: "vsockbox", fd: 5 },
      { pid: 13, name: "sh", fd: 0 },
    ];
    const lines = socketLines(
      [listener(5000), socket({ processes, uid: 1000 }), socket({ uid: undefined })],
      (uid) => (uid === 0 ? "root" : undefined),
    );
    expect(lines).toEqual([
      "TYPE    STATE        LOCAL   PEER    USER  PROCESS",
      "stream  listening    *:5000  *:*     root  -",
      "stream  established  3:5000  2:9999  1000  vsockbox (pid 12, fd 5), sh (pid 13, fd 0)",
      "stream  established  3:5000  2:9999  -     -",
    ]);
  });

  test.each([
    [true, true, "established (shut down)"],
    [true, false, "established (receive shut down)"],
    [false, true, "established (send shut down)"],
  ])(
    "names the directions that are shut down: %p %p",
    (isReceiveShutdown, isSendShutdown, state) => {
      const [, line = ""] = socketLines([socket({ isReceiveShutdown, isSendShutdown })], () => "u");
      expect(line).toBe(`stream  ${state}  3:5000  2:9999  u     -`);
    },
  );
});

test("the JSON of a socket has null for absent values", () => {
  expect(socketJson({ ...listener(5000), uid: undefined })).toEqual({
    ...{ type: "stream", state: "listening", inode: 7, uid: null, processes: [] },
    ...{ local_cid: null, local_port: 5000, peer_cid: null, peer_port: null },
    ...{ receive_shutdown: false, send_shutdown: false },
  });
  const whole = socketJson(socket({ isSendShutdown: true, uid: 5 }));
  expect(whole).toMatchObject({ local_cid: 3, peer_cid: 2, peer_port: 9999, uid: 5 });
  expect(whole).toMatchObject({ receive_shutdown: false, send_shutdown: true });
  expect(socketJson(socket({ isReceiveShutdown: true }))).toMatchObject({ receive_shutdown: true });
  expectShape(whole, shapeOf("sockets"));
});
