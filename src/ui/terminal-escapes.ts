/** Whether escape sequences may be written somewhere. */

/** A terminal obeys them, unless it calls itself dumb or has no name. */
export function obeysEscapes(stream: { isTTY?: boolean }): boolean {
  const term = process.env["TERM"];
  return stream.isTTY === true && term !== undefined && term !== "" && term !== "dumb";
}
