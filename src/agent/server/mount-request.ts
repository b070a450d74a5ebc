/**
 * Mounts a directory of the host by a process of its own, `vsockbox mount`: it gets one end of a pair of
 * sockets in place of a connection to the host, the channel is joined to the other end. So the mount ends
 * with the channel, and the agent itself never waits for it.
 */
import { mkdirSync } from "node:fs";
import { type ErrorCode, EXIT_STATUS, toVsockboxError, VsockboxError } from "../../errors.ts";
import { closeDescriptor } from "../../ffi/socket.ts";
import { openSocketPair } from "../../ffi/socket-pair.ts";
import { showPath } from "../../files/bytes-path.ts";
import { adoptDescriptor } from "../../io/adopt-descriptor.ts";
import { onAbort } from "../../io/deadline.ts";
import type { SocketStream } from "../../io/stream.ts";
import { decodeUtf8 } from "../../process/environment.ts";
import { mountPointPath, refuseSecondMount } from "../../process/fuse-mounts.ts";
import { runningCommand } from "../../process/self.ts";
import type { MountOperation } from "../../protocols/agent/channel-requests.ts";
import { field, type JsonObject } from "../../protocols/agent/json-fields.ts";
import type { Channel } from "../channel/channel.ts";
import { joinChannel } from "../channel/channel-pipe.ts";

/** Names the descriptor of the connection to `vsockbox mount`. */
export const MOUNT_DESCRIPTOR_VARIABLE = "VSOCKBOX_MOUNT_FD";

/** The first descriptor after the standard streams. */
const CHILD_DESCRIPTOR = 3;

/** The line of `vsockbox mount --json` is shorter; in bytes. */
const MAX_LINE_BYTES = 64 * 1024;

type Child = Bun.Subprocess<"ignore", "pipe", "ignore">;

/**
 * Mounts whose connections have ended, by their paths: each unmounts what is there, so that the next mount
 * at the path waits for it.
 */
const ending = new Map<string, Promise<unknown>>();

/**
 * Serves a request to mount until the channel or the mount ends.
 *
 * @throws {VsockboxError} why it was not mounted.
 */
export async function serveMount(
  channel: Channel,
  request: MountOperation,
  stopping: AbortSignal,
): Promise<JsonObject> {
  const path = await freePath(request);
  const [own, childs] = openSocketPair();
  let child: Child;
  try {
    child = start(path, request, childs);
  } finally {
    closeDescriptor(childs);
  }
  const stream = await adoptDescriptor(own);
  using _stop = onAbort(stopping, () => stream.abort());
  const joined = joinChannel(channel, stream);
  void joined.then(() => noteEnding(path, child.exited));
  try {
    await reportMounted(channel, child, path);
    await child.exited;
  } finally {
    await endChild(child, stream);
  }
  await joined;
  return {};
}

function noteEnding(path: string, exited: Promise<unknown>): void {
  ending.set(path, exited);
  void exited.then(() => {
    if (ending.get(path) === exited) ending.delete(path);
  });
}

/**
 * Returns the path to mount at, once a former mount there has ended.
 *
 * @throws {VsockboxError} if the path cannot be an argument, or the directory cannot be made.
 */
async function freePath({ path }: MountOperation): Promise<string> {
  const text = decodeUtf8(path);
  if (text === undefined) {
    throw new VsockboxError({
      ...{ code: "USAGE", operation: "mount", address: showPath(path) },
      message: "the path is not UTF-8",
    });
  }
  await ending.get(text);
  refuseMounted(text);
  try {
    mkdirSync(text, { recursive: true });
  } catch (thrown) {
    throw toVsockboxError(thrown, "create directory");
  }
  return text;
}

/** Refuses a directory that is a mount, without asking its file system, for which the agent must not wait. */
function refuseMounted(path: string): void {
  let target;
  try {
    target = mountPointPath(path);
  } catch {
    // The directory above it is missing as well.
    return;
  }
  refuseSecondMount(target, " in the guest");
}

function start(path: string, { readOnly, cache }: MountOperation, descriptor: number): Child {
  const words = ["mount", "--json", "--cache", cache, ...(readOnly ? ["--read-only"] : [])];
  return Bun.spawn([...runningCommand(), ...words, "--", path], {
    stdio: ["ignore", "pipe", "ignore", descriptor],
    env: { ...process.env, [MOUNT_DESCRIPTOR_VARIABLE]: String(CHILD_DESCRIPTOR) },
  }) as unknown as Child;
}

/** Waits for the first line of the child: it is mounted, or why not. */
async function reportMounted(channel: Channel, child: Child, path: string): Promise<void> {
  const line = await firstLine(child);
  const value: unknown = line === "" ? {} : JSON.parse(line);
  const object = (typeof value === "object" && value !== null ? value : {}) as JsonObject;
  if (field(object, "mounted") !== undefined) {
    channel.control({ mounted: true });
    return;
  }
  throw errorOf(field(object, "error"), path);
}

async function firstLine(child: Child): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of child.stdout) {
    text += decoder.decode(chunk, { stream: true });
    const end = text.indexOf("\n");
    if (end !== -1) return text.slice(0, end);
    if (text.length > MAX_LINE_BYTES) break;
  }
  return "";
}

function errorOf(reported: unknown, path: string): VsockboxError {
  const object = (typeof reported === "object" && reported !== null ? reported : {}) as JsonObject;
  const [code, message, hint] = ["code", "message", "hint"].map((name) => field(object, name));
  const isCode = typeof code === "string" && Object.hasOwn(EXIT_STATUS, code);
  return new VsockboxError({
    code: isCode ? (code as ErrorCode) : "IO",
    operation: "mount",
    address: path,
    ...(typeof message === "string" ? { text: message } : { message: "it has ended early" }),
    hint: typeof hint === "string" ? hint : undefined,
  });
}

/** The child unmounts when its connection has ended. */
async function endChild(child: Child, stream: SocketStream): Promise<void> {
  stream.abort();
  await child.exited;
}
