/** The connections of a copy: one for each target, opened when it is needed first. */
import { AgentClient } from "../../agent/client/agent-client.ts";
import { mayUseGoFrames, type OldAgentError } from "../../agent/client/handshake.ts";
import { VsockboxError } from "../../errors.ts";
import { abortError, onAbort } from "../../io/deadline.ts";
import { readAddress } from "../shared/address-kind.ts";
import { agentTarget, type AgentTarget } from "../shared/target.ts";
import type { CopyValues } from "./copy-arguments.ts";

/** Time limit for an interrupted copy to notify the guests, in milliseconds. */
const INTERRUPT_TIMEOUT_MS = 1000;

/** Opens and closes the connections of a copy. */
export class CopyConnections implements AsyncDisposable {
  readonly #args: CopyValues;
  readonly #signal: AbortSignal;
  readonly #clients = new Map<string, Promise<AgentClient | undefined>>();

  /** @param signal fires to interrupt the copy; connections that are still open a second later are aborted. */
  constructor(args: CopyValues, signal: AbortSignal) {
    this.#args = args;
    this.#signal = signal;
    // A guest that is stopped reads nothing, not even the notification of the interrupt.
    onAbort(signal, () => setTimeout(() => void this.#abortAll(), INTERRUPT_TIMEOUT_MS).unref());
  }

  async #abortAll(): Promise<void> {
    for (const connecting of this.#clients.values()) {
      const client = await connecting.catch(() => undefined);
      client?.abort(abortError(this.#signal, "copy"));
    }
  }

  /** Returns the address and options of a target. */
  target(name: string): AgentTarget {
    return agentTarget(this.#args, readAddress(name), this.#signal);
  }

  /** Returns the connection to a target; undefined if its agent has only the Go agent's frames. */
  client(name: string): Promise<AgentClient | undefined> {
    const known = this.#clients.get(name);
    if (known !== undefined) return known;
    const { address, options } = this.target(name);
    const connecting = AgentClient.connect(address, options).catch((thrown: unknown) => {
      if (!mayUseGoFrames(thrown, options)) throw thrown;
      this.#refuseForOld(thrown);
      return undefined;
    });
    this.#clients.set(name, connecting);
    return connecting;
  }

  /** Refuses options that whole-file frames cannot carry, instead of ignoring them. */
  #refuseForOld(error: OldAgentError): void {
    const { recursive, preserve, resume, checksum, noClobber, list, dryRun } = this.#args;
    const asked = {
      ...{ recursive, preserve, resume, checksum, list },
      "no-clobber": noClobber,
      "dry-run": dryRun,
    };
    const impossible = Object.entries(asked).find(([, isOn]) => isOn)?.[0];
    if (impossible === undefined) return;
    throw new VsockboxError({
      code: "UNAVAILABLE",
      operation: "copy",
      message: `the agent is too old for --${impossible}`,
      hint: error.hint,
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const clients = await Promise.allSettled(this.#clients.values());
    for (const client of clients) {
      if (client.status === "fulfilled") await client.value?.close();
    }
  }
}
