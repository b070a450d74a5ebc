/** A file with this process's id, for as long as it runs. */
import { readFileSync, unlinkSync } from "node:fs";
import { reasonOf, VsockboxError } from "../errors.ts";
import { writeFileAtomically } from "../files/atomic-write.ts";

/** Everybody may know the pid. */
const PID_FILE_MODE = 0o644;

/**
 * Writes this process's id, to be removed by disposing or at the process's end.
 *
 * @throws {VsockboxError} CANNOT_CREATE.
 */
export async function writePidFile(path: string): Promise<Disposable> {
  const content = `${process.pid}\n`;
  try {
    await writeFileAtomically(path, new TextEncoder().encode(content), PID_FILE_MODE);
  } catch (thrown) {
    const { errno, message } = reasonOf(thrown);
    throw new VsockboxError({
      code: "CANNOT_CREATE",
      operation: "write pid file",
      address: path,
      message,
      errno,
      cause: thrown,
    });
  }
  const remove = () => removeOwn(path, content);
  process.on("exit", remove);
  return {
    [Symbol.dispose]() {
      process.off("exit", remove);
      remove();
    },
  };
}

/** A successor may already have put its own id there. */
function removeOwn(path: string, content: string): void {
  try {
    if (readFileSync(path, "utf8") === content) unlinkSync(path);
  } catch {
    // Somebody else has removed it.
  }
}
