/** Output with the time in front of each line, as `logs --timestamps` prints it. */

const LINE_FEED = 0x0a;

/** Puts the time in front of each line of two streams. */
export class TimestampedLines {
  readonly #isWithinLine = { stdout: false, stderr: false };

  /**
   * Returns bytes of a stream with the time in RFC 3339 before those that begin a line.
   *
   * @param timeMs when the bytes were written, in milliseconds since 1970.
   */
  push(stream: "stdout" | "stderr", bytes: Uint8Array, timeMs: number): Uint8Array {
    const prefix = Buffer.from(`${new Date(timeMs).toISOString()} `);
    const parts: Uint8Array[] = [];
    for (let begin = 0; begin < bytes.length;) {
      const lineFeed = bytes.indexOf(LINE_FEED, begin);
      const end = lineFeed === -1 ? bytes.length : lineFeed + 1;
      if (!this.#isWithinLine[stream]) parts.push(prefix);
      parts.push(bytes.subarray(begin, end));
      this.#isWithinLine[stream] = lineFeed === -1;
      begin = end;
    }
    return Buffer.concat(parts);
  }
}
