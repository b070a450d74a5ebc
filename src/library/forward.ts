/** Forwards, for the library. */
import { toVsockboxError } from "../errors.ts";
import { dialEndpoint, listenEndpoint } from "../net/endpoint.ts";
import { type Endpoint, formatEndpoint } from "../text/endpoint.ts";
import type { AgentLink } from "./agent-link.ts";

/** A listener and the target of its connections. */
export interface ForwardOptions {
  /** `local`: listen here, connect in the guest; `remote`: the other way round. */
  direction?: "local" | "remote";
  listen: Endpoint;
  target: Endpoint;
  /** Called for connections that could not be made or were reset; the forward stays. */
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
  link: AgentLink,
  { direction = "local", listen, target, onError = () => undefined }: ForwardOptions,
): Promise<Forward> {
  if (direction === "remote") {
    const listener = await link.listen(listen, () => dialEndpoint(target), onError);
    return forwardOf(listener.listening, () => listener.close());
  }
  const listener = listenEndpoint(listen, (stream) => {
    link.carry(stream, target).catch((thrown: unknown) => {
      stream.abort();
      onError(toVsockboxError(thrown, "forward"));
    });
  });
  let isOpen = true;
  const close = () => {
    if (isOpen) listener.close();
    isOpen = false;
  };
  void link.closed.then(close);
  return forwardOf(formatEndpoint(listener.endpoint), close);
}

function forwardOf(listening: string, close: () => void): Forward {
  return { listening, close, [Symbol.dispose]: close };
}
