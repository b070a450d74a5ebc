import { expect, test } from "bun:test";
import { closeSync, openSync, writeFileSync } from "node:fs";
import { prefixHash } from "../../../src/files/prefix-hash.ts";
import { ScratchDirectory } from "../../support/scratch-directory.ts";

const MIB = 1024 * 1024;

test("files with the same beginning have the same hash of it, and any other byte changes it", async () => {
  using scratch = new ScratchDirectory();
  const content = Buffer.alloc(2 * MIB + 5, "vsock");
  const hashOf = async (bytes: Uint8Array, length: number) => {
    writeFileSync(scratch.file("file"), bytes);
    const fd = openSync(scratch.file("file"), "r");
    try {
      return await prefixHash(fd, length);
    } finally {
      closeSync(fd);
    }
  };
  for (const length of [0, 1, MIB - 1, MIB, MIB + 1, 2 * MIB + 5]) {
    const hash = await hashOf(content, length);
    expect(hash).toMatch(/^[0-9a-f]+$/);
    expect(await hashOf(content.subarray(0, length), length)).toBe(hash);
    if (length === 0) continue;
    for (const at of [0, Math.floor(length / 2), length - 1]) {
      const changed = Buffer.from(content);
      changed[at] = 0;
      expect(await hashOf(changed, length)).not.toBe(hash);
    }
    expect(await hashOf(content.subarray(0, length - 1), length)).toBeUndefined();
  }
  // An older vsockbox has the same.
  expect(await hashOf(content, 5)).toBe(Bun.hash.xxHash64("vsock", 0n).toString(16));
});
