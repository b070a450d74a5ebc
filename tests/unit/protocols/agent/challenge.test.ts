import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { VsockboxError } from "../../../../src/errors.ts";
import {
  admit,
  decodeProof,
  encodeProof,
  judgeAgent,
  NONCE_BYTES,
  PROOF_BYTES,
  proofInput,
} from "../../../../src/protocols/agent/challenge.ts";
import {
  decodeHello,
  encodeHello,
  FEATURES,
  isEcho,
} from "../../../../src/protocols/agent/hello.ts";
import { isProof, isToken, newNonce, proofOf } from "../../../../src/agent/channel/token-proof.ts";

const nonce = (byte: number) => new Uint8Array(NONCE_BYTES).fill(byte);
const json = (value: unknown) => Buffer.from(JSON.stringify(value));

describe("input of a proof", () => {
  test("is the label with the role, a NUL, the client's nonce, the agent's nonce", () => {
    const input = proofInput("client", { client: nonce(1), agent: nonce(2) });
    const label = "vsockbox agent token v1 client\0";
    expect(Buffer.from(input)).toEqual(Buffer.concat([Buffer.from(label), nonce(1), nonce(2)]));
  });

  test("differs by role and by each nonce", () => {
    const inputs = [
      proofInput("client", { client: nonce(1), agent: nonce(2) }),
      proofInput("agent", { client: nonce(1), agent: nonce(2) }),
      proofInput("client", { client: nonce(2), agent: nonce(1) }),
      proofInput("client", { client: nonce(1), agent: nonce(1) }),
    ];
    expect(new Set(inputs.map((input) => Buffer.from(input).toString("hex"))).size).toBe(4);
  });
});

describe("proofs", () => {
  const nonces = { client: nonce(1), agent: nonce(2) };

  test("are HMAC-SHA256 under the token", () => {
    // printf 'vsockbox agent token v1 agent\0' with 32 bytes 01 and 32 bytes 02 behind it, through
    // openssl dgst -sha256 -hmac correct-token.
    expect(Buffer.from(proofOf("correct-token", "agent", nonces)).toString("hex")).toBe(
      "b01635b74da8f2018530f3afc8adcc369414be499b85fcb950979fabe066a877",
    );
  });

  test("hold for one token, one role and one pair of nonces", () => {
    const proof = proofOf("correct-token", "agent", nonces);
    expect(isProof(proof, "correct-token", "agent", nonces)).toBe(true);
    expect(isProof(proof, "another-token", "agent", nonces)).toBe(false);
    expect(isProof(proof, "correct-token", "client", nonces)).toBe(false);
    expect(isProof(proof, "correct-token", "agent", { ...nonces, agent: nonce(3) })).toBe(false);
    expect(isProof(proof, "correct-token", "agent", { ...nonces, client: nonce(3) })).toBe(false);
    expect(isProof(proof.subarray(1), "correct-token", "agent", nonces)).toBe(false);
    expect(isProof(new Uint8Array(PROOF_BYTES), "correct-token", "agent", nonces)).toBe(false);
  });

  test("a nonce is never used twice, and has its length", () => {
    const made = Array.from({ length: 100 }, () => Buffer.from(newNonce()).toString("hex"));
    expect(new Set(made).size).toBe(100);
    expect(made[0]).toHaveLength(2 * NONCE_BYTES);
  });

  test("a token in clear is compared whole", () => {
    expect(isToken("secret-token", "secret-token")).toBe(true);
    for (const wrong of ["", "secret-toke", "secret-token ", "Secret-token"]) {
      expect(isToken(wrong, "secret-token")).toBe(false);
    }
  });
});

describe("a Proof frame", () => {
  test("comes out as it went in", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: PROOF_BYTES, maxLength: PROOF_BYTES }), (proof) => {
        expect(Buffer.from(decodeProof(json(encodeProof(proof))))).toEqual(Buffer.from(proof));
      }),
    );
  });

  test.each([
    [{}, "proof is missing"],
    [{ proof: "" }, "proof is missing"],
    [{ proof: 7 }, "proof is not a string"],
    [{ proof: "AAAA" }, "not 32 bytes"],
    [{ proof: Buffer.alloc(33).toString("base64") }, "not 32 bytes"],
    [{ proof: "!" }, "not 32 bytes"],
  ])("%j is refused", (value, message) => {
    expect(() => decodeProof(json(value))).toThrow(message);
  });

  test("no input has another outcome than a proof or BAD_DATA", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        try {
          expect(decodeProof(bytes)).toHaveLength(PROOF_BYTES);
        } catch (thrown) {
          expect((thrown as VsockboxError).code).toBe("BAD_DATA");
        }
      }),
    );
  });
});

