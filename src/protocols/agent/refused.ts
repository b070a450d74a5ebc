/**
 * The text by which an agent refuses a connection in a Stderr frame, so that a vsockbox client
 * distinguishes it from a command's output.
 */
export const REFUSED_TEXT = "connection refused";

/** The reason of an agent of version 0.1 that finds no token in a Hello. */
export const TOKEN_MISSING_TEXT = "the token is missing";

/** Returns whether a text begins as an agent's refusal; that of a connection in the guest does not. */
export function isAgentRefusal(text: string): boolean {
  return /^vsockbox agent: (?:accept: )?connection refused: /.test(text);
}
