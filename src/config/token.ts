/** Secrets in files: one line, without the white space around it. */
import { readFileSync } from "node:fs";
import { reasonOf, VsockboxError } from "../errors.ts";

/** Shorter ones could be guessed, longer ones are no tokens. */
const MIN_TOKEN_CHARACTERS = 8;
const MAX_TOKEN_CHARACTERS = 4096;

/**
 * Reads a token.
 *
 * @throws {VsockboxError} CONFIG, never with the token in it.
 */
export function readToken(path: string): string {
  const fail = (message: string, errno?: string): never => {
    throw new VsockboxError({
      code: "CONFIG",
      operation: "read token file",
      address: path,
      message,
      errno,
      hint: "a token is one line; `head -c 32 /dev/urandom | base64 > FILE` makes a good one",
    });
  };
  let token: string;
  try {
    token = readFileSync(path, "utf8").trim();
  } catch (thrown) {
    const { errno, message } = reasonOf(thrown);
    return fail(errno === "ENOENT" ? "no such file" : message, errno);
  }
  if (token.length < MIN_TOKEN_CHARACTERS) {
    fail(`a token has at least ${MIN_TOKEN_CHARACTERS} characters`);
  }
  if (token.length > MAX_TOKEN_CHARACTERS || /\s/.test(token)) fail("it is more than one word");
  return token;
}
