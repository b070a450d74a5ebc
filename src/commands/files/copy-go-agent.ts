/** Copies of single whole files to and from an agent that has only the Go agent's frames. */
import { readFileSync, statSync } from "node:fs";
import { listOldDirectory, readOldFile, writeOldFile } from "../../agent/client/go-files.ts";
import { fileError } from "../../agent/transfer/transfer.ts";
import { writeFileAtomically } from "../../files/atomic-write.ts";
import { baseName, type BytesPath, bytesPath, joinPath } from "../../files/bytes-path.ts";
import { requiredStandardInput } from "../../io/stdio.ts";
import type { AgentTarget, Operand } from "../shared/target.ts";
import { usage } from "./copy-usage.ts";

/** A local file or a standard stream. */
export type LocalOperand = Exclude<Operand, { kind: "remote" }>;

/**
 * Sends a local file or standard input to a guest.
 *
 * @returns the number of bytes.
 * @throws {VsockboxError} IO; USAGE for standard input without a file name.
 */
export async function uploadToGoAgent(
  { address, options }: AgentTarget,
  source: LocalOperand,
  destination: Uint8Array,
): Promise<number> {
  const content =
    source.kind === "stream"
      ? new Uint8Array(await Bun.readableStreamToArrayBuffer(toReadable(requiredStandardInput())))
      : readLocalFile(source.path);
  const isDirectory = await listOldDirectory(address, options, destination).then(
    () => true,
    () => false,
  );
  const name = source.kind === "stream" ? undefined : baseName(source.path);
  if (isDirectory && name === undefined) {
    throw usage("the destination is a directory", "standard input needs a file's name");
  }
  const path =
    isDirectory && name !== undefined ? joinPath(destination, name) : bytesPath(destination);
  const mode = source.kind === "stream" ? 0o644 : statSync(bytesPath(source.path)).mode & 0o777;
  await writeOldFile(address, options, path, content, mode);
  return content.length;
}

/**
 * Copies a file of a guest to a local path, with mode 0644.
 *
 * @returns the number of bytes.
 * @throws {VsockboxError} IO.
 */
export async function downloadFromGoAgent(
  { address, options }: AgentTarget,
  source: Uint8Array,
  path: BytesPath,
): Promise<number> {
  const content = await readOldFile(address, options, source);
  await writeFileAtomically(path.toString(), content, 0o644);
  return content.length;
}

function readLocalFile(path: Uint8Array): Uint8Array {
  try {
    return readFileSync(bytesPath(path));
  } catch (thrown) {
    throw fileError("read", bytesPath(path), thrown);
  }
}

function toReadable(source: AsyncIterable<Uint8Array>): ReadableStream<Uint8Array> {
  return new ReadableStream({
    async start(controller) {
      for await (const chunk of source) controller.enqueue(chunk);
      controller.close();
    },
  });
}
