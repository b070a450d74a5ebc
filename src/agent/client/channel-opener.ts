/** Requests to an agent: each opens a channel, whose result or records are the answer. */
import { VsockboxError } from "../../errors.ts";
import type { ChannelRequest } from "../../protocols/agent/channel-requests.ts";
import type { JsonObject } from "../../protocols/agent/json-fields.ts";
import type { Channel } from "../channel/channel.ts";

/** A connection to an agent that can open channels. */
export interface ChannelOpener {
  /** Opens a channel for a request; `onControl` gets the agent's control messages. */
  open(request: ChannelRequest, onControl?: (value: JsonObject) => void): Channel;
}

/**
 * Sends a request and returns its result.
 *
 * @throws {VsockboxError} the agent's error.
 */
export async function requestResult(
  opener: ChannelOpener,
  request: ChannelRequest,
): Promise<JsonObject> {
  const channel = opener.open(request);
  channel.end();
  return channel.result;
}

/**
 * Sends a request that is answered with records, and returns its result after them.
 *
 * @throws {VsockboxError} the agent's error.
 */
export async function* requestRecords(
  opener: ChannelOpener,
  request: ChannelRequest,
): AsyncGenerator<JsonObject, JsonObject> {
  const channel = opener.open(request);
  channel.end();
  try {
    for (;;) {
      const item = await channel.next();
      if (item === undefined) break;
      if (item.kind === "record") yield item.value;
    }
    return await channel.result;
  } finally {
    channel.cancel(readerStopped());
  }
}

/** Returns the reason of a channel that is cancelled because its reader needs no more items. */
export function readerStopped(): VsockboxError {
  return new VsockboxError({
    code: "ABORTED",
    operation: "read",
    message: "the reader has stopped",
  });
}
