/** The process that ends what a killed service has left running; see `group-guard.ts`. */
import { fstatSync, readSync } from "node:fs";
import { ignoreSignals } from "../ffi/child-process.ts";
import { ERRNO } from "../ffi/errno.ts";
import { readDescriptor } from "../ffi/socket.ts";
import { endGroups, groupsOfSessions, KILL_GRACE_MS } from "./end-groups.ts";
import { groupsOfTable } from "./group-table.ts";

/** The pipe whose end is that of the service, and the service's table of groups. */
const PIPE_DESCRIPTOR = 0;
const TABLE_DESCRIPTOR = 1;

/** Waits for the end of the service and ends its sessions. Returns the exit status. */
export async function runGroupGuard(): Promise<number> {
  ignoreSignals();
  waitForEnd();
  const table = new Uint8Array(fstatSync(TABLE_DESCRIPTOR).size);
  readSync(TABLE_DESCRIPTOR, table, 0, table.length, 0);
  const sessions = groupsOfTable(table);
  await endGroups(groupsOfSessions(sessions), KILL_GRACE_MS);
  return 0;
}

/** Blocks until no process holds the pipe's other end. */
function waitForEnd(): void {
  const buffer = new Uint8Array(new ArrayBuffer(64));
  for (;;) {
    const count = readDescriptor(PIPE_DESCRIPTOR, buffer);
    if (count <= 0 && count !== -ERRNO.EINTR) return;
  }
}
