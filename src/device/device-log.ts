/** What a device says on standard error, which never makes it wait. */
import { pollDescriptor, POLLOUT } from "../ffi/socket.ts";
import { say } from "../ui/report.ts";

const STDERR = 2;

/**
 * Longest line, in UTF-16 units of at most three bytes each. A pipe that is ready takes PIPE_BUF, 4096
 * bytes, without blocking: pipe(7).
 */
const MAX_LINE = 1000;

/** Lines that nobody reads. */
let lost = 0;

/**
 * Says a line, or not where standard error takes none now: VMMs and guests bring lines about, and one
 * that brings many would stop all others where nobody reads them.
 */
export function logWithoutBlocking(line: string): void {
  if (!isReady()) {
    lost++;
    return;
  }
  if (lost > 0) {
    const count = lost;
    lost = 0;
    say(`vsockbox: ${count} lines are lost: nobody has read them`);
  }
  if (isReady()) say(line.slice(0, MAX_LINE));
  else lost++;
}

function isReady(): boolean {
  return pollDescriptor(STDERR, POLLOUT, 0) !== 0;
}
