/** A relay between a Unix socket and an agent's that keeps every byte that goes through it. */
import { connect, createServer } from "node:net";

/** What went through, and the means to end it. */
export interface RecordingRelay extends Disposable {
  /** Bytes of each client, in the order in which the clients came. */
  readonly fromClients: Buffer[][];
  readonly fromAgent: Buffer[][];
}

/**
 * Listens at `path` and relays each connection to the socket at `agentPath`.
 *
 * @param breaks whether it closes the connection of a client, by its index, at the client's first bytes.
 */
export async function recordingRelay(
  path: string,
  agentPath: string,
  breaks: (index: number) => boolean = () => false,
): Promise<RecordingRelay> {
  const fromClients: Buffer[][] = [];
  const fromAgent: Buffer[][] = [];
  const server = createServer({ allowHalfOpen: true }, (client) => {
    const agent = connect({ path: agentPath, allowHalfOpen: true });
    const sent: Buffer[] = [];
    const received: Buffer[] = [];
    fromClients.push(sent);
    fromAgent.push(received);
    client.on("data", (chunk: Buffer) => void sent.push(chunk));
    if (breaks(fromClients.length - 1)) {
      client.on("data", () => client.destroy());
      client.on("close", () => agent.destroy());
      return;
    }
    agent.on("data", (chunk: Buffer) => void received.push(chunk));
    client.on("error", () => agent.destroy());
    agent.on("error", () => client.destroy());
    client.pipe(agent);
    agent.pipe(client);
  });
  const listening = Promise.withResolvers<void>();
  server.listen(path, listening.resolve);
  await listening.promise;
  return { fromClients, fromAgent, [Symbol.dispose]: () => void server.close() };
}
