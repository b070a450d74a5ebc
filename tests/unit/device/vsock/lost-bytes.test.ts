import { expect, test } from "bun:test";
import { LostBytes } from "../../../../src/device/vsock/lost-bytes.ts";
import { DeviceStatistics } from "../../../../src/device/vsock/statistics.ts";

test("lost bytes are counted at once, and logged again only after a while or on request", () => {
  const statistics = new DeviceStatistics();
  const log: string[] = [];
  const lost = new LostBytes(statistics, (message) => void log.push(message));
  lost.add(10);
  lost.add(20);
  lost.add(30);
  expect(statistics.bytesLost).toBe(60);
  expect(log).toHaveLength(1);
  expect(log[0]).toStartWith("10 bytes of the guest are lost");
  lost.report();
  lost.report();
  expect(log).toHaveLength(2);
  expect(log[1]).toStartWith("50 bytes of the guest are lost");
});

test("all counters start at zero", () => {
  expect(Object.values(new DeviceStatistics()).filter((count) => count !== 0)).toEqual([]);
});
