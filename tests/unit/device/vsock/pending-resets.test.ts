import { expect, test } from "bun:test";
import { PendingResets } from "../../../../src/device/vsock/pending-resets.ts";
import { Op, PacketHeader } from "../../../../src/protocols/virtio-vsock/packet.ts";

const MOST = 4096;

const taken = (resets: PendingResets) => {
  const header = new PacketHeader();
  Object.assign(header, { len: 1, flags: 1, bufAlloc: 1, fwdCnt: 1 });
  resets.shift(header, 7);
  return header;
};

test("resets are sent in their order, without payload and credit", () => {
  const resets = new PendingResets();
  resets.push(2, 1024, 5000, 1);
  resets.push(9, 1025, 5001, 2);
  expect(taken(resets)).toMatchObject({
    ...{ srcCid: 2, srcPort: 1024, dstCid: 7, dstPort: 5000, type: 1 },
    ...{ op: Op.Rst, len: 0, flags: 0, bufAlloc: 0, fwdCnt: 0 },
  });
  expect(resets.count).toBe(1);
  expect(taken(resets)).toMatchObject({ srcCid: 9, srcPort: 1025, dstPort: 5001, type: 2 });
  expect(resets.count).toBe(0);
});

test("a guest has to read once half of the 4096 resets wait, and none beyond them is kept", () => {
  const resets = new PendingResets();
  for (let port = 0; port < MOST / 2 - 1; port++) resets.push(2, port, port, 1);
  expect(resets.isHalfFull).toBe(false);
  resets.push(2, MOST / 2 - 1, MOST / 2 - 1, 1);
  expect(resets.isHalfFull).toBe(true);
  for (let port = MOST / 2; port < MOST + 10; port++) resets.push(2, port, port, 1);
  expect(resets.count).toBe(MOST);
  for (let port = 0; port < MOST; port++) {
    expect(taken(resets)).toMatchObject({ srcPort: port, dstPort: port });
  }
});

test("resets go on after the end of the queue's memory, and after all were forgotten", () => {
  const resets = new PendingResets();
  for (let port = 0; port < 3 * MOST; port++) {
    resets.push(2, port, port + 1, 1);
    if (port >= 2) expect(taken(resets)).toMatchObject({ srcPort: port - 2, dstPort: port - 1 });
  }
  expect(resets.count).toBe(2);
  resets.clear();
  expect(resets.count).toBe(0);
  resets.push(3, 1, 2, 1);
  expect(taken(resets)).toMatchObject({ srcCid: 3, srcPort: 1, dstPort: 2 });
});
