/**
 * Several local sources in one upload, so that none waits for the guest's answer to another: a hundred small
 * files cost as many round trips as one.
 *
 * An error of the guest that ends the upload cannot be assigned to one of them. All are copied one by one
 * then, which finds out.
 */
import { type ChannelOpener } from "../../agent/client/channel-opener.ts";
import { Upload, type UploadOptions } from "../../agent/client/file-transfer.ts";
import { TransferSummary } from "../../agent/transfer/transfer.ts";
import { EXIT_STATUS, toVsockboxError } from "../../errors.ts";
import type { CopyDestination } from "./copy-destination.ts";

/** One of several sources. */
export interface SourceOfMany {
  path: Uint8Array;
  /**
   * Its destination.
   *
   * @throws {VsockboxError} as `remoteDestination`.
   */
  destination: () => CopyDestination;
}

/** Result of {@link uploadTogether}. */
export interface TogetherResult {
  /** With the errors of sources that were not copied. */
  summary: TransferSummary;
  /** The exit status of the first source that failed here, else of those in the guest; 0 if none did. */
  status: number;
}

/** Options of {@link uploadTogether}. */
export interface TogetherOptions extends UploadOptions {
  /** Called before each source. */
  onSource: (path: Uint8Array) => void;
}

/** Whether all sources get a name in the same directory, or none at all. */
function directoryOf(sources: readonly SourceOfMany[]): Uint8Array | undefined {
  const directories: Uint8Array[] = [];
  for (const source of sources) {
    try {
      directories.push(source.destination().directory);
    } catch {
      // Its error is reported at its turn.
    }
  }
  const [first] = directories;
  const isSame = directories.every((directory) =>
    Buffer.from(directory).equals(first ?? directory),
  );
  return isSame ? first : undefined;
}

/**
 * Uploads sources in their order.
 *
 * @returns undefined if they have to be copied one by one: they go to different directories, ask the guest
 * for each file, or the upload was ended.
 */
export async function uploadTogether(
  opener: ChannelOpener,
  sources: readonly SourceOfMany[],
  { onSource, ...options }: TogetherOptions,
): Promise<TogetherResult | undefined> {
  const directory = directoryOf(sources);
  if (directory === undefined || options.resume === true || options.keep === true) return undefined;
  const failed = new TransferSummary();
  let status = 0;
  using upload = new Upload(opener, directory, options);
  try {
    for (const source of sources) {
      onSource(source.path);
      try {
        await upload.send(source.path, source.destination().name);
      } catch (thrown) {
        const error = toVsockboxError(thrown, "copy");
        if (!upload.isOpen || error.code === "SOFTWARE") throw thrown;
        failed.note(error);
        status ||= error.exitStatus;
      }
    }
    const summary = await upload.finish();
    if (summary.errorCount > 0) status ||= EXIT_STATUS.IO;
    summary.addFailures(failed);
    return { summary, status };
  } catch (thrown) {
    upload.fail(thrown);
    return undefined;
  }
}
