/** Forwards, for the library. */
import type { AgentClient } from "../agent/client/agent-client.ts";
import { joinChannel } from "../agent/channel/channel-pipe.ts";
import { toVsockboxError } from "../errors.ts";
import { dialEndpoint, listenEndpoint } from "../net/endpoint.ts";
import { type Endpoint, formatEndpoint } from "../text/endpoint.ts";

/** A listener and the target of its connections. */
export interface ForwardOptions {
  /** `local`: listen here, connect in the guest; `remote`: the other way round. */
  direction?: "local" | "remote";
  listen: Endpoint;
  target: Endpoint;
  /** Called for connections that failed; the forward stays. */
  onError?: (error: Error) => void;
}

/** An open forward. */
export interface Forward extends Disposable {
  /** The listening address, with the port that the kernel chose: `127.0.0.1:8080`, `unix:/run/x.sock`. */
  readonly listening: string;
  /** Stops listening. Open connections stay. */
  close(): void;
}

/**
 * Opens a forward.
 *
 * @throws {VsockboxError} CANNOT_CREATE if the listener cannot be opened.
 */
export async function openForward(
  client: AgentClient,
  { direction = "local", listen, target, onError = () => undefined }: ForwardOptions,
): Promise<Forward> {
  if (direction === "remote") {
    const listener = await client.listen(listen, (channel) => {
      dialEndpoint(target).then(
        (stream) => joinChannel(channel, stream),
        (thrown: unknown) => {
          const error = toVsockboxError(thrown, "forward");
          channel.fail(error);
          onError(error);
        },
      );
    });
    return forwardOf(listener.listening, () => listener.close());
  }
  const listener = listenEndpoint(listen, (stream) => {
    client.dial(target).then(
      ({ channel }) => joinChannel(channel, stream),
      (thrown: unknown) => {
        stream.abort();
        onError(toVsockboxError(thrown, "forward"));
      },
    );
  });
  return forwardOf(formatEndpoint(listener.endpoint), () => listener.close());
}

function forwardOf(listening: string, close: () => void): Forward {
  return { listening, close, [Symbol.dispose]: close };
}
