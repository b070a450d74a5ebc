import { describe, expect, test } from "bun:test";
import { decodeInotifyEvents } from "../../../../src/vfs/watch/inotify-events.ts";

/** `struct inotify_event` with a name padded to `paddedBytes`. */
function event(
  { watch = 1, mask = 2, cookie = 0 }: { watch?: number; mask?: number; cookie?: number },
  name: string | Uint8Array,
  paddedBytes: number,
): Uint8Array {
  const bytes = new Uint8Array(16 + paddedBytes);
  const view = new DataView(bytes.buffer);
  view.setInt32(0, watch, true);
  view.setUint32(4, mask, true);
  view.setUint32(8, cookie, true);
  view.setUint32(12, paddedBytes, true);
  bytes.set(Buffer.from(name as Uint8Array), 16);
  return bytes;
}

describe("the kernel's events", () => {
  test("are read with their names, whatever their padding", () => {
    const bytes = Buffer.concat([
      event({ watch: 7, mask: 0x100, cookie: 0 }, "a", 16),
      event({ watch: 8, mask: 0x4000_0080, cookie: 0xffff_fffe }, Buffer.of(0xff, 0x0a), 16),
      event({ watch: 9 }, "x".repeat(16), 16),
      event({ watch: -1, mask: 0x4000 }, "", 0),
    ]);
    expect(decodeInotifyEvents(bytes)).toEqual([
      { watch: 7, mask: 0x100, cookie: 0, name: new Uint8Array(Buffer.from("a")) },
      { watch: 8, mask: 0x4000_0080, cookie: 0xffff_fffe, name: Uint8Array.of(0xff, 0x0a) },
      { watch: 9, mask: 2, cookie: 0, name: new Uint8Array(Buffer.from("x".repeat(16))) },
      { watch: -1, mask: 0x4000, cookie: 0, name: undefined },
    ]);
  });

  test("are read from a part of a buffer, up to the last whole one", () => {
    const bytes = Buffer.concat([event({ watch: 5 }, "five", 16), event({ watch: 6 }, "six", 16)]);
    const framed = Buffer.concat([Buffer.alloc(3), bytes]);
    for (let cut = 1; cut <= 32; cut++) {
      const part = new Uint8Array(framed.buffer, framed.byteOffset + 3, bytes.length - cut);
      expect(decodeInotifyEvents(part).map(({ watch }) => watch)).toEqual([5]);
    }
    expect(decodeInotifyEvents(bytes).map(({ watch }) => watch)).toEqual([5, 6]);
  });
});
