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

/** The bytes of a base64 string; undefined where it is none. */
export function decodeBase64(text: string): Uint8Array | undefined {
  try {
    return Uint8Array.fromBase64(text, { lastChunkHandling: "strict" });
  } catch {
    return undefined;
  }
}
