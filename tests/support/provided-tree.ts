/** Files of a provider as a test compares them. */
import type { FilesProvider } from "../../src/vfs/server/provided-files.ts";

/** A file's bytes as text. */
export async function contentOf(files: FilesProvider, path: string): Promise<string> {
  const { size = 0 } = (await files.stat(path)) ?? {};
  return Buffer.from((await files.read?.(path, 0, size)) ?? []).toString();
}

/** Lines of all files below a directory, sorted: type, mode, path, and the content or target. */
export async function treeOf(files: FilesProvider, directory = ""): Promise<string[]> {
  const lines: string[] = [];
  for (const name of [...((await files.list?.(directory)) ?? [])].sort()) {
    const path = directory === "" ? name : `${directory}/${name}`;
    const file = await files.stat(path);
    if (file === undefined) throw new Error(`${path} is listed and does not exist`);
    const content = file.type === "file" ? await contentOf(files, path) : file.target;
    const mode = file.type === "link" ? "" : (file.mode ?? 0).toString(8);
    lines.push(`${file.type} ${mode} ${path}: ${content ?? ""}`);
    if (file.type === "directory") lines.push(...(await treeOf(files, path)));
  }
  return lines;
}

/** The code of the error that a call throws or rejects with; undefined for a success. */
export async function codeOf(call: () => unknown): Promise<unknown> {
  try {
    await call();
    return undefined;
  } catch (thrown) {
    return thrown instanceof Error ? Reflect.get(thrown, "code") : thrown;
  }
}
