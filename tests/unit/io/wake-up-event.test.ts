/** The eventfd that the kernel adds to, with each method that this kernel has. */
import { afterEach, describe, expect, test } from "bun:test";
import { clearEvent, openEvent, signalEvent } from "../../../src/ffi/eventfd.ts";
import {
  closeDescriptor,
  pollDescriptor,
  POLLIN,
  readDescriptor,
} from "../../../src/ffi/socket.ts";
import { openWakeUpEvent, type WakeUpMethod } from "../../../src/io/wake-up-event.ts";
import { eventually } from "../../support/eventually.ts";
import { EACH_METHOD } from "../../support/wake-up-methods.ts";

const open: number[] = [];
afterEach(() => {
  for (const fd of open.splice(0)) closeDescriptor(fd);
});

/** A descriptor that is not readable, and its wake-up event. */
function newEvent(method: WakeUpMethod) {
  const source = openEvent();
  const event = openWakeUpEvent(source, method);
  if (event === undefined) throw new Error(`the kernel refuses ${method}`);
  open.push(source, event.fd);
  return { source, event };
}

const isReadable = (fd: number) => pollDescriptor(fd, POLLIN, 0) !== 0;

/** Waits until the event was added to, and returns its count, which is zero then. */
async function countOf(fd: number): Promise<number> {
  await eventually("it is added to", () => isReadable(fd));
  const count = new BigUint64Array(new ArrayBuffer(8));
  readDescriptor(fd, new Uint8Array(count.buffer));
  return Number(count[0]);
}

describe.each(EACH_METHOD.flatMap(({ methods }) => methods))("%s", (method) => {
  test("adds to the event once for each time that it was asked to", async () => {
    const { source, event } = newEvent(method);
    expect(isReadable(event.fd)).toBe(false);
    signalEvent(source);
    expect(await countOf(event.fd)).toBe(1);
    clearEvent(source);
    signalEvent(source);
    expect(isReadable(event.fd)).toBe(false);
    for (let round = 0; round < 1000; round++) {
      expect(event.armAgain()).toBe(true);
      expect(await countOf(event.fd)).toBe(1);
    }
  });

  test("is asked once only until it has answered", async () => {
    const { source, event } = newEvent(method);
    for (let count = 0; count < 10; count++) expect(event.armAgain()).toBe(true);
    signalEvent(source);
    expect(await countOf(event.fd)).toBe(1);
    expect(isReadable(event.fd)).toBe(false);
  });

  test("of a descriptor that is not open is refused", () => {
    expect(openWakeUpEvent(-1, method)).toBeUndefined();
  });
});
