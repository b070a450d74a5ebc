/** The file frames: WriteFile, ReadFile and ListFiles, one request and one FileResult each. */
import { closeSync, constants, read } from "node:fs";
import { lstat, readdir } from "node:fs/promises";
import { promisify } from "node:util";
import { toVsockboxError, VsockboxError } from "../../errors.ts";
import { writeFileAtomically } from "../../files/atomic-write.ts";
import { statDescriptor } from "../../ffi/directory-calls.ts";
import { joinPath } from "../../files/bytes-path.ts";
import { fileKind } from "../../files/facts.ts";
import { openResolved } from "../../files/resolve-path.ts";
import {
  decodePathRequest,
  decodeWriteFileRequest,
  encodeFileResponse,
  type FileInfo,
  type FileResponse,
  goFileMode,
  READ_FILE_MAX_BYTES,
} from "../../protocols/agent/file-messages.ts";
import { encodeJsonFrame, FrameType } from "../../protocols/agent/frame.ts";
import type { FrameConnection } from "../channel/frame-connection.ts";

const readAsync = promisify(read);

/** The frame types that ask for a file operation. */
export type FileMode =
  typeof FrameType.WriteFile | typeof FrameType.ReadFile | typeof FrameType.ListFiles;

/** Serves one file request. Never throws. */
export async function runFileSession(
  connection: FrameConnection,
  type: FileMode,
  payload: Uint8Array,
): Promise<void> {
  const response = await perform(type, payload).catch((thrown: unknown): FileResponse => ({
    error: toVsockboxError(thrown, "access").wireText,
  }));
  try {
    await connection.sendEncoded(
      encodeJsonFrame(FrameType.FileResult, encodeFileResponse(response)),
    );
  } catch {
    // The host has disconnected.
  }
  await connection.finish();
}

async function perform(type: FileMode, payload: Uint8Array): Promise<FileResponse> {
  switch (type) {
    case FrameType.WriteFile: {
      const { path, content, mode } = decodeWriteFileRequest(payload);
      await writeFileAtomically(path, content, mode, { makesParents: true });
      return {};
    }
    case FrameType.ReadFile:
      return { content: await readRegularFile(decodePathRequest(payload, "ReadFileRequest")) };
    case FrameType.ListFiles:
      return { files: await listDirectory(decodePathRequest(payload, "ListFilesRequest")) };
  }
}

function cannotRead(path: string, message: string): VsockboxError {
  return new VsockboxError({ code: "IO", operation: "read file", address: path, message });
}

async function readRegularFile(path: string): Promise<Uint8Array> {
  // Non-blocking: opening a FIFO for reading would wait for its writer.
  const fd = openResolved(Buffer.from(path), constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    if (fileKind(statDescriptor(fd)) !== "file") throw cannotRead(path, "it is not a regular file");
    const chunks: Uint8Array[] = [];
    let bytes = 0;
    // Until EOF and not by size: files of /proc have size 0, and a file may grow while it is read.
    for (;;) {
      const chunk = new Uint8Array(256 * 1024);
      const { bytesRead } = await readAsync(fd, chunk, 0, chunk.length, null);
      if (bytesRead === 0) return Buffer.concat(chunks);
      chunks.push(chunk.subarray(0, bytesRead));
      bytes += bytesRead;
      if (bytes > READ_FILE_MAX_BYTES) {
        throw cannotRead(path, `it has more than ${READ_FILE_MAX_BYTES} bytes`);
      }
    }
  } finally {
    closeSync(fd);
  }
}

async function listDirectory(path: string): Promise<FileInfo[]> {
  // As bytes: names need not be UTF-8, and their order is that of Go's strings.
  const names = (await readdir(path, { encoding: "buffer" })).toSorted(Buffer.compare);
  const directory = Buffer.from(path);
  const entries = await Promise.all(
    names.map(async (bytes): Promise<FileInfo | undefined> => {
      // An entry may be removed between the two calls; the Go agent omits it, too.
      const status = await lstat(joinPath(directory, bytes)).catch(() => undefined);
      if (status === undefined) return undefined;
      const { size, mode } = status;
      const name = bytes.toString();
      return { name, size, mode: goFileMode(mode), is_dir: status.isDirectory() };
    }),
  );
  return entries.filter((entry) => entry !== undefined);
}
