/** What a file is without the extension: its bytes. */
import { type Operation } from "../operations.ts";
import { VsockboxError } from "../errors.ts";
import type { TreeRecord } from "../protocols/agent/tree-records.ts";
import { encodeGrantExtension } from "../protocols/vsock-shell/extension.ts";
import type { TransferEvent } from "../protocols/vsock-shell/server-protocol.ts";
import type { JsonObject } from "../protocols/agent/json-fields.ts";
import { VERSION } from "../version.ts";

/** Mode of a file whose own is not known, less the umask, as the C programs have it. */
const MODE = 0o644;

/** Nothing but bytes is known of the file. */
export function plainFile(name: Uint8Array): TreeRecord & { kind: "file" } {
  const seconds = Math.floor(Date.now() / 1000);
  return {
    kind: "file",
    name,
    size: undefined,
    mode: MODE,
    seconds,
    nanoseconds: 0,
    uid: 0,
    gid: 0,
  };
}

/** A plain transfer has none of these. */
export const PLAIN_FLAGS = {
  preserve: false,
  resume: false,
  checksum: false,
  keep: false,
} as const;

/** The object of a granted transfer without features; nothing for a C client. */
export function plainGrant({ extension }: TransferEvent, size?: number): JsonObject | undefined {
  return extension === undefined
    ? undefined
    : encodeGrantExtension({ features: [], window: 0, size }, VERSION);
}

/** The peer has disconnected in the middle of a file. */
export function vanished(operation: Operation): VsockboxError {
  return new VsockboxError({
    code: "TRANSPORT",
    operation,
    message: "the connection ended in the middle of the file",
  });
}
