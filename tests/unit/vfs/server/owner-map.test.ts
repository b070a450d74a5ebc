import { describe, expect, test } from "bun:test";
import {
  checkIdPairs,
  OwnerMap,
  readIdPair,
  readOwner,
  UNCHANGED,
} from "../../../../src/vfs/server/owner-map.ts";

describe("owners", () => {
  test("are the same on both sides without a map", () => {
    const owners = new OwnerMap();
    expect(owners.toGuest({ uid: 5, gid: 6 })).toEqual({ uid: 5, gid: 6 });
    expect(owners.toHost(5, 6)).toEqual({ uid: 5, gid: 6 });
    expect(owners.ofNew(5, undefined)).toEqual({ uid: 5, gid: UNCHANGED });
  });

  test("are mapped in both directions, users and groups apart", () => {
    const owners = new OwnerMap({
      users: [{ guest: 0, host: 1000 }],
      groups: [{ guest: 1, host: 2000 }],
    });
    expect(owners.toGuest({ uid: 1000, gid: 2000 })).toEqual({ uid: 0, gid: 1 });
    expect(owners.toGuest({ uid: 2000, gid: 1000 })).toEqual({ uid: 2000, gid: 1000 });
    expect(owners.toHost(0, 1)).toEqual({ uid: 1000, gid: 2000 });
    expect(owners.ofNew(0, undefined)).toEqual({ uid: 1000, gid: UNCHANGED });
    expect(owners.toHost(undefined, undefined)).toEqual({ uid: UNCHANGED, gid: UNCHANGED });
  });

  test("of new files are those of squash", () => {
    const owners = new OwnerMap({ squash: { uid: 7, gid: 8 } });
    expect(owners.ofNew(0, 0)).toEqual({ uid: 7, gid: 8 });
    expect(owners.ofNew(undefined, undefined)).toEqual({ uid: 7, gid: 8 });
  });
});

describe("ids on the command line", () => {
  test("are pairs of numbers", () => {
    expect(readIdPair("0:1000")).toEqual({ guest: 0, host: 1000 });
    expect(readOwner("1:2")).toEqual({ uid: 1, gid: 2 });
    for (const text of ["", "1", "1:", ":1", "1:2:3", "a:1", "-1:1", "1:4294967295"]) {
      expect([text, readIdPair(text), readOwner(text)]).toEqual([text, undefined, undefined]);
    }
    expect(readIdPair("4294967294:1")).toEqual({ guest: 4_294_967_294, host: 1 });
  });

  test("are not ambiguous", () => {
    const pairs = [
      { guest: 1, host: 2 },
      { guest: 2, host: 1 },
    ];
    expect(checkIdPairs("--map-uid", pairs)).toBe(pairs);
    expect(() => checkIdPairs("--map-uid", [...pairs, { guest: 1, host: 3 }])).toThrow(
      "--map-uid has the guest's id 1 more than once",
    );
    expect(() => checkIdPairs("--map-gid", [...pairs, { guest: 3, host: 1 }])).toThrow(
      "--map-gid has the host's id 1 more than once",
    );
  });
});
