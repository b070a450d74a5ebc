import { expect, test } from "bun:test";
import { QueueIndex } from "../../../../src/device/vsock/device-queues.ts";
import { TransportReset } from "../../../../src/device/vsock/transport-reset.ts";
import { PlainGuest } from "../../../support/plain-guest.ts";

const ENTRIES = 4;

function eventQueue() {
  const guest = new PlainGuest({ entries: ENTRIES });
  const reset = new TransportReset(guest.table, guest.queues, ENTRIES);
  const [, , ring] = guest.rings;
  guest.bytes.fill(0xff, guest.data, guest.data + 16);
  const written = () => [...guest.bytes.subarray(guest.data, guest.data + 8)];
  const sent = () => [ring.usedIndex, guest.signals[QueueIndex.Event]];
  return { guest, reset, ring, written, sent };
}

test("a transport reset is sent once, as u32 0 in a buffer of the event queue", () => {
  const { guest, reset, ring, written, sent } = eventQueue();
  guest.offer(ring, 8, 2);
  reset.isDue = true;
  reset.send();
  expect(written()).toEqual([0, 0, 0, 0, 255, 255, 255, 255]);
  expect(ring.used(0)).toEqual({ head: 0, length: 4 });
  expect([reset.isDue, ...sent()]).toEqual([false, 1, 1]);
  reset.send();
  expect(sent()).toEqual([1, 1]);
});

test("a transport reset that is not due is not sent", () => {
  const { guest, reset, ring, sent } = eventQueue();
  guest.offer(ring, 8);
  reset.send();
  expect([reset.isDue, ...sent()]).toEqual([false, 0, 0]);
});

test("a transport reset waits until the event queue runs", () => {
  const { guest, reset, ring, sent } = eventQueue();
  guest.offer(ring, 8);
  const [, , running] = guest.running;
  if (running === undefined) throw new Error("the event queue does not run");
  running.isEnabled = false;
  reset.isDue = true;
  reset.send();
  expect([reset.isDue, ...sent()]).toEqual([true, 0, 0]);
  running.isEnabled = true;
  reset.send();
  expect([reset.isDue, ...sent()]).toEqual([false, 1, 1]);
});

test("a transport reset waits for a buffer, and asks the driver for the kick that announces it", () => {
  const { guest, reset, ring, sent } = eventQueue();
  guest.offer(ring, 8);
  reset.isDue = true;
  reset.send();
  reset.isDue = true;
  reset.send();
  expect([reset.isDue, ...sent(), ring.availableEvent]).toEqual([true, 1, 1, 1]);
  ring.setUsedEvent(1);
  guest.offer(ring, 8);
  reset.send();
  expect([reset.isDue, ...sent()]).toEqual([false, 2, 2]);
});
