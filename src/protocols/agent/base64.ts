/** Standard base64 with padding, as Go's encoding/json writes []byte. */

declare global {
  interface Uint8Array {
    toBase64(): string;
  }
  interface Uint8ArrayConstructor {
    fromBase64(text: string, options?: { lastChunkHandling?: "strict" }): Uint8Array<ArrayBuffer>;
  }
}

/** The bytes as base64. */
export function encodeBase64(bytes: Uint8Array): string {
  return bytes.toBase64();
}

/** The bytes of a base64 string; undefined if it is not base64. */
export function decodeBase64(text: string): Uint8Array | undefined {
  try {
    return Uint8Array.fromBase64(text, { lastChunkHandling: "strict" });
  } catch {
    return undefined;
  }
}

/** Characters that are decoded at once, a multiple of the four that stand for three bytes. */
const PIECE_CHARACTERS = 256 * 1024;

/**
 * The bytes of base64 in ASCII, decoded piece by piece, so that a large one needs no more memory than
 * its bytes; undefined if it is not base64. Blanks are not allowed in it.
 */
export function decodeBase64Bytes(text: Uint8Array): Uint8Array | undefined {
  if (text.length % 4 !== 0) return undefined;
  const latin1 = Buffer.from(text.buffer, text.byteOffset, text.length);
  const decoded = new Uint8Array((text.length / 4) * 3);
  let filled = 0;
  for (let at = 0; at < latin1.length; at += PIECE_CHARACTERS) {
    const end = Math.min(at + PIECE_CHARACTERS, latin1.length);
    const piece = decodeBase64(latin1.toString("latin1", at, end));
    if (piece === undefined) return undefined;
    // Padding ends the whole, not a piece of it; a blank makes a piece shorter, too.
    if (end < latin1.length && piece.length !== (PIECE_CHARACTERS / 4) * 3) return undefined;
    decoded.set(piece, filled);
    filled += piece.length;
  }
  return decoded.subarray(0, filled);
}
