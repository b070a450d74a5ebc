/** Copies a single whole file to an agent that has only the Go agent's frames. */
import { readLocalFile } from "../../agent/client/go-copy.ts";
import { listOldDirectory, writeOldFile } from "../../agent/client/go-files.ts";
import { baseName, bytesPath, joinPath } from "../../files/bytes-path.ts";
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
  const { content, mode } =
    source.kind === "stream"
      ? { content: await readAll(requiredStandardInput()), mode: 0o644 }
      : readLocalFile(bytesPath(source.path));
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
  await writeOldFile(address, options, path, content, mode);
  return content.length;
}

async function readAll(source: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  return new Uint8Array(await Bun.readableStreamToArrayBuffer(toReadable(source)));
}

function toReadable(source: AsyncIterable<Uint8Array>): ReadableStream<Uint8Array> {
  return new ReadableStream({
    async start(controller) {
      for await (const chunk of source) controller.enqueue(chunk);
      controller.close();
    },
  });
}
