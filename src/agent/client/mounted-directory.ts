/** A directory of the host that an agent has mounted in its guest. */
import { VsockboxError } from "../../errors.ts";
import { showPath } from "../../files/bytes-path.ts";
import type { SocketStream } from "../../io/stream.ts";
import type { MountOperation } from "../../protocols/agent/channel-requests.ts";
import { type Hello, MOUNT_FEATURE } from "../../protocols/agent/hello.ts";
import { field } from "../../protocols/agent/json-fields.ts";
import { joinChannel } from "../channel/channel-pipe.ts";
import type { ChannelOpener } from "./channel-opener.ts";

/** Where and how an agent is to mount. */
export type GuestMount = Omit<MountOperation, "op">;

/** A mount in a guest. */
export interface MountedDirectory {
  /** Resolves when it has ended; with the reason if the connection was lost. */
  ended: Promise<VsockboxError | undefined>;
}

/**
 * Has an agent mount what is served at the other end of `stream`; resolves when it is mounted. The mount
 * ends with the stream.
 *
 * @throws {VsockboxError} UNAVAILABLE for an agent that cannot mount; the agent's error.
 */
export async function mountInGuest(
  client: ChannelOpener & { readonly hello: Hello },
  request: GuestMount,
  stream: SocketStream,
): Promise<MountedDirectory> {
  if (!client.hello.features.includes(MOUNT_FEATURE)) {
    throw new VsockboxError({
      code: "UNAVAILABLE",
      operation: "mount",
      address: showPath(request.path),
      message: "this agent cannot mount directories of the host",
      errno: "EOPNOTSUPP",
      hint: "run a newer `vsockbox agent` in the guest",
    });
  }
  const mounted = Promise.withResolvers<void>();
  const channel = client.open({ op: "mount", ...request }, (value) => {
    if (field(value, "mounted") === true) mounted.resolve();
  });
  channel.result.then(() => mounted.resolve(), mounted.reject);
  const ended = joinChannel(channel, stream);
  await mounted.promise;
  return { ended };
}
