/** Output of several sources on one terminal. */

const LINE_FEED = 0x0a;

/** Each line with the prefix in front; the last one gets an end if it has none. */
export function prefixLines(prefix: string, bytes: Uint8Array): Uint8Array {
  const parts: Uint8Array[] = [];
  const head = Buffer.from(prefix);
  let begin = 0;
  while (begin < bytes.length) {
    const found = bytes.indexOf(LINE_FEED, begin);
    const end = found === -1 ? bytes.length : found + 1;
    parts.push(head, bytes.subarray(begin, end));
    if (found === -1) parts.push(Buffer.of(LINE_FEED));
    begin = end;
  }
  return Buffer.concat(parts);
}
