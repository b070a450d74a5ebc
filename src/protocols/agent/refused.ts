/**
 * The words by which an agent turns a connection away in a Stderr frame, so that a client of ours
 * can tell that from a command's own output.
 */
export const REFUSED_TEXT = "connection refused";
