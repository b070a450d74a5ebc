/**
 * Commands with several operands: one that fails is reported and does not hold up the others, and the
 * exit status is that of the first failure.
 */
import { readAddress } from "./address-kind.ts";
import { AgentClient } from "../../agent/client/agent-client.ts";
import { OutputError, toVsockboxError } from "../../errors.ts";
import { isBrokenPipe } from "../../io/stdio.ts";
import { STATUS_BROKEN_PIPE } from "../../process/exit-status.ts";
import { printJson, reportError } from "../../ui/report.ts";
import { errorJson } from "./json-error.ts";
import { commandHint } from "./error-hints.ts";
import { agentTarget, type AgentValues } from "./target.ts";

/**
 * Does the work of each operand, in order.
 *
 * @param options `json`: prints the error of one of several as JSON too.
 * @returns the exit status: of the first failure, else 0; 141 as soon as nothing reads the output.
 * @throws {VsockboxError} what ends the whole command: ABORTED, an output that cannot be written.
 */
export async function forEachOperand<T>(
  operands: readonly T[],
  work: (operand: T) => Promise<number | void>,
  { json = false }: { json?: boolean } = {},
): Promise<number> {
  let status = 0;
  for (const operand of operands) {
    try {
      const own = await work(operand);
      status ||= own ?? 0;
    } catch (thrown) {
      if (isBrokenPipe(thrown)) return STATUS_BROKEN_PIPE;
      const error = toVsockboxError(thrown);
      // A single operand's error is the command's own; the others fail for a reason of the host.
      const endsAll = error.code === "ABORTED" || error instanceof OutputError;
      if (operands.length === 1 || endsAll) throw thrown;
      if (json) printJson({ error: errorJson(thrown) });
      const own = reportError(thrown, commandHint(thrown));
      status ||= own;
    }
  }
  return status;
}

/** One connection a target, made when it is first needed. */
export class AgentClients implements AsyncDisposable {
  readonly #args: AgentValues;
  readonly #signal: AbortSignal | undefined;
  readonly #clients = new Map<string, Promise<AgentClient>>();

  /** @param signal ends connecting. */
  constructor(args: AgentValues, signal?: AbortSignal) {
    this.#args = args;
    this.#signal = signal;
  }

  /**
   * The connection to a target; one that could not be made is not tried again.
   *
   * @throws {VsockboxError} as `AgentClient.connect`.
   */
  get(target: string): Promise<AgentClient> {
    const known = this.#clients.get(target);
    if (known !== undefined) return known;
    const { address, options } = agentTarget(this.#args, readAddress(target), this.#signal);
    const connecting = AgentClient.connect(address, options);
    this.#clients.set(target, connecting);
    return connecting;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const clients = await Promise.allSettled(this.#clients.values());
    await Promise.all(
      clients.map((client) => (client.status === "fulfilled" ? client.value.close() : undefined)),
    );
  }
}
