/** Compressed copies for downloads: FILE.zst beside FILE. */
import { readFileSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { promisify } from "node:util";
import { constants, zstdCompress, zstdDecompress } from "node:zlib";
import { hashOf, sha256 } from "../build/inputs.ts";
import { makeStamped, type Made } from "../build/stamped.ts";
import type { Summed } from "./checksums.ts";

const compress = promisify(zstdCompress);
const decompress = promisify(zstdDecompress);

/** How copies are made. */
export interface CompressOptions {
  /** 1 to 19. */
  level: number;
  force: boolean;
}

/** Compresses the files, as many at once as there are processors; returns the copies in order. */
export async function compressAll(
  files: readonly Summed[],
  options: CompressOptions,
): Promise<Made[]> {
  const copies: Made[] = [];
  const waiting = [...files.entries()];
  const work = async () => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      copies[next[0]] = await compressedCopy(next[1], options);
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, work));
  return copies;
}

/** @throws {Error} if the copy does not decompress to the file. */
function compressedCopy(
  { path, sha256: sum }: Summed,
  { level, force }: CompressOptions,
): Promise<Made> {
  return makeStamped(`${path}.zst`, {
    key: hashOf(sum, `zstd ${process.versions["zstd"]} level ${level}`),
    force,
    make: async (temporary) => {
      const bytes = readFileSync(path);
      writeFileSync(
        temporary,
        await compress(bytes, {
          params: {
            [constants.ZSTD_c_compressionLevel]: level,
            [constants.ZSTD_c_checksumFlag]: 1,
          },
        }),
      );
      if (sha256(await decompress(readFileSync(temporary))) !== sum) {
        throw new Error(`${path} is not what its compressed copy holds`);
      }
    },
  });
}
