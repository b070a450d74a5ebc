/** Reads an exec request that is longer than one frame. */
import {
  addExecPart,
  decodeExecPart,
  type ExecOperation,
  type ExecPart,
} from "../../protocols/agent/exec-request.ts";
import { badField } from "../../protocols/agent/json-fields.ts";
import { StartError } from "../../start-error.ts";
import type { Channel } from "../channel/channel.ts";

/** More than the kernel accepts for a program: three quarters of 8 MiB of stack, execve(2). */
const MAX_REQUEST_BYTES = 6 * 1024 * 1024;

/**
 * Returns the request joined with the records that continue it.
 *
 * @throws {VsockboxError} BAD_DATA, and resources (E2BIG) if it is longer than any kernel accepts.
 */
export async function receiveExecRequest(
  channel: Channel,
  opened: ExecOperation,
): Promise<ExecOperation> {
  let request = opened;
  let bytes = 0;
  while (request.more) {
    const item = await channel.next();
    if (item?.kind !== "record")
      throw badField("exec request", "a Record that continues it is missing");
    const part = decodeExecPart(item.value);
    bytes += sizeOf(part);
    if (bytes > MAX_REQUEST_BYTES) throw tooLong();
    request = addExecPart(request, part);
  }
  return request;
}

const POINTER_BYTES = 8;

function sizeOf({ argv, env }: ExecPart): number {
  return [...argv, ...env].reduce((sum, text) => sum + text.length + 1 + POINTER_BYTES, 0);
}

function tooLong(): StartError {
  return new StartError({
    kind: "resources",
    stage: "program",
    operation: "run command",
    message: `arguments and environment have more than ${MAX_REQUEST_BYTES} bytes`,
    errno: "E2BIG",
  });
}
