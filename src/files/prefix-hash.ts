/** Whether the beginnings of two files are the same, without sending either: for resumed transfers. */
import { read } from "node:fs";
import { promisify } from "node:util";

const readAsync = promisify(read);

const BLOCK_BYTES = 1024 * 1024;

/**
 * A hash of a file's first bytes: xxHash64 of each 1 MiB block, seeded with that of the block before.
 * It finds accidents, not forgeries; `--checksum` compares a sha256.
 *
 * @returns the hash in hex, or undefined if the file has fewer bytes.
 */
export async function prefixHash(fd: number, bytes: number): Promise<string | undefined> {
  const block = new Uint8Array(BLOCK_BYTES);
  let hash = 0n;
  for (let offset = 0; offset < bytes;) {
    const wanted = Math.min(BLOCK_BYTES, bytes - offset);
    let filled = 0;
    while (filled < wanted) {
      const { bytesRead } = await readAsync(fd, block, filled, wanted - filled, offset + filled);
      if (bytesRead === 0) return undefined;
      filled += bytesRead;
    }
    hash = Bun.hash.xxHash64(block.subarray(0, wanted), hash);
    offset += wanted;
  }
  return hash.toString(16);
}
