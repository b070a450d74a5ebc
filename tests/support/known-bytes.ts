/** Bytes that tests/fixtures/guest-vsock.c knows as well: xorshift32, and a hash over its words. */

/** Makes the stream's next bytes. */
export class KnownBytes {
  #state = 1;
  #hash = 0;
  #count = 0;

  /** The next `bytes` bytes, a multiple of four; in new memory. */
  next(bytes: number): Uint8Array {
    const words = new Uint32Array(bytes / 4);
    let state = this.#state;
    let hash = this.#hash;
    for (let index = 0; index < words.length; index++) {
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
      words[index] = state;
      hash = (Math.imul(hash, 31) + state) | 0;
    }
    this.#state = state;
    this.#hash = hash;
    this.#count += bytes;
    return new Uint8Array(words.buffer);
  }

  /** What the guest's program says of the bytes so far. */
  get report(): string {
    return reportOf(this.#count, this.#hash);
  }
}

/** Hashes bytes that have come, in pieces of any size. */
export class KnownHash {
  #hash = 0;
  #count = 0;
  #rest = new Uint8Array(0);

  push(chunk: Uint8Array): void {
    this.#count += chunk.length;
    const bytes = Buffer.concat([this.#rest, chunk]);
    const whole = bytes.length - (bytes.length % 4);
    let hash = this.#hash;
    for (let at = 0; at < whole; at += 4) hash = (Math.imul(hash, 31) + bytes.readInt32LE(at)) | 0;
    this.#hash = hash;
    this.#rest = bytes.subarray(whole);
  }

  get report(): string {
    return reportOf(this.#count, this.#hash);
  }
}

const reportOf = (count: number, hash: number) => `${count} bytes, hash ${hash >>> 0}\n`;
