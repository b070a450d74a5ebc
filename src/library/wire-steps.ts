/** The steps of requests over the agent's wire, on the errors of `wire.ts` and `exec-pipe.ts`. */
import { type ErrorCode, type ErrorStep, VsockboxError } from "../errors.ts";

/** The steps by the code of an error that has none yet; `read` replaces those of reading a response. */
export interface StepOfCode extends Readonly<Partial<Record<ErrorCode, ErrorStep>>> {
  readonly read?: ErrorStep;
}

/** Of a message: one above the limit is refused by its header. */
export const MESSAGE_STEPS: StepOfCode = { BAD_DATA: "read_response_header" };

/** Of a request for files. */
export const FILE_STEPS: StepOfCode = {
  USAGE: "encode_file_request",
  UNAVAILABLE: "encode_file_request",
  IO: "file_remote",
  REFUSED: "file_remote",
  TRANSPORT: "read_response_header",
  BAD_DATA: "read_response_data",
};

/** Of a forwarded port. */
export const PORT_FORWARD_STEPS: StepOfCode = {
  UNAVAILABLE: "port_forward_rejected",
  REFUSED: "port_forward_rejected",
  TRANSPORT: "read_port_forward_response",
  read: "read_port_forward_response",
  BAD_DATA: "unexpected_port_forward_message",
};

/** Of a command. */
export const EXEC_STEPS: StepOfCode = {
  TRANSPORT: "read_response_header",
  BAD_DATA: "read_response_data",
};

/**
 * Returns an error with its step: its own, or that of its code. Errors of other kinds, and those whose code
 * has no step, such as failed starts, are returned as they are.
 */
function withWireStep(thrown: unknown, steps: StepOfCode): unknown {
  if (!(thrown instanceof VsockboxError)) return thrown;
  const step = (thrown.step && readStepIn(steps, thrown.step)) ?? steps[thrown.code];
  return step === undefined || step === thrown.step ? thrown : thrown.withStep(step);
}

function readStepIn({ read }: StepOfCode, step: ErrorStep): ErrorStep {
  const isRead = step === "read_response_header" || step === "read_response_data";
  return isRead ? (read ?? step) : step;
}

/** Runs a request whose errors get their steps. */
export async function inWireSteps<T>(steps: StepOfCode, request: () => Promise<T>): Promise<T> {
  try {
    return await request();
  } catch (thrown) {
    throw withWireStep(thrown, steps);
  }
}
