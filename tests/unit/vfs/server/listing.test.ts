import { expect, test } from "bun:test";
import { direntsBytes } from "../../../../src/vfs/server/listing.ts";

/** An entry of the kernel: 19 bytes and the name with its NUL, aligned to 8. */
const dirent = (nameBytes: number) => Math.ceil((19 + nameBytes + 1) / 8) * 8;

test.each([false, true])("what is read for a page fits into it packed (facts: %p)", (hasFacts) => {
  for (const page of [280, 1624, 4096, 65_536, 1_048_576]) {
    const bytes = direntsBytes(page, hasFacts);
    expect(bytes).toBeLessThanOrEqual(64 * 1024);
    for (const nameBytes of [1, 4, 5, 12, 13, 100, 255]) {
      const entries = Math.floor(bytes / dirent(nameBytes));
      expect(entries * (20 + nameBytes + (hasFacts ? 104 : 0))).toBeLessThanOrEqual(page);
    }
  }
});

test("a page is read as far as it has space", () => {
  expect([direntsBytes(4096, false), direntsBytes(1 << 30, false)]).toEqual([4096, 65_536]);
  expect(direntsBytes(16_000, true)).toBe(3000);
});
