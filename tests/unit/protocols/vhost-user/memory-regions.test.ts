import { describe, expect, test } from "bun:test";
import type { VhostAction } from "../../../../src/protocols/vhost-user/actions.ts";
import {
  encodeRegion,
  encodeRegions,
  encodeU64,
} from "../../../../src/protocols/vhost-user/encode.ts";
import { MemoryRegions } from "../../../../src/protocols/vhost-user/memory-regions.ts";
import { Request } from "../../../../src/protocols/vhost-user/wire.ts";
import { high, low, NONE, reply, session } from "../../../support/vhost-session.ts";

describe("memory", () => {
  test("is added and removed by region", () => {
    const { send, connect } = session();
    connect();
    expect(send("GET_MAX_MEM_SLOTS")).toEqual([
      reply("GET_MAX_MEM_SLOTS", encodeU64(8n)),
    ] as VhostAction[]);
    expect(send("ADD_MEM_REG", encodeRegion(low), [5])).toEqual([
      { kind: "add-region", region: { ...low, fd: 5 } },
    ]);
    expect(() => send("ADD_MEM_REG", encodeRegion(low), [6])).toThrow("overlap");
    expect(send("REM_MEM_REG", encodeRegion({ ...low, mmapOffset: 99 }), [7], true)).toEqual([
      { kind: "remove-region", region: low },
      { kind: "close", fd: 7 },
      reply("REM_MEM_REG", encodeU64(0n)),
    ] as VhostAction[]);
    for (let slot = 0; slot < 8; slot++) {
      send("ADD_MEM_REG", encodeRegion({ ...low, guestAddress: slot * 2 ** 30 }), [5]);
    }
    const ninth = encodeRegion({ ...low, guestAddress: 2 ** 40 });
    expect(() => send("ADD_MEM_REG", ninth, [5])).toThrow("9 regions are above 8");
  });

  test("is limited to the size that a table of views can hold", () => {
    const { send } = session();
    const huge = { ...low, size: 2 ** 42 };
    const two = encodeRegions([huge, { ...huge, guestAddress: 2 ** 42 }]);
    expect(() => send("SET_MEM_TABLE", two, [5, 6])).toThrow("of memory are above");
  });
});

test("a change that is refused leaves the table and the descriptors as they were", () => {
  const actions: VhostAction[] = [];
  const regions = new MemoryRegions((action) => actions.push(action));
  const message = (fds: number[]) => ({
    request: Request.SET_MEM_TABLE,
    flags: 1,
    payload: NONE,
    fds,
  });
  expect(() => regions.setTable([low, high], message([3]))).toThrow("without a descriptor");
  expect(() => regions.add(low, message([]))).toThrow("without a descriptor");
  expect(() => regions.remove(low, message([4]))).toThrow("unknown memory region");
  regions.clear();
  expect(actions).toEqual([]);
});

test("the end of the connection unmaps any number of regions once", () => {
  for (const count of [1, 2]) {
    const actions: VhostAction[] = [];
    const regions = new MemoryRegions((action) => actions.push(action));
    const message = { request: Request.SET_MEM_TABLE, flags: 1, payload: NONE, fds: [3, 4] };
    regions.setTable([low, high].slice(0, count), message);
    regions.clear();
    regions.clear();
    expect(actions.slice(1)).toEqual([{ kind: "map-table", regions: [] }]);
  }
});
