/** Records of packets on their way, with an output that completes each write on request. */
import { expect, test } from "bun:test";
import { PacketSpool } from "../../../../src/device/observe/packet-spool.ts";
import { RECORD_BEGIN_BYTES } from "../../../../src/protocols/pcap/vsock-record.ts";
import { passPacket } from "../../../support/passed-packet.ts";

/** A spool whose writes are noted; each lasts until `complete` or `fail`. */
function open(payloadBytes = 100) {
  const writes: Uint8Array[] = [];
  const failures: unknown[] = [];
  let write: PromiseWithResolvers<void> | undefined;
  const append = (records: Uint8Array) => {
    writes.push(records.slice());
    write = Promise.withResolvers();
    return write.promise;
  };
  const spool = new PacketSpool({ append }, payloadBytes, (thrown) => failures.push(thrown));
  const pass = (bytes: number) => passPacket(spool, bytes);
  const settle = async (end: (write: PromiseWithResolvers<void>) => void) => {
    if (write === undefined) throw new Error("nothing is being written");
    end(write);
    for (let turn = 0; turn < 10; turn++) await Promise.resolve();
  };
  return {
    ...{ spool, pass, failures },
    sizes: () => writes.map(({ length }) => length),
    complete: () => settle(({ resolve }) => resolve()),
    fail: (thrown: unknown) => settle(({ reject }) => reject(thrown)),
  };
}

const later = () => performance.now() + 1000;

test("nothing is written as long as there is no packet", () => {
  const { spool, sizes } = open();
  spool.onTime(later());
  expect(sizes()).toEqual([]);
});

test("the smallest packet is written at the next time", () => {
  const { spool, pass, sizes } = open();
  pass(0);
  expect([sizes(), spool.pendingBytes]).toEqual([[], RECORD_BEGIN_BYTES]);
  spool.onTime(later());
  expect(sizes()).toEqual([RECORD_BEGIN_BYTES]);
});

test("packets stay in memory for a tenth of a second after a write", async () => {
  const { spool, pass, sizes, complete } = open();
  pass(1);
  spool.onTime(later());
  const written = performance.now();
  await complete();
  pass(2);
  // The write began before `written`: this is less than 100 ms after it.
  spool.onTime(written - 1000);
  expect(sizes()).toEqual([RECORD_BEGIN_BYTES + 1]);
  spool.onTime(written + 100);
  expect(sizes()).toEqual([RECORD_BEGIN_BYTES + 1, RECORD_BEGIN_BYTES + 2]);
});

test("packets that arrive during a write are in the next one, and pending until it is complete", async () => {
  const { spool, pass, sizes, complete } = open();
  pass(10);
  spool.onTime(later());
  pass(20);
  pass(30);
  spool.onTime(later() + 1000);
  expect(sizes()).toEqual([RECORD_BEGIN_BYTES + 10]);
  expect(spool.pendingBytes).toBe(3 * RECORD_BEGIN_BYTES + 60);
  await complete();
  expect(spool.pendingBytes).toBe(2 * RECORD_BEGIN_BYTES + 50);
  spool.onTime(later() + 1000);
  expect(sizes()).toEqual([RECORD_BEGIN_BYTES + 10, 2 * RECORD_BEGIN_BYTES + 50]);
  await complete();
  expect([spool.pendingBytes, spool.packets, spool.lost]).toEqual([0, 3, 0]);
});

test("its end waits for the write that is running, and writes what is in memory", async () => {
  const { spool, pass, sizes, complete } = open();
  pass(1);
  spool.onTime(later());
  pass(2);
  let hasEnded = false;
  const end = spool.end().then(() => (hasEnded = true));
  await complete();
  expect([hasEnded, sizes()]).toEqual([false, [RECORD_BEGIN_BYTES + 1, RECORD_BEGIN_BYTES + 2]]);
  await complete();
  await end;
  expect(spool.pendingBytes).toBe(0);
});

test("a packet after its end is neither counted nor written", async () => {
  const { spool, pass, sizes } = open();
  await spool.end();
  pass(1);
  spool.onTime(later());
  await spool.end();
  expect([spool.packets, spool.lost, spool.pendingBytes, sizes()]).toEqual([0, 0, 0, []]);
});

test("a failed write ends it, reports why once, and drops what is in memory", async () => {
  const { spool, pass, sizes, failures, fail } = open();
  pass(1);
  spool.onTime(later());
  pass(2);
  const reason = new Error("no space left");
  await fail(reason);
  pass(3);
  spool.onTime(later() + 1000);
  await spool.end();
  expect([failures, spool.pendingBytes, sizes()]).toEqual([[reason], 0, [RECORD_BEGIN_BYTES + 1]]);
  expect(spool.packets).toBe(2);
});
