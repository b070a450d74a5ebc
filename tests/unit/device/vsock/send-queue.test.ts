import { expect, test } from "bun:test";
import { SendQueue } from "../../../../src/device/vsock/send-queue.ts";
import type { HostConnection } from "../../../../src/device/vsock/host-connection.ts";
import { Pending } from "../../../../src/protocols/virtio-vsock/connection.ts";
import { unconnected } from "../../../support/vsock-connection.ts";

function withPending(port: number, bits: number): HostConnection {
  const connection = unconnected(port);
  connection.vsock.post(bits);
  return connection;
}

function ports(queue: SendQueue): number[] {
  const found: number[] = [];
  for (let { first } = queue; first !== undefined; { first } = queue) {
    found.push(first.vsock.hostPort);
    queue.shift();
  }
  return found;
}

const three = () => [1, 2, 3].map((port) => withPending(port, Pending.Response));

test("connections come first in, first out, each once", () => {
  const queue = new SendQueue();
  for (const connection of three().flatMap((each) => [each, each])) queue.push(connection);
  expect(queue.length).toBe(3);
  expect(ports(queue)).toEqual([1, 2, 3]);
  expect([queue.length, queue.first]).toEqual([0, undefined]);
});

test("a connection without a pending packet is not queued", () => {
  const queue = new SendQueue();
  queue.push(unconnected(1));
  expect(queue.length).toBe(0);
});

test("a connection that was shifted may be queued again, at the end", () => {
  const queue = new SendQueue();
  const [first, second] = three();
  if (first === undefined || second === undefined) throw new Error("two are needed");
  queue.push(first);
  queue.push(second);
  queue.shift();
  queue.push(first);
  expect(ports(queue)).toEqual([2, 1]);
});

test.each([
  [0, [2, 3, 4]],
  [1, [1, 3, 4]],
  [2, [1, 2, 4]],
])("connection %d is removed, and the next one goes to the end", (index, expected) => {
  const queue = new SendQueue();
  const connections = three();
  for (const connection of connections) queue.push(connection);
  const removed = connections[index];
  if (removed === undefined) throw new Error("it is one of three");
  queue.remove(removed);
  queue.remove(removed);
  expect([removed.isQueued, removed.nextQueued]).toEqual([false, undefined]);
  queue.push(withPending(4, Pending.Rst));
  expect(ports(queue)).toEqual(expected);
});

test("data is queued unless it is held", () => {
  const queue = new SendQueue();
  const data = withPending(1, Pending.Data);
  queue.push(data);
  expect([queue.holdsData, queue.first]).toEqual([false, data]);
});

test("nothing is shifted from an empty queue", () => {
  const queue = new SendQueue();
  queue.shift();
  for (const connection of three()) queue.push(connection);
  expect(ports(queue)).toEqual([1, 2, 3]);
  queue.shift();
  expect([queue.length, queue.first]).toEqual([0, undefined]);
});

test("while data is held, connections with other packets are queued", () => {
  const queue = new SendQueue();
  const [data, both] = [
    withPending(1, Pending.Data),
    withPending(2, Pending.Data | Pending.CreditUpdate),
  ];
  queue.holdsData = true;
  for (const connection of [data, data, both]) queue.push(connection);
  expect([queue.length, queue.first]).toEqual([1, both]);
  expect([data.isQueued, both.isQueued]).toEqual([false, true]);
  queue.holdsData = true;
  expect(queue.length).toBe(1);
  queue.holdsData = false;
  expect(ports(queue)).toEqual([2, 1]);
  queue.holdsData = false;
  expect(queue.length).toBe(0);
});

test("an emptied queue has neither queued nor held connections", () => {
  const queue = new SendQueue();
  const [queued, held] = [withPending(1, Pending.Rst), withPending(2, Pending.Data)];
  queue.holdsData = true;
  queue.push(queued);
  queue.push(held);
  queue.clear();
  expect([queued.isQueued, queue.length]).toEqual([false, 0]);
  queue.holdsData = false;
  expect(queue.first).toBeUndefined();
});
