/** Writing a whole file so that nothing partial ever stands under its name. */
import { randomBytes } from "node:crypto";
import {
  chmod,
  type FileHandle,
  lstat,
  mkdir,
  open,
  realpath,
  rename,
  unlink,
  writeFile,
} from "node:fs/promises";
import { basename, dirname, join } from "node:path";

/** Content as a whole, or in pieces that are made as they are written. */
export type FileContent = Uint8Array | AsyncIterable<Uint8Array>;

/**
 * Replaces or makes the file at `path`. Missing parent directories are made with 0755. The bytes go
 * to a temporary file in the same directory, which is renamed when they are all on the disk; where
 * that fails, the old file stands as it was.
 *
 * A symbolic link is followed. What exists and is no regular file (a device, a FIFO, a file of
 * /proc or /sys) is written to as it is. An existing file keeps its mode and owner.
 *
 * @param mode permission bits of a new file, whatever the umask.
 */
export async function writeFileAtomically(
  path: string,
  content: FileContent,
  mode: number,
): Promise<void> {
  await makeParents(dirname(path));
  const target = await realpath(path).catch(() => path);
  const existing = await lstat(target).catch(() => undefined);
  if (existing !== undefined && !existing.isFile()) return writeInPlace(target, content);
  // /proc and /sys say "regular file", but nothing can be made beside their files.
  if (/^\/(proc|sys)\//.test(target)) return writeInPlace(target, content);

  const temporary = join(
    dirname(target),
    `.${basename(target).slice(0, 200)}.${randomBytes(6).toString("hex")}.tmp`,
  );
  try {
    const file = await open(temporary, "wx", 0o600);
    try {
      await writeContent(file, content);
      if (existing !== undefined)
        await file.chown(existing.uid, existing.gid).catch(() => undefined);
      await file.sync();
    } finally {
      await file.close();
    }
    await chmod(temporary, existing === undefined ? mode : existing.mode & 0o7777);
    await rename(temporary, target);
  } catch (thrown) {
    await unlink(temporary).catch(() => undefined);
    throw thrown;
  }
}

async function writeInPlace(path: string, content: FileContent): Promise<void> {
  if (content instanceof Uint8Array) return writeFile(path, content);
  const file = await open(path, "w");
  try {
    await writeContent(file, content);
  } finally {
    await file.close();
  }
}

async function writeContent(file: FileHandle, content: FileContent): Promise<void> {
  if (content instanceof Uint8Array) return file.writeFile(content);
  for await (const piece of content) {
    for (let rest = piece; rest.length > 0;) {
      const { bytesWritten } = await file.write(rest);
      rest = rest.subarray(bytesWritten);
    }
  }
}

/** Makes a directory and what is missing above it, with 0755 whatever the umask. */
async function makeParents(directory: string): Promise<void> {
  const first = await mkdir(directory, { recursive: true });
  if (first === undefined) return;
  const top = dirname(first);
  for (let made = directory; made !== top && made !== dirname(made); made = dirname(made)) {
    await chmod(made, 0o755);
  }
}
