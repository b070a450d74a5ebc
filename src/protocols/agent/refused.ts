/**
 * The words by which an agent turns a connection away in a Stderr frame, so that a client of ours
 * can tell that from a command's own output.
 */
export const REFUSED_TEXT = "connection refused";

/** The reason of an agent of version 0.1 that finds no token in a Hello. */
export const TOKEN_MISSING_TEXT = "the token is missing";
