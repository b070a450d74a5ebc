/** Archives to files and streams, compressed or as they are. */
import { createHash } from "node:crypto";
import { closeSync, createReadStream, openSync, statSync, writeSync } from "node:fs";
import { Readable, type Transform } from "node:stream";
import { constants, createGzip, createZstdCompress } from "node:zlib";
import { archiveBytes, type CpioEntry, padding } from "./cpio.ts";

/** What the kernel can unpack and a build may be asked for. */
export const COMPRESSIONS = ["none", "gzip", "zstd"] as const;

/** One of {@link COMPRESSIONS}. */
export type Compression = (typeof COMPRESSIONS)[number];

/** Higher levels are much slower and save one or two per cent. */
const LEVELS = { gzip: 6, zstd: 9 } as const;

/** Options of {@link archiveStream}. */
export interface StreamOptions {
  compression?: Compression | undefined;
  /** A local archive that is copied unchanged to the beginning. */
  base?: string | undefined;
  signal?: AbortSignal | undefined;
}

/** The result. */
export interface WrittenArchive {
  /** Of the whole file. */
  bytes: number;
  /** In hexadecimal. */
  sha256: string;
}

/** Writes a temporary archive with mode 0600, without fsync(2). */
export function writeArchive(path: string, entries: readonly CpioEntry[]): void {
  const fd = openSync(path, "w", 0o600);
  try {
    for (const piece of archiveBytes(entries)) {
      for (let rest = piece; rest.length > 0;) rest = rest.subarray(writeSync(fd, rest));
    }
  } finally {
    closeSync(fd);
  }
}

/** The bytes of an archive, and in the end how many they were. */
export class CountedBytes implements AsyncIterable<Uint8Array> {
  readonly #source: AsyncIterable<Uint8Array>;
  readonly #hash = createHash("sha256");
  #bytes = 0;

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source;
  }

  /** Called after all bytes were read. */
  written(): WrittenArchive {
    return { bytes: this.#bytes, sha256: this.#hash.digest("hex") };
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    for await (const piece of this.#source) {
      this.#bytes += piece.length;
      this.#hash.update(piece);
      yield piece;
    }
  }
}

/**
 * Returns the bytes of an archive, after those of another one if there is one.
 *
 * @throws errors of the file system; the signal's reason when it is aborted.
 */
export async function* archiveStream(
  entries: readonly CpioEntry[],
  { compression = "none", base, signal }: StreamOptions = {},
): AsyncGenerator<Uint8Array> {
  if (base !== undefined) {
    yield* pieces(createReadStream(base), signal);
    // The kernel expects the next header at such an offset.
    yield padding(statSync(base).size);
  }
  const plain = archiveBytes(entries);
  if (compression === "none") return yield* plainPieces(plain, signal);
  const source = Readable.from(plain);
  const compressor = compressorOf(compression);
  // An error on the way in is one on the way out.
  source.on("error", (error) => compressor.destroy(error));
  yield* pieces(source.pipe(compressor), signal);
}

function compressorOf(compression: "gzip" | "zstd"): Transform {
  if (compression === "gzip") return createGzip({ level: LEVELS.gzip });
  return createZstdCompress({
    params: {
      [constants.ZSTD_c_compressionLevel]: LEVELS.zstd,
      [constants.ZSTD_c_checksumFlag]: 1,
    },
  });
}

async function* pieces(stream: Readable, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
  for await (const piece of stream) {
    signal?.throwIfAborted();
    yield piece as Uint8Array;
  }
}

async function* plainPieces(
  plain: Iterable<Uint8Array>,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array> {
  for (const piece of plain) {
    signal?.throwIfAborted();
    yield piece;
    // A signal's handler has its turn between the files.
    if (piece.length > 65_536) await Bun.sleep(0);
  }
}
