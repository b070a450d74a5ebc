import { expect, test } from "bun:test";
import { ConnectionList } from "../../../../src/agent/server/connection-list.ts";

const connection = (cid: number) => ({
  peer: { kind: "vsock", cid, port: 1000 + cid } as const,
  receivedBytes: cid,
  sentBytes: 10 * cid,
});

test("connections are listed with their bytes and requests while they are open", () => {
  const list = new ConnectionList();
  const [first, second] = [connection(2), connection(3)];
  list.opened(first);
  list.opened(second);
  const exec = list.begin(first, "exec a");
  const sameAgain = list.begin(first, "exec a");
  first.receivedBytes = 500;
  expect(list.describe()).toEqual([
    {
      ...{
        id: 1,
        peer: "vsock:2:1002",
        ageMs: expect.any(Number),
        receivedBytes: 500,
        sentBytes: 20,
      },
      ...{ requestCount: 2, requests: ["exec a", "exec a"] },
    },
    {
      ...{
        id: 2,
        peer: "vsock:3:1003",
        ageMs: expect.any(Number),
        receivedBytes: 3,
        sentBytes: 30,
      },
      ...{ requestCount: 0, requests: [] },
    },
  ]);
  exec[Symbol.dispose]();
  expect(list.describe()[0]?.requests).toEqual(["exec a"]);
  sameAgain[Symbol.dispose]();
  expect(list.describe()[0]?.requestCount).toBe(0);
  list.closed(first);
  expect(list.describe().map(({ peer }) => peer)).toEqual(["vsock:3:1003"]);
  // A request that ends after its connection changes nothing.
  list.begin(first, "late")[Symbol.dispose]();
  expect(list.describe().length).toBe(1);
});

test("at most eight requests of a connection are named", () => {
  const list = new ConnectionList();
  const busy = connection(2);
  list.opened(busy);
  for (let number = 0; number < 20; number++) list.begin(busy, `exec ${number}`);
  const [{ requestCount = 0, requests = [] } = {}] = list.describe();
  expect([requestCount, requests.length, requests[7]]).toEqual([20, 8, "exec 7"]);
});
