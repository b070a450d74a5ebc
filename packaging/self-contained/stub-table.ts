/** The table at the beginning of the stub, as `struct table` of stub.c has it: little-endian. */

/** Bytes of the table; the code follows it, with its entry point. */
export const TABLE_BYTES = 1024;

const MAX_SEGMENTS = 6;
const MAX_LIBRARIES = 8;
const NAME_BYTES = 32;

/** A part of the loader. */
export interface LoaderSegment {
  /** In the loader's memory. */
  address: number;
  /** In the data segment. */
  offset: number;
  fileBytes: number;
  memoryBytes: number;
  /** PROT_READ 1, PROT_WRITE 2, PROT_EXEC 4. */
  protection: number;
}

/** A library in the data segment. */
export interface PackedLibrary {
  offset: number;
  bytes: number;
  name: string;
}

/** The stub's parameters. All are addresses or bytes. */
export interface StubTable {
  programEntry: number;
  programHeaders: number;
  programHeaderCount: number;
  data: number;
  dataBytes: number;
  loaderEntry: number;
  loaderBytes: number;
  /** 0 if the program does not call pthread_getattr_np. */
  attributesSlot: number;
  segments: readonly LoaderSegment[];
  libraries: readonly PackedLibrary[];
}

/**
 * @throws {RangeError} if there are more segments or libraries than places, or a name is too long.
 */
export function encodeStubTable(table: StubTable): Uint8Array {
  const { segments, libraries } = table;
  if (segments.length > MAX_SEGMENTS || libraries.length > MAX_LIBRARIES) {
    throw new RangeError(
      `${segments.length} segments and ${libraries.length} libraries do not fit`,
    );
  }
  const view = new DataView(new ArrayBuffer(TABLE_BYTES));
  let at = 0;
  const put = (...words: number[]) => {
    for (const word of words) {
      view.setBigUint64(at, BigInt(word), true);
      at += 8;
    }
  };
  put(table.programEntry, table.programHeaders, table.programHeaderCount);
  put(table.data, table.dataBytes, table.loaderEntry, table.loaderBytes, table.attributesSlot);
  put(segments.length);
  const firstSegment = at;
  for (const { address, offset, fileBytes, memoryBytes, protection } of segments) {
    put(address, offset, fileBytes, memoryBytes, protection);
  }
  at = firstSegment + MAX_SEGMENTS * 40;
  put(libraries.length);
  for (const { offset, bytes, name } of libraries) {
    put(offset, bytes);
    const encoded = new TextEncoder().encode(name);
    if (encoded.length >= NAME_BYTES) throw new RangeError(`the name ${name} is too long`);
    new Uint8Array(view.buffer, at).set(encoded);
    at += NAME_BYTES;
  }
  return new Uint8Array(view.buffer);
}
