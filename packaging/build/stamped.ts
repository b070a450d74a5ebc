/** Files that are made again only if their inputs, or they themselves, have changed. */
import {
  existsSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { sha256File } from "./inputs.ts";

/** A file that stands under its final name. */
export interface Made {
  path: string;
  bytes: number;
  sha256: string;
  /** It was up to date. */
  cached: boolean;
  milliseconds: number;
}

/** How a file is made. */
export interface Making {
  /** Changes whenever the file has to be made again. */
  key: string;
  force: boolean;
  /** Writes the file to another path in the same file system. */
  make: (temporary: string) => Promise<void> | void;
}

/** Makes `path` if it does not match `path`.stamp. It is replaced atomically. */
export async function makeStamped(path: string, { key, force, make }: Making): Promise<Made> {
  const begin = performance.now();
  const stamp = `${path}.stamp`;
  const stamped = (sum: string) => `${key} ${sum}\n`;
  const finish = (cached: boolean, sum: string): Made => ({
    path,
    bytes: statSync(path).size,
    sha256: sum,
    cached,
    milliseconds: Math.round(performance.now() - begin),
  });
  if (!force && existsSync(path) && existsSync(stamp)) {
    const sum = sha256File(path);
    if (readFileSync(stamp, "utf8") === stamped(sum)) return finish(true, sum);
  }
  const directory = mkdtempSync(join(dirname(path), ".build-"));
  try {
    const temporary = join(directory, "vsockbox");
    await make(temporary);
    const sum = sha256File(temporary);
    renameSync(temporary, path);
    writeFileSync(stamp, stamped(sum));
    return finish(false, sum);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
