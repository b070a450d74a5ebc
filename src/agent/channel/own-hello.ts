/** The Hello that this version sends, for either side. */
import { CHANNEL_WINDOW_BYTES } from "../../protocols/agent/credit.ts";
import { encodeJsonFrame, FrameType } from "../../protocols/agent/frame.ts";
import {
  encodeHello,
  FEATURES,
  type Hello,
  PROTOCOL_VERSION,
} from "../../protocols/agent/hello.ts";
import { VERSION } from "../../version.ts";

/** Returns this version's Hello as a frame, by default without a token or a proof of it. */
export function ownHelloFrame(
  secret: Partial<Pick<Hello, "token" | "nonce" | "proof">> = {},
): Uint8Array {
  return encodeJsonFrame(
    FrameType.Hello,
    encodeHello({
      protocol: PROTOCOL_VERSION,
      version: `vsockbox ${VERSION}`,
      features: FEATURES,
      window: CHANNEL_WINDOW_BYTES,
      token: undefined,
      ...secret,
    }),
  );
}
