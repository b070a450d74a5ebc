/** Asking a server for a transfer, and finding out what kind of server it is. */
import type { TransferFlags } from "../protocols/agent/channel-requests.ts";
import type { TransferProgress } from "../agent/transfer/transfer.ts";
import { VsockboxError } from "../errors.ts";
import { baseName, showPath } from "../files/bytes-path.ts";
import { CHANNEL_WINDOW_BYTES } from "../protocols/agent/credit.ts";
import { ClientProtocol, ServerRefusalError } from "../protocols/vsock-shell/client-protocol.ts";
import {
  encodeTransferExtension,
  TREE_FEATURE,
  type TransferExtension,
  type TransferGrant,
} from "../protocols/vsock-shell/extension.ts";
import { SHELL_HEADER_BYTES, Type } from "../protocols/vsock-shell/message.ts";
import {
  encodePair,
  encodeText,
  isSpeakable,
  UNSPEAKABLE_PAIR,
} from "../protocols/vsock-shell/texts.ts";
import { leaveTransfer } from "./c-server.ts";
import type { MessageConnection } from "./message-connection.ts";
import { shellEndedEarly } from "./remote-shell.ts";

/** A transfer as the user wants it. */
export interface TransferRequest extends Omit<TransferFlags, "keep"> {
  local: Buffer;
  remote: Buffer;
  overwrite: boolean;
  recursive: boolean;
  /** Of a download, with `preserve`: owners, as root, and set-ID bits are the server's, too. */
  preserveOwner: boolean;
  /** Of a download: most bytes that are received; undefined: any number. */
  maxBytes: number | undefined;
  /** Frames of the C programs, although the server may be able to do more. */
  plain: boolean;
  /** Fires to end the transfer. */
  signal: AbortSignal;
  onProgress(progress: TransferProgress): void;
  /** Called when the size of a download is known. */
  onSize(bytes: number | undefined): void;
}

/** A transfer that the server has granted. */
export interface GrantedTransfer {
  protocol: ClientProtocol;
  /** Undefined: a C server. */
  grant: TransferGrant | undefined;
  /** Bytes of the answer, with its header. */
  answerBytes: number;
}

/** Whether the transfer goes over a channel. */
export function goesByTree(grant: TransferGrant | undefined): grant is TransferGrant {
  return grant?.features.includes(TREE_FEATURE) === true;
}

/**
 * Asks for a transfer and waits for the answer.
 *
 * @throws {VsockboxError} REFUSED with the server's reason; UNAVAILABLE if it is a C server and
 * cannot perform the request; TRANSPORT; BAD_DATA.
 */
export async function askForTransfer(
  connection: MessageConnection,
  purpose: "upload" | "download",
  request: TransferRequest,
): Promise<GrantedTransfer> {
  const protocol = new ClientProtocol(purpose);
  const { local, remote } = request;
  const beyond = beyondC(request);
  const pair =
    beyond === undefined
      ? encodePair(
          ...(purpose === "upload" ? ([local, remote] as const) : ([remote, local] as const)),
        )
      : Buffer.from(UNSPEAKABLE_PAIR);
  const start = encodeText(pair, encodeTransferExtension(extensionOf(purpose, request)));
  await connection.send(purpose === "upload" ? Type.UploadStart : Type.DownloadStart, start);
  try {
    for (;;) {
      const message = await connection.nextInTime();
      if (message === undefined) throw shellEndedEarly();
      const event = protocol.accept(message);
      if (event.kind === "over") throw shellEndedEarly();
      if (event.kind !== "granted") continue;
      const answerBytes = SHELL_HEADER_BYTES + message.data.length;
      return { protocol, grant: event.grant, answerBytes };
    }
  } catch (thrown) {
    if (!(thrown instanceof VsockboxError)) throw thrown;
    // A C server goes on with the session, ours does not: this suits both.
    if (thrown.code === "REFUSED") await leaveTransfer(connection, new Uint8Array(0));
    const isUnspeakable = thrown instanceof ServerRefusalError && thrown.namesUnspeakablePair;
    throw beyond !== undefined && isUnspeakable ? cannot(beyond) : thrown;
  }
}

function extensionOf(purpose: "upload" | "download", request: TransferRequest): TransferExtension {
  const { local, remote, overwrite, recursive, resume, checksum, preserve, plain } = request;
  return {
    features: plain ? [] : [TREE_FEATURE],
    path: remote,
    name: baseName(purpose === "upload" ? remote : local),
    window: CHANNEL_WINDOW_BYTES,
    overwrite,
    recursive,
    resume,
    checksum,
    preserve,
  };
}

/** What of the request no C server can do: it must refuse then, and not do half of it. */
function beyondC(request: TransferRequest): string | undefined {
  for (const path of [request.remote, request.local]) {
    if (!isSpeakable(path)) return `the path ${showPath(path)}, which has a blank`;
  }
  if (request.overwrite) return "--force";
  if (request.recursive) return "--recursive";
  if (request.resume) return "--resume";
  if (request.checksum) return "--checksum";
  return request.preserve ? "--preserve" : undefined;
}

function cannot(what: string): VsockboxError {
  return new VsockboxError({
    code: "UNAVAILABLE",
    operation: "transfer",
    message: `the server is vsock-shell's own, which cannot do ${what}`,
    hint: "run `vsockbox shell-server` there",
  });
}
