/** The Hello that this version sends, for either side. */
import { randomBytes } from "node:crypto";
import { CHANNEL_WINDOW_BYTES } from "../../protocols/agent/credit.ts";
import { encodeJsonFrame, FrameType } from "../../protocols/agent/frame.ts";
import {
  CONNECTION_ID_BYTES,
  encodeHello,
  FEATURES,
  type Hello,
  PROTOCOL_VERSION,
} from "../../protocols/agent/hello.ts";
import { VERSION } from "../../version.ts";

/** Returns the Hello of a client for one connection, by default without a token or a nonce. */
export function clientHello(secret: Partial<Pick<Hello, "token" | "nonce">> = {}): Hello {
  return { ...commonHello(), ...secret, connectionId: randomBytes(CONNECTION_ID_BYTES) };
}

/** Returns the Hello of an agent, by default without a proof of its token. */
export function agentHello(proof: Partial<Pick<Hello, "nonce" | "proof">> = {}): Hello {
  return { ...commonHello(), ...proof };
}

/** Returns a Hello as a frame. */
export function helloFrame(hello: Hello): Uint8Array {
  return encodeJsonFrame(FrameType.Hello, encodeHello(hello));
}

function commonHello(): Hello {
  return {
    protocol: PROTOCOL_VERSION,
    version: `vsockbox ${VERSION}`,
    features: FEATURES,
    window: CHANNEL_WINDOW_BYTES,
    token: undefined,
  };
}
