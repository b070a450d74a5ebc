/** Nonces and proofs of a token; protocols/agent/challenge.ts describes the exchange. */
import { createHash, createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import {
  NONCE_BYTES,
  type Nonces,
  proofInput,
  type ProofRole,
} from "../../protocols/agent/challenge.ts";

/** Returns a nonce that was never used before. */
export function newNonce(): Uint8Array {
  return randomBytes(NONCE_BYTES);
}

/** Returns the proof that `role` knows the token. */
export function proofOf(token: string, role: ProofRole, nonces: Nonces): Uint8Array {
  return createHmac("sha256", token).update(proofInput(role, nonces)).digest();
}

/** Whether a proof is right; compared in constant time. */
export function isProof(
  proof: Uint8Array,
  token: string,
  role: ProofRole,
  nonces: Nonces,
): boolean {
  const expected = proofOf(token, role, nonces);
  return proof.length === expected.length && timingSafeEqual(proof, expected);
}

/** Whether a token that came in clear is right; the time depends on neither its length nor its bytes. */
export function isToken(received: string, expected: string): boolean {
  const digest = (text: string) => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(received), digest(expected));
}
