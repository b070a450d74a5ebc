/** The watcher of a tree against this machine's kernel, in directories of the tests. */
import { afterEach, describe, expect, test } from "bun:test";
import {
  chmodSync,
  closeSync,
  constants,
  existsSync,
  fchmodSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { AT_FDCWD, O_TMPFILE, openAt } from "../../../../src/ffi/directory-calls.ts";
import { VsockboxError } from "../../../../src/errors.ts";
import { DirectoryHandle } from "../../../../src/files/directory-handle.ts";
import type { WatchEvent } from "../../../../src/vfs/watch/file-change.ts";
import { TreeWatch, type TreeWatchOptions } from "../../../../src/vfs/watch/tree-watch.ts";
import { ScratchDirectory } from "../../../support/scratch-directory.ts";

const END = "end-of-test";

function describeEvent(event: WatchEvent): string {
  if (event.kind === "overflow") return "overflow";
  const from = event.from === undefined ? "" : `${event.from} > `;
  return `${event.kind} ${from}${event.path}${event.isDirectory ? "/" : ""}`;
}

/** A watched directory of a test. */
class WatchedScratch implements Disposable {
  readonly #scratch: ScratchDirectory;
  readonly watch: TreeWatch;
  readonly #events: AsyncGenerator<WatchEvent, void, undefined>;

  private constructor(scratch: ScratchDirectory, watch: TreeWatch) {
    this.#scratch = scratch;
    this.watch = watch;
    this.#events = watch.events();
  }

  /** Watches a directory that `prepare` has filled. */
  static async make(
    prepare: (scratch: ScratchDirectory) => void = () => undefined,
    options: Partial<TreeWatchOptions> = {},
  ): Promise<WatchedScratch> {
    const scratch = new ScratchDirectory();
    mkdirSync(scratch.file("tree"));
    prepare(scratch);
    const watch = await watchPath(scratch.file("tree"), options);
    return new WatchedScratch(scratch, watch);
  }

  file(name: string): string {
    return this.#scratch.file(`tree/${name}`);
  }

  outside(name: string): string {
    return this.#scratch.file(name);
  }

  /** The events up to now, as words. */
  async soFar(): Promise<string[]> {
    touch(this.file(END));
    const words: string[] = [];
    for (;;) {
      const { value, done } = await this.#events.next();
      if (done === true) return [...words, "(end)"];
      const word = describeEvent(value);
      if (word === `create ${END}`) break;
      words.push(word);
    }
    unlinkSync(this.file(END));
    for (;;) {
      const { value, done } = await this.#events.next();
      if (done === true || describeEvent(value) === `remove ${END}`) return words;
    }
  }

  /** The next event, as words. */
  async next(): Promise<string> {
    const { value, done } = await this.#events.next();
    return done === true ? "(end)" : describeEvent(value);
  }

  [Symbol.dispose](): void {
    this.watch.close();
    this.#scratch[Symbol.dispose]();
  }
}

async function watchPath(path: string, options: Partial<TreeWatchOptions> = {}) {
  const bytes = Buffer.from(path);
  return TreeWatch.open(bytes, { isRecursive: true, shown: bytes, ...options });
}

function withTree(...paths: string[]) {
  return (scratch: ScratchDirectory) => {
    for (const path of paths) mkdirSync(scratch.file(`tree/${path}`), { recursive: true });
  };
}

/** How many descriptors of inotify this process has. */
function openQueues(): number {
  const links = [...new Bun.Glob("*").scanSync({ cwd: "/proc/self/fdinfo", onlyFiles: false })];
  return links.filter((fd) => {
    const path = `/proc/self/fdinfo/${fd}`;
    return existsSync(path) && /^inotify /m.test(safeRead(path));
  }).length;
}

/** Makes an empty file, without a change of its size. */
function touch(path: string): void {
  closeSync(openSync(path, "w"));
}

function safeRead(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

afterEach(() => {
  expect(openQueues()).toBe(0);
});

describe("a watched tree", () => {
  test("reports creations, writes, attributes, renames and removals at every depth", async () => {
    using tree = await WatchedScratch.make(withTree("a/b"));
    expect(tree.watch.directories).toBe(3);
    writeFileSync(tree.file("a/b/x"), "1");
    expect(await tree.soFar()).toEqual(["create a/b/x", "modify a/b/x"]);
    chmodSync(tree.file("a/b/x"), 0o600);
    expect(await tree.soFar()).toEqual(["attributes a/b/x"]);
    chmodSync(tree.file("a/b"), 0o700);
    expect(await tree.soFar()).toEqual(["attributes a/b/"]);
    renameSync(tree.file("a/b/x"), tree.file("y"));
    expect(await tree.soFar()).toEqual(["rename a/b/x > y"]);
    unlinkSync(tree.file("y"));
    expect(await tree.soFar()).toEqual(["remove y"]);
    chmodSync(tree.file(""), 0o711);
    expect(await tree.soFar()).toEqual(["attributes /"]);
  });

  test("reports each thing in new directories once, whenever it was made", async () => {
    using tree = await WatchedScratch.make();
    const expected: string[] = [];
    for (let index = 0; index < 50; index++) {
      const path = `new${index}/in/side`;
      mkdirSync(tree.file(path), { recursive: true });
      touch(tree.file(`${path}/file`));
      expected.push(`create new${index}/`, `create new${index}/in/`);
      expected.push(`create ${path}/`, `create ${path}/file`);
      // The reader is in different places of the work.
      if (index % 7 === 0)
        expect((await tree.soFar()).toSorted()).toEqual(expected.splice(0).toSorted());
    }
    expect((await tree.soFar()).toSorted()).toEqual(expected.toSorted());
    writeFileSync(tree.file("new3/in/side/file"), "more");
    expect(await tree.soFar()).toEqual(["modify new3/in/side/file"]);
  });

  test("loses nothing of a directory that is filled while it is read", async () => {
    using tree = await WatchedScratch.make();
    const seen: string[] = [];
    const filling = (async () => {
      for (let index = 0; index < 300; index++) {
        mkdirSync(tree.file(`d/${index % 5}/${index}`), { recursive: true });
        touch(tree.file(`d/${index % 5}/${index}/file`));
        await new Promise<void>((resolve) => void setImmediate(resolve));
      }
    })();
    while (!seen.includes("create d/4/299/file")) seen.push(await tree.next());
    await filling;
    const files = seen.filter((word) => word.endsWith("/file")).toSorted();
    const expected = Array.from(
      { length: 300 },
      (_, index) => `create d/${index % 5}/${index}/file`,
    );
    expect(files).toEqual(expected.toSorted());
  });

  test("follows directories that are renamed, with everything below them", async () => {
    using tree = await WatchedScratch.make(withTree("a/b/c", "d"));
    renameSync(tree.file("a/b"), tree.file("d/e"));
    touch(tree.file("d/e/c/x"));
    expect(await tree.soFar()).toEqual(["rename a/b > d/e/", "create d/e/c/x"]);
    expect(tree.watch.directories).toBe(5);
  });

  test("follows a directory that was renamed before it could be watched", async () => {
    using tree = await WatchedScratch.make();
    mkdirSync(tree.file("a"));
    renameSync(tree.file("a"), tree.file("b"));
    mkdirSync(tree.file("a"));
    expect((await tree.soFar()).toSorted()).toEqual(["create a/", "create a/", "rename a > b/"]);
    touch(tree.file("a/1"));
    touch(tree.file("b/2"));
    expect(await tree.soFar()).toEqual(["create a/1", "create b/2"]);
  });

  test("follows directories that exchange their names", async () => {
    using tree = await WatchedScratch.make(withTree("a", "b"));
    renameSync(tree.file("a"), tree.file("t"));
    renameSync(tree.file("b"), tree.file("a"));
    renameSync(tree.file("t"), tree.file("b"));
    touch(tree.file("a/was-b"));
    touch(tree.file("b/was-a"));
    expect(await tree.soFar()).toEqual([
      "rename a > t/",
      "rename b > a/",
      "rename t > b/",
      "create a/was-b",
      "create b/was-a",
    ]);
    const exchange = `import ctypes,sys; sys.exit(ctypes.CDLL(None, use_errno=True).renameat2(-100, sys.argv[1].encode(), -100, sys.argv[2].encode(), 2))`;
    const { exitCode } = Bun.spawnSync(["python3", "-c", exchange, tree.file("a"), tree.file("b")]);
    expect(exitCode).toBe(0);
    await tree.soFar();
    touch(tree.file("a/1"));
    touch(tree.file("b/2"));
    expect(await tree.soFar()).toEqual(["create a/1", "create b/2"]);
    expect(tree.watch.directories).toBe(3);
  });

  test("forgets what is moved out or removed, and watches what is moved in", async () => {
    using tree = await WatchedScratch.make((scratch) => {
      withTree("a/b", "gone/deep")(scratch);
      mkdirSync(scratch.file("other/deep"), { recursive: true });
      touch(scratch.file("other/deep/x"));
    });
    renameSync(tree.file("a"), tree.outside("a"));
    expect(await tree.soFar()).toEqual(["remove a/"]);
    expect(tree.watch.directories).toBe(3);
    touch(tree.outside("a/b/x"));
    expect(await tree.soFar()).toEqual([]);
    rmSync(tree.file("gone"), { recursive: true });
    expect(await tree.soFar()).toEqual(["remove gone/deep/", "remove gone/"]);
    expect(tree.watch.directories).toBe(1);
    renameSync(tree.outside("other"), tree.file("in"));
    expect(await tree.soFar()).toEqual(["create in/", "create in/deep/", "create in/deep/x"]);
    renameSync(tree.outside("a/b/x"), tree.file("in/y"));
    expect(await tree.soFar()).toEqual(["create in/y"]);
  });

  test("goes on by its descriptor when the directory is moved", async () => {
    using scratch = new ScratchDirectory();
    mkdirSync(scratch.file("tree"));
    const path = Buffer.from(scratch.file("tree"));
    using root = DirectoryHandle.open(path);
    const options = { isRecursive: true, shown: path };
    using watch = await TreeWatch.openHandle(root, options);
    renameSync(path, scratch.file("moved"));
    const words = (await Array.fromAsync(watch.events())).map(describeEvent);
    expect(words).toEqual(["remove /"]);
    using again = await TreeWatch.openHandle(root, options);
    mkdirSync(scratch.file("moved/a"));
    expect(describeEvent((await again.events().next()).value as WatchEvent)).toBe("create a/");
  });

  test("does not follow symbolic links", async () => {
    using tree = await WatchedScratch.make((scratch) => {
      mkdirSync(scratch.file("other"));
      symlinkSync("../other", scratch.file("tree/before"));
    });
    symlinkSync("../other", tree.file("after"));
    touch(tree.outside("other/x"));
    expect(await tree.soFar()).toEqual(["create after"]);
    expect(tree.watch.directories).toBe(1);
  });

  test("passes on names that are not text", async () => {
    using tree = await WatchedScratch.make();
    const name = Buffer.concat([Buffer.from(tree.file("a\n")), Buffer.of(0xff, 0xc3)]);
    mkdirSync(name);
    writeFileSync(Buffer.concat([name, Buffer.from("/b\t")]), "x");
    const events = tree.watch.events();
    const paths: Buffer[] = [];
    for await (const event of events) {
      if (event.kind !== "overflow") paths.push(event.path);
      if (paths.length === 2) break;
    }
    const raw = Buffer.concat([Buffer.from("a\n"), Buffer.of(0xff, 0xc3)]);
    expect(paths).toEqual([raw, Buffer.concat([raw, Buffer.from("/b\t")])]);
  });

  test("reports nothing of files that have no name yet", async () => {
    using tree = await WatchedScratch.make(withTree("a"));
    const fd = openAt(AT_FDCWD, Buffer.from(tree.file("a")), O_TMPFILE | constants.O_RDWR, 0o600);
    writeFileSync(fd, "1");
    fchmodSync(fd, 0o640);
    expect(await tree.soFar()).toEqual([]);
    using directory = DirectoryHandle.open(Buffer.from(tree.file("a")));
    directory.linkDescriptor(fd, Buffer.from("named"));
    closeSync(fd);
    expect(await tree.soFar()).toEqual(["create a/named"]);
    touch(tree.file("#7"));
    chmodSync(tree.file("#7"), 0o600);
    expect(await tree.soFar()).toEqual(["create #7", "attributes #7"]);
  });

  test("does not report or watch hidden paths", async () => {
    const isHidden = (path: Buffer) => path.includes(".git");
    using tree = await WatchedScratch.make(withTree(".git/objects", "src"), { isHidden });
    expect(tree.watch.directories).toBe(2);
    touch(tree.file(".git/x"));
    mkdirSync(tree.file("src/.git"));
    touch(tree.file("src/.git/y"));
    renameSync(tree.file(".git"), tree.file("git"));
    expect(await tree.soFar()).toEqual([
      "create git/",
      ...["objects/", "x"].map((n) => `create git/${n}`),
    ]);
  });

  test("is one directory without recursion", async () => {
    using tree = await WatchedScratch.make(withTree("a"), { isRecursive: false });
    touch(tree.file("a/x"));
    mkdirSync(tree.file("b"));
    touch(tree.file("b/x"));
    expect(await tree.soFar()).toEqual(["create b/"]);
    expect(tree.watch.directories).toBe(1);
  });

  test("ends when the directory itself is removed or moved", async () => {
    using removed = await WatchedScratch.make();
    rmdirSync(removed.file(""));
    expect([await removed.next(), await removed.next()]).toEqual(["remove /", "(end)"]);
    using moved = await WatchedScratch.make();
    renameSync(moved.file(""), moved.outside("moved"));
    expect([await moved.next(), await moved.next()]).toEqual(["remove /", "(end)"]);
  });

  test("ends when the watch is closed, even while an event is awaited", async () => {
    using tree = await WatchedScratch.make();
    const next = tree.next();
    tree.watch.close();
    expect(await next).toBe("(end)");
  });

  test("has no more directories than it may", async () => {
    const limited = WatchedScratch.make(withTree("a/b"), { maxDirectories: 2 });
    const error = await limited.catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(VsockboxError);
    expect(error).toMatchObject({ code: "REFUSED", reason: "it has more than 2 directories" });
    using tree = await WatchedScratch.make(withTree("a"), { maxDirectories: 2 });
    mkdirSync(tree.file("b"));
    expect(await tree.next()).toBe("create b/");
    expect(tree.next()).rejects.toThrow("more than 2 directories");
  });
});

describe("a full queue of the kernel", () => {
  test("is reported, and directories made meanwhile are watched", async () => {
    using tree = await WatchedScratch.make(withTree("kept", "gone"));
    const limit = Number(readFileSync("/proc/sys/fs/inotify/max_queued_events", "utf8"));
    touch(tree.file("a"));
    touch(tree.file("b"));
    for (let index = 0; index <= limit / 2; index++) {
      chmodSync(tree.file("a"), 0o600);
      chmodSync(tree.file("b"), 0o600);
    }
    mkdirSync(tree.file("made/deep"), { recursive: true });
    rmdirSync(tree.file("gone"));
    while ((await tree.next()) !== "overflow");
    expect(await tree.soFar()).toEqual([]);
    touch(tree.file("made/deep/x"));
    touch(tree.file("kept/x"));
    expect(await tree.soFar()).toEqual(["create made/deep/x", "create kept/x"]);
    expect(tree.watch.directories).toBe(4);
  });
});
