import { expect, test } from "bun:test";
import {
  exportStatus,
  type ExportStatus,
  readExportStatus,
} from "../../../../src/vfs/server/export-status.ts";

const FACTS = {
  addresses: ["unix:/run/a.sock"],
  exports: [{ name: "src", path: "/home/src" }],
  ...{ read_only: true, sinceMs: performance.now() },
};

const counters = (requests: number, inFlight: number) => ({
  ...{ requests, readBytes: 10 * requests, writtenBytes: 100 * requests, inFlight },
});

function status(): ExportStatus {
  const accepted = { peer: "vsock:3", sinceMs: performance.now() };
  return exportStatus(
    {
      served: [
        {
          ...accepted,
          opened: { name: "src", isGo: false, openFiles: 2 },
          counters: counters(3, 1),
        },
        {
          ...accepted,
          opened: { name: "src", isGo: true, openFiles: 5 },
          counters: counters(4, 2),
        },
        { ...accepted, opened: undefined, counters: counters(0, 0) },
      ],
      counters: { ...counters(9, 3), connections: 8 },
      limits: { most: 64, mostOfGuest: 16 },
    },
    FACTS,
  );
}

test("a state has each connection, and sums of all", () => {
  const { connections, ...all } = status();
  expect(connections.map((one) => [one.export, one.dialect, one.open_files])).toEqual([
    ["src", "vsockbox", 2],
    ["src", "go", 5],
    [null, null, 0],
  ]);
  expect(connections[1]).toMatchObject({
    ...{ peer: "vsock:3", requests: 4, requests_in_flight: 2, read_bytes: 40, written_bytes: 400 },
  });
  expect(all).toMatchObject({
    ...{ pid: process.pid, addresses: FACTS.addresses, exports: FACTS.exports, read_only: true },
    ...{ connections_open: 3, connections_limit: 64, guest_connections_limit: 16 },
    ...{ connections_total: 8, open_files: 7, requests_in_flight: 3, requests_total: 9 },
    ...{ read_bytes_total: 90, written_bytes_total: 900 },
  });
});

test("a state is read as it was sent", () => {
  const sent = status();
  expect(readExportStatus(JSON.parse(JSON.stringify(sent)))).toEqual(sent);
});

test("a state without a key, or with one of another type, is refused", () => {
  const sent = status();
  for (const key of Object.keys(sent)) {
    const { [key as keyof ExportStatus]: _, ...rest } = sent;
    expect(() => readExportStatus(rest)).toThrow("not the state of an export");
    expect(() => readExportStatus({ ...sent, [key]: {} })).toThrow("not the state of an export");
  }
  for (const key of Object.keys(sent.connections[0] ?? {})) {
    const connections = [{ ...sent.connections[0], [key]: [] }];
    expect(() => readExportStatus({ ...sent, connections })).toThrow("not the state of an export");
  }
  for (const value of [null, [], "text", 1, { ...sent, open_files: -1 }]) {
    expect(() => readExportStatus(value)).toThrow("not the state of an export");
  }
});
