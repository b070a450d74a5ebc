import { expect, test } from "bun:test";
import { exportLines, hasSocket } from "../../../../src/commands/host/export-status-run.ts";
import type { ExportStatus } from "../../../../src/vfs/server/export-status.ts";

const STATUS: ExportStatus = {
  ...{ pid: 7, addresses: ["hybrid:/run/vm:5001", "unix:/run/a.sock"], read_only: true },
  exports: [{ name: "src", path: "/home/src" }],
  ...{ uptime_seconds: 90, connections_open: 1, connections_limit: 64, connections_total: 3 },
  ...{ guest_connections_limit: 16, open_files: 2, requests_in_flight: 1, requests_total: 20 },
  ...{ read_bytes_total: 2048, written_bytes_total: 0 },
  connections: [
    {
      ...{ peer: "unix", export: "src", dialect: "vsockbox", open_files: 2 },
      ...{ requests_in_flight: 1, requests: 15, read_bytes: 1024, written_bytes: 0 },
      age_seconds: 60,
    },
  ],
};

test.each([
  ["/run/vm", true],
  ["/run/vm_5001", true],
  ["/run/a.sock", true],
  ["/run/a", false],
  ["/run/vm_5002", false],
])("an export has the socket %s: %p", (path, has) => {
  expect(hasSocket(STATUS, path)).toBe(has);
});

test("text has what is exported, the sums, and a line for each connection", () => {
  const lines = exportLines(STATUS);
  expect(lines[0]).toStartWith("hybrid:/run/vm:5001, unix:/run/a.sock: process 7, up ");
  expect(lines[0]).toEndWith(", read-only");
  expect(lines[1]).toBe("  export       src: /home/src");
  expect(lines[2]).toBe("  connections  1 of 64, 16 of one guest; 3 since the start");
  expect(lines[3]).toBe("  requests     20, 1 of them in flight; 2 open files");
  expect(lines[4]).toStartWith("  data         2");
  expect(lines.at(-2)).toMatch(/^  PEER +EXPORT +FILES +WAITING +REQUESTS +READ +WRITTEN +AGE$/);
  expect(lines.at(-1)).toMatch(/^  unix +src +2 +1 +15 /);
  expect(exportLines({ ...STATUS, connections: [] }).length).toBe(5);
});
