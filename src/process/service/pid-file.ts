/** A file with this process's id, for as long as it runs. */
import { randomBytes } from "node:crypto";
import {
  closeSync,
  fchmodSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { reasonOf, VsockboxError } from "../../errors.ts";
import { resolveTrusted } from "../../files/trusted-path.ts";

/** All users may read the pid. */
const PID_FILE_MODE = 0o644;

/** The operation in errors about a pid file. */
export const PID_FILE_OPERATION = "write pid file";

/**
 * Writes this process's id, to be removed by disposing or at the process's end. The file appears in one
 * piece. Its directory must exist, as for a log file.
 *
 * @throws {VsockboxError} CANNOT_CREATE; REFUSED for a link of another user, as `resolveTrusted`.
 */
export function writePidFile(path: string): Disposable {
  const content = `${process.pid}\n`;
  const target = resolveTrusted(path, { operation: PID_FILE_OPERATION });
  try {
    replaceFile(target, content);
  } catch (thrown) {
    const { errno, message } = reasonOf(thrown);
    throw new VsockboxError({
      code: "CANNOT_CREATE",
      operation: PID_FILE_OPERATION,
      address: path,
      message,
      errno,
      cause: thrown,
    });
  }
  const remove = () => removeOwn(target, content);
  process.on("exit", remove);
  return {
    [Symbol.dispose]() {
      process.off("exit", remove);
      remove();
    },
  };
}

/** rename(2) replaces what has the name, and follows no link that is put there meanwhile. */
function replaceFile(path: string, content: string): void {
  const temporary = join(
    dirname(path),
    `.${basename(path).slice(0, 200)}.${randomBytes(6).toString("hex")}.tmp`,
  );
  const fd = openSync(temporary, "wx", PID_FILE_MODE);
  try {
    fchmodSync(fd, PID_FILE_MODE);
    writeSync(fd, content);
    fsyncSync(fd);
    renameSync(temporary, path);
  } catch (thrown) {
    unlinkSync(temporary);
    throw thrown;
  } finally {
    closeSync(fd);
  }
}

/** A successor may already have put its own id there. */
function removeOwn(path: string, content: string): void {
  try {
    if (readFileSync(path, "utf8") === content) unlinkSync(path);
  } catch {
    // It has been removed already.
  }
}