describe("Hello", () => {
  const hello = {
    protocol: 1,
    version: "v",
    features: FEATURES,
    window: 1 << 20,
    token: undefined,
  };

  test("carries nonce and proof", () => {
    const sent = { ...hello, nonce: nonce(5), proof: nonce(6) };
    expect(decodeHello(json(encodeHello(sent)))).toEqual(sent);
    expect(encodeHello(hello)).not.toContainKeys(["nonce", "proof", "token"]);
  });

  test("that comes back is an echo; one with other random bytes, or without any, is not", () => {
    const sent = { ...hello, connectionId: Uint8Array.from({ length: 16 }, (_, index) => index) };
    const received = decodeHello(json(encodeHello(sent)));
    expect(received).toEqual(sent);
    expect(isEcho(sent, received)).toBe(true);
    for (const index of [0, 15]) {
      const connectionId = sent.connectionId.with(index, 99);
      expect(isEcho(sent, { ...received, connectionId })).toBe(false);
    }
    expect(isEcho(sent, { ...received, connectionId: sent.connectionId.subarray(0, 15) })).toBe(
      false,
    );
    expect(isEcho(sent, hello)).toBe(false);
    expect(isEcho(hello, received)).toBe(false);
    expect(isEcho(hello, hello)).toBe(false);
    expect(encodeHello(hello)).not.toContainKey("connection_id");
  });

  test("may have fields that this version does not know", () => {
    expect(decodeHello(json({ ...encodeHello(hello), of_a_later_version: [1] }))).toEqual(hello);
  });

  test("a connection_id of another length is refused", () => {
    const value = { ...encodeHello(hello), connection_id: Buffer.alloc(15).toString("base64") };
    expect(() => decodeHello(json(value))).toThrow("connection_id is not 16 bytes");
  });

  test("a nonce or proof of another length is refused", () => {
    for (const name of ["nonce", "proof"]) {
      const value = { ...encodeHello(hello), [name]: Buffer.alloc(31).toString("base64") };
      expect(() => decodeHello(json(value))).toThrow(`${name} is not 32 bytes`);
    }
  });
});

describe("an agent's decision", () => {
  const strict = { tokenIsExpected: true, acceptsClearToken: false };
  const lenient = { tokenIsExpected: true, acceptsClearToken: true };

  test("without a token everything is open", () => {
    const none = { tokenIsExpected: false, acceptsClearToken: false };
    expect(admit({}, none)).toEqual({ kind: "open" });
    expect(admit({ nonce: nonce(1) }, none)).toEqual({ kind: "open" });
    expect(admit({ token: "t" }, none)).toEqual({ kind: "open" });
  });

  test("a nonce is challenged, whatever else comes with it", () => {
    const challenge = { kind: "challenge" as const, clientNonce: nonce(1) };
    expect(admit({ nonce: nonce(1) }, strict)).toEqual(challenge);
    expect(admit({ nonce: nonce(1), token: "t" }, lenient)).toEqual(challenge);
  });

  test("a token in clear is compared only if that is accepted", () => {
    expect(admit({ token: "t" }, lenient)).toEqual({ kind: "clear", token: "t" });
    expect(admit({ token: "t" }, strict)).toMatchObject({ kind: "refuse" });
  });

  test("neither is refused", () => {
    expect(admit({}, lenient)).toEqual({ kind: "refuse", reason: "the token is missing" });
    expect(admit({}, strict)).toEqual({ kind: "refuse", reason: "the token is missing" });
  });
});

describe("a client's judgement of an agent", () => {
  const proved = { features: FEATURES, nonce: nonce(1), proof: nonce(2) };

  test("a client without a token asks for no proof", () => {
    expect(judgeAgent(proved, false)).toEqual({ kind: "open" });
    expect(judgeAgent({ features: [] }, false)).toEqual({ kind: "open" });
  });

  test("nonce and proof are to be verified", () => {
    expect(judgeAgent(proved, true)).toEqual({
      kind: "verify",
      agentNonce: nonce(1),
      proof: nonce(2),
    });
  });

  test("an agent that proves nothing has no token, or is old", () => {
    for (const half of [{}, { nonce: nonce(1) }, { proof: nonce(1) }]) {
      expect(judgeAgent({ features: FEATURES, ...half }, true)).toEqual({ kind: "no token" });
      expect(judgeAgent({ features: ["exec"], ...half }, true)).toEqual({ kind: "old" });
    }
  });
});
