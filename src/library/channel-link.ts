/** The library's operations over the channels of a vsockbox agent. */
import { joinChannel } from "../agent/channel/channel-pipe.ts";
import type { AgentClient } from "../agent/client/agent-client.ts";
import { toVsockboxError } from "../errors.ts";
import type { SocketStream } from "../io/stream.ts";
import type { Endpoint } from "../text/endpoint.ts";
import type { AgentLink, GuestListener } from "./agent-link.ts";

/** Returns the operations of a connected client, which they own. */
export function channelLink(client: AgentClient): AgentLink {
  return {
    protocol: "channels",
    version: client.hello.version,
    closed: client.closed,
    spawn: (command) => client.spawn(command),
    read: (path) => client.read(path),
    upload: (source, directory, name, options) => client.upload(source, directory, name, options),
    download: (remote, directory, name, options) =>
      client.download(remote, directory, name, options),
    list: (path, maxEntries) => client.list(path, maxEntries),
    watch: (path, options) => client.watch(path, options),
    request: (request) => client.request(request),
    carry: (stream, target) => carry(client, stream, target),
    listen: (endpoint, connect, onError) => listenInGuest(client, { endpoint, connect, onError }),
    ping: () => client.ping(),
    close: () => client.close(),
  };
}

async function carry(client: AgentClient, stream: SocketStream, target: Endpoint): Promise<void> {
  const { channel } = await client.dial(target);
  const reason = await joinChannel(channel, stream);
  if (reason !== undefined) throw reason;
}

async function listenInGuest(
  client: AgentClient,
  {
    endpoint,
    connect,
    onError,
  }: {
    endpoint: Endpoint;
    connect: () => Promise<SocketStream>;
    onError: (error: Error) => void;
  },
): Promise<GuestListener> {
  return client.listen(endpoint, (channel) => {
    connect()
      .then((stream) => joinChannel(channel, stream))
      .then(
        (reason) => {
          if (reason !== undefined) onError(reason);
        },
        (thrown: unknown) => {
          const error = toVsockboxError(thrown, "forward");
          channel.fail(error);
          onError(error);
        },
      );
  });
}
