import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import * as fs from "node:fs";
import { join } from "node:path";
import { RemoteError } from "../../../../src/vfs/client/remote-files.ts";
import { cachePolicy } from "../../../../src/vfs/mount/cache-policy.ts";
import { DirectorySnapshots } from "../../../../src/vfs/mount/directory-snapshots.ts";
import { read } from "../../../../src/vfs/mount/file-operations.ts";
import { HandleTable, type OpenFile } from "../../../../src/vfs/mount/handle-table.ts";
import type { MountState } from "../../../../src/vfs/mount/mount-state.ts";
import { NodeTable } from "../../../../src/vfs/mount/node-table.ts";
import { switchConnection } from "../../../../src/vfs/mount/reopen.ts";
import { StaleRetries } from "../../../../src/vfs/mount/stale-retries.ts";
import { eventually } from "../../../support/eventually.ts";
import { LocalFiles } from "../../../support/local-files.ts";
import { ScratchDirectory } from "../../../support/scratch-directory.ts";

const ESTALE = 116;
const READ_ONLY = 0;

let scratch: ScratchDirectory;
let before: LocalFiles;
let fresh: LocalFiles;
let state: MountState;

const bytes = (text: string) => new TextEncoder().encode(text);

/** Opens a file of the mount, as the kernel would have before the connection was lost. */
async function openFile(name: string, content: string): Promise<OpenFile> {
  fs.writeFileSync(join(scratch.path, name), content);
  const { handle, status } = await before.open(bytes(name), READ_ONLY);
  const found = status ?? (await before.getStatus({ path: bytes(name), handle: undefined }));
  return state.handles.addFile(state.nodes.found(state.nodes.root, bytes(name), found), handle, 0);
}

async function contentOf({ id }: OpenFile): Promise<string> {
  const answer = await read(state, { op: "read", handle: id, offset: 0, size: 100 });
  return answer instanceof Uint8Array ? Buffer.from(answer).toString() : "";
}

async function errnoOf(file: OpenFile): Promise<number | undefined> {
  try {
    await contentOf(file);
    return undefined;
  } catch (thrown) {
    return thrown instanceof RemoteError ? thrown.errno : -1;
  }
}

const releases = () => fresh.calls.filter((call) => call.startsWith("release"));

beforeEach(async () => {
  scratch = new ScratchDirectory();
  before = new LocalFiles(scratch.path);
  fresh = new LocalFiles(scratch.path);
  const nodes = new NodeTable(await before.getStatus({ path: bytes(""), handle: undefined }));
  const snapshots = new DirectorySnapshots({
    ...{ validMs: 0, files: () => state.files, path: (directory) => nodes.path(directory) },
  });
  const handles = new HandleTable();
  state = {
    ...{ files: before, nodes, handles, policy: cachePolicy("none"), snapshots },
    retries: new StaleRetries(),
    ...{ hasXattrs: false, isReadOnly: false },
  };
});

afterEach(() => {
  scratch[Symbol.dispose]();
});

describe("files after a reconnect", () => {
  test("are open again, and the new connection is used", async () => {
    const file = await openFile("a", "content");
    expect(await switchConnection(state, fresh)).toEqual({ files: 1, lost: 0 });
    expect(state.files).toBe(fresh);
    expect(await contentOf(file)).toBe("content");
  });

  test("that were replaced fail with ESTALE, and the other file is closed", async () => {
    const file = await openFile("a", "content");
    fs.writeFileSync(join(scratch.path, "b"), "other");
    fs.renameSync(join(scratch.path, "b"), join(scratch.path, "a"));
    expect(await switchConnection(state, fresh)).toEqual({ files: 0, lost: 1 });
    expect(await errnoOf(file)).toBe(ESTALE);
    expect(releases().length).toBe(1);
  });

  test("that do not exist any longer fail with ESTALE", async () => {
    const file = await openFile("a", "content");
    fs.rmSync(join(scratch.path, "a"));
    expect(await switchConnection(state, fresh)).toEqual({ files: 0, lost: 1 });
    expect(await errnoOf(file)).toBe(ESTALE);
  });

  test("that were closed in the meantime are closed on the host", async () => {
    const file = await openFile("a", "content");
    fresh.before = () => state.handles.remove(file.id);
    await switchConnection(state, fresh);
    expect(releases().length).toBe(1);
  });

  test("of a directory are listed from a new handle", async () => {
    const directory = state.handles.addDirectory(state.nodes.root, 77);
    directory.ahead = { cursor: 5n, page: Promise.resolve({ entries: [], next: undefined }) };
    expect(await switchConnection(state, fresh)).toEqual({ files: 0, lost: 0 });
    expect(directory).toMatchObject({ remote: undefined, ahead: undefined });
  });
});

describe("a host that answers nothing", () => {
  test("does not keep the mount waiting: its files fail with ESTALE", async () => {
    const files = [await openFile("a", "1"), await openFile("b", "2")];
    fresh.before = () => new Promise(() => undefined);
    expect(await switchConnection(state, fresh, 10)).toEqual({ files: 0, lost: 2 });
    expect(state.files).toBe(fresh);
    expect(await Promise.all(files.map(errnoOf))).toEqual([ESTALE, ESTALE]);
  });

  test("for one file loses that one alone", async () => {
    const [silent, answered] = [await openFile("a", "1"), await openFile("b", "2")];
    fresh.before = (call) => (call === "open a" ? new Promise(() => undefined) : undefined);
    expect(await switchConnection(state, fresh, 100)).toEqual({ files: 1, lost: 1 });
    expect(await errnoOf(silent)).toBe(ESTALE);
    expect(await contentOf(answered)).toBe("2");
  });

  test("and opens the file later has it closed again", async () => {
    const file = await openFile("a", "1");
    const opening = Promise.withResolvers<void>();
    fresh.before = (call) => (call === "open a" ? opening.promise : undefined);
    await switchConnection(state, fresh, 10);
    expect(releases()).toEqual([]);
    opening.resolve();
    await eventually("the file is closed", () => releases().length === 1);
    expect(await errnoOf(file)).toBe(ESTALE);
  });

  test("loses a file that the next host opens again", async () => {
    const file = await openFile("a", "1");
    fresh.before = () => new Promise(() => undefined);
    await switchConnection(state, fresh, 10);
    expect(await switchConnection(state, new LocalFiles(scratch.path))).toEqual({
      ...{ files: 1, lost: 0 },
    });
    expect(await contentOf(file)).toBe("1");
  });
});
