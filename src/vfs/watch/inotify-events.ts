/** The kernel's structures of inotify(7): `struct inotify_event`, in this machine's byte order. */

/** One event of the kernel. */
export interface InotifyEvent {
  /** The number of the watch; -1 for a full queue. */
  watch: number;
  /** `IN_…` of `ffi/inotify.ts`. */
  mask: number;
  /** The same for both halves of a rename. */
  cookie: number;
  /** The entry of the watched directory; undefined for that directory itself. */
  name: Uint8Array | undefined;
}

/** i32 wd, u32 mask, u32 cookie, u32 len. */
const HEADER_BYTES = 16;

/** Reads the events of one read; what follows the last whole one is ignored. */
export function decodeInotifyEvents(bytes: Uint8Array): InotifyEvent[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const events: InotifyEvent[] = [];
  for (let at = 0; at + HEADER_BYTES <= bytes.length;) {
    const nameBytes = view.getUint32(at + 12, true);
    const end = at + HEADER_BYTES + nameBytes;
    if (end > bytes.length) break;
    events.push({
      watch: view.getInt32(at, true),
      mask: view.getUint32(at + 4, true),
      cookie: view.getUint32(at + 8, true),
      name: nameBytes === 0 ? undefined : untilNul(bytes.subarray(at + HEADER_BYTES, end)),
    });
    at = end;
  }
  return events;
}

/** The kernel pads names with NULs. */
function untilNul(padded: Uint8Array): Uint8Array {
  const end = padded.indexOf(0);
  return end === -1 ? padded : padded.subarray(0, end);
}
