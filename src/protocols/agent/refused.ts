/**
 * An agent's refusal of a connection. It goes over the wire as the text of a Stderr frame, since that is
 * the one frame that every client prints; so for this frame the text is the protocol, and released
 * agents' texts do not change. Only this file writes and reads it; all others use {@link Refusal}.
 */

/** Begin of the text, by which a client distinguishes a refusal from a command's output. */
const REFUSED_TEXT = "connection refused";

/** The reason of an agent of version 0.1 that finds no token in a Hello. */
export const TOKEN_MISSING_TEXT = "the token is missing";

/** What the client lacks: a token, the token in clear (version 0.1), a free session, or its CID's permission. */
export type RefusalKind = "token" | "token-missing" | "sessions" | "cid";

/** A refusal that a client has received. */
export interface Refusal {
  kind: RefusalKind;
  /** Text without the agent's prefixes, as it came: not safe to print. */
  text: string;
}

/** Returns the message of an error that refuses a connection. */
export function refusalMessage(reason: string): string {
  return `${REFUSED_TEXT}: ${reason}`;
}

/** Reads the text of an agent's Stderr frames; undefined if they are not a refusal. */
export function readRefusal(stderrText: string): Refusal | undefined {
  if (!stderrText.includes(REFUSED_TEXT)) return undefined;
  const text = stderrText
    .trim()
    .replace(/^vsockbox agent: /, "")
    .replace(/^accept: /, "");
  return { kind: kindOf(text), text };
}

function kindOf(text: string): RefusalKind {
  if (text.includes(TOKEN_MISSING_TEXT)) return "token-missing";
  if (text.includes("token")) return "token";
  return text.includes("--max-sessions") ? "sessions" : "cid";
}

/** Returns whether a text begins as an agent's refusal; that of a connection in the guest does not. */
export function isAgentRefusal(text: string): boolean {
  return /^vsockbox agent: (?:accept: )?connection refused: /.test(text);
}
