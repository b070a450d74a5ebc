/** A transfer between two vsockbox ends: after the answer the connection has one channel of the agent protocol. */
import { openSync } from "node:fs";
import { ChannelConnection } from "../agent/channel/channel-connection.ts";
import type { Channel } from "../agent/channel/channel.ts";
import { FrameConnection } from "../agent/channel/frame-connection.ts";
import { fileError } from "../agent/transfer/transfer.ts";
import { TreeReceiver } from "../agent/transfer/tree-receiver.ts";
import { TreeSender } from "../agent/transfer/tree-sender.ts";
import { toVsockboxError } from "../errors.ts";
import { bytesPath } from "../files/bytes-path.ts";
import { DirectoryHandle } from "../files/directory-handle.ts";
import { decodeChannelRequest } from "../protocols/agent/channel-requests.ts";
import { CHANNEL_WINDOW_BYTES } from "../protocols/agent/credit.ts";
import { badField, type JsonObject } from "../protocols/agent/json-fields.ts";
import {
  encodeGrantExtension,
  type TransferExtension,
  TREE_FEATURE,
} from "../protocols/vsock-shell/extension.ts";
import { Type } from "../protocols/vsock-shell/message.ts";
import { encodeGrant } from "../protocols/vsock-shell/texts.ts";
import { VERSION } from "../version.ts";
import type { MessageConnection } from "./message-connection.ts";
import type { Destination, DownloadSource } from "./server-path.ts";

/** Whether a client asks for a transfer of this kind. */
export function wantsTree(
  extension: TransferExtension | undefined,
): extension is TransferExtension {
  return extension?.features.includes(TREE_FEATURE) === true;
}

/**
 * Receives the files of the client.
 *
 * @throws {VsockboxError} BAD_DATA, TRANSPORT. Errors of the transfer itself were sent to the client.
 */
export function runTreeUpload(
  connection: MessageConnection,
  pair: Uint8Array,
  extension: TransferExtension,
  { directory, name, shown }: Destination,
): Promise<void> {
  return runTree(connection, { op: "put", pair, extension }, async (channel) => {
    const { resume, checksum, preserve, recursive, overwrite } = extension;
    const receiver = new TreeReceiver(channel, {
      resume,
      checksum,
      preserve,
      recursive,
      keep: false,
      exclusive: !overwrite,
      sync: true,
      expected: name,
    });
    await receiver.receive(DirectoryHandle.borrow(directory.fd), shown);
    return receiver.summary.toJSON();
  });
}

/**
 * Sends what the client asked for.
 *
 * @throws {VsockboxError} as {@link runTreeUpload}.
 */
export function runTreeDownload(
  connection: MessageConnection,
  path: Uint8Array,
  pair: Uint8Array,
  extension: TransferExtension,
  { opened, status }: DownloadSource,
): Promise<void> {
  const size = status.isFile() ? status.size : undefined;
  return runTree(connection, { op: "get", pair, extension, size }, async (channel) => {
    const { resume, checksum, preserve, recursive, name } = extension;
    const sender = new TreeSender(channel, { resume, checksum, preserve, recursive, keep: false });
    const open = (flags: number) => openSync(opened.path, flags);
    const shown = bytesPath(path);
    await sender.sendOpened({ fd: opened.fd, open }, shown, name).catch((thrown: unknown) => {
      throw channel.isClosed ? thrown : fileError("read", shown, thrown);
    });
    channel.end();
    return sender.summary.toJSON();
  });
}

/** A transfer that was granted. */
interface GrantedTree {
  op: "put" | "get";
  pair: Uint8Array;
  extension: TransferExtension;
  size?: number | undefined;
}

async function runTree(
  connection: MessageConnection,
  { op, pair, extension, size }: GrantedTree,
  work: (channel: Channel) => Promise<JsonObject>,
): Promise<void> {
  const grant = { features: [TREE_FEATURE], window: CHANNEL_WINDOW_BYTES, size };
  const type = op === "put" ? Type.ReadySend : Type.ReadyReceive;
  await connection.send(type, encodeGrant(pair, encodeGrantExtension(grant, VERSION)));
  const frames = new FrameConnection(connection.detach());
  let working: Promise<void> | undefined;
  const channels = new ChannelConnection(frames, {
    side: "agent",
    peerWindow: extension.window,
    onOpen(channel, request) {
      const begun = working !== undefined;
      const served = serve(channel, request, op, begun, work);
      working ??= served;
    },
  });
  try {
    await channels.run();
  } finally {
    await working;
  }
  await frames.finish();
}

/** Serves the one channel that was granted. Never throws. */
async function serve(
  channel: Channel,
  request: JsonObject,
  op: "put" | "get",
  begun: boolean,
  work: (channel: Channel) => Promise<JsonObject>,
): Promise<void> {
  try {
    if (begun || decodeChannelRequest(request).op !== op) {
      throw badField("Open", "it is not the one transfer that was granted");
    }
    channel.finish(await work(channel));
  } catch (thrown) {
    channel.fail(toVsockboxError(thrown, "serve"));
  }
}
