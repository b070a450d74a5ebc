/**
 * `vsockbox export` on the host and `vsockbox mount` in a guest with a kernel of its own, through hybrid-proxy.
 * The guest is that of the device's tests.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import * as fs from "node:fs";
import { join } from "node:path";
import { eventually, Running } from "../support/binary.ts";
import { LOAD_FUSE } from "../support/guest-files.ts";
import { startListener } from "../support/guest-lines.ts";
import { findTool } from "../support/tools.ts";
import type { DeviceFixture } from "./device-fixture.ts";

const WORK = "/work";
const APPENDS = 100;
const FILES = 100;
const GIT = "git -c user.email=a@example.org -c user.name=a -c safe.directory=*";

/** The export, and the mount of the guest. */
class SharedDirectory {
  readonly #on: DeviceFixture;
  #host: Running | undefined;

  constructor(on: DeviceFixture) {
    this.#on = on;
  }

  /** The directory of the host. */
  get source(): string {
    return this.#on.scratch.file("exported");
  }

  file(name: string): string {
    return join(this.source, name);
  }

  async export(): Promise<void> {
    fs.mkdirSync(this.source, { recursive: true });
    this.#host = new Running(["export", this.source, "--listen", this.#on.address]);
    await this.#host.says("listening on");
  }

  async killExport(): Promise<void> {
    this.#host?.process.kill("SIGKILL");
    await this.#host?.process.exited;
  }

  /** Mounts until disposed. */
  async mount(options = ""): Promise<AsyncDisposable> {
    const daemon = "--daemon --pid-file /run/mount.pid --log-file /tmp/mount.log";
    await this.run(
      `${LOAD_FUSE} && mkdir -p ${WORK} && vsockbox mount ${WORK} ${daemon} ${options}`,
    );
    return { [Symbol.asyncDispose]: () => this.unmount() };
  }

  async unmount(): Promise<void> {
    await this.run(`vsockbox umount --lazy ${WORK}`);
  }

  /** Runs a line in the guest. */
  run(line: string): Promise<string> {
    return this.#on.run(line);
  }

  /** Runs a line in the guest's mount. */
  inMount(line: string): Promise<string> {
    return this.run(`cd ${WORK} && ${line}`);
  }

  /** Starts programs that change files all the time. */
  async startLoad(): Promise<void> {
    const start = ["a", "b", "c"].map((name) => `guest-files load ${WORK} ${name} & echo $!`);
    await this.run(`{ ${start.join("; ")}; } > /tmp/load.pids 2> /dev/null`);
    await eventually("there is load", () => ["a", "b", "c"].some((name) => this.hasSeen(name)));
  }

  hasSeen(name: string): boolean {
    return fs.existsSync(this.file(name)) || fs.existsSync(this.file(`${name}-new`));
  }

  /** Waits until no process is in an uninterruptible sleep, and ends those of {@link startLoad}. */
  async endLoad(): Promise<void> {
    await eventually("no process is in state D", async () => (await this.sleeping()) === "");
    const isOver = "! grep -l guest-files /proc/[0-9]*/comm 2> /dev/null | grep -q .";
    await this.run("kill -9 $(cat /tmp/load.pids)");
    await eventually("the load has ended", async () => {
      return (await this.run(`${isOver} && echo over || true`)) === "over\n";
    });
  }

  sleeping(): Promise<string> {
    return this.run(`grep -l '^State:.D' /proc/[0-9]*/status 2> /dev/null || true`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#host?.[Symbol.asyncDispose]();
  }
}

/** Defines the tests of a shared directory in the fixture's guest. */
export function sharedDirectoryTests(on: DeviceFixture): void {
  describe("a directory of the host", () => {
    const shared = new SharedDirectory(on);
    beforeAll(() => shared.export());
    afterAll(() => shared[Symbol.asyncDispose]());

    cacheTests(shared);
    describe("mounted", () => {
      beforeAll(async () => void (await shared.mount("--reconnect")));
      treeTests(shared);
      // An emulated processor takes long; the kernel makes no difference here.
      if (on.vmm.findKernel === undefined) gitTests(shared);
      watchTests(shared, on);
      lossTests(shared);
    });
  });
}

function cacheTests(shared: SharedDirectory): void {
  test.each(["none", "auto", "always"])(
    "obeys POSIX in the guest with --cache %s",
    async (cache) => {
      await using _mounted = await shared.mount(`--cache ${cache}`);
      expect(await shared.inMount("mkdir posix && guest-files check posix")).toBe("all hold\n");
      await shared.run("sync");
      const names = fs.readdirSync(shared.file("posix"), { encoding: "buffer" });
      const hex = names.map((name) => name.toString("hex"));
      for (const name of ["new\nline", "sp ace"]) {
        expect(hex).toContain(Buffer.from(name).toString("hex"));
      }
      expect(hex).toContain("fffe");
      expect(fs.statSync(shared.file("posix/holes"))).toMatchObject({ size: 4 * 2 ** 30 });
      await shared.inMount("rm -rf posix");
      expect(fs.readdirSync(shared.source)).toEqual([]);
    },
  );
}

/** The path and the hash of each file below a directory. */
function hashes(directory: string): string[] {
  return fs
    .readdirSync(directory, { recursive: true, encoding: "utf8" })
    .filter((name) => fs.statSync(join(directory, name)).isFile())
    .map((name) => {
      const bytes = fs.readFileSync(join(directory, name));
      return `${name} ${createHash("sha256").update(bytes).digest("hex")}`;
    })
    .toSorted();
}

function treeTests(shared: SharedDirectory): void {
  test("is one directory for both sides: files, owners, modes, and names of any bytes", async () => {
    fs.writeFileSync(shared.file("of-host"), "from the host");
    fs.writeFileSync(Buffer.from(`${shared.source}/host\n\xff`, "latin1"), "");
    expect(await shared.inMount("cat of-host")).toBe("from the host");
    const names = await shared.inMount("printf '%s/' * | od -An -tx1 | tr -d ' \\n'");
    expect(names).toBe(Buffer.from("host\n\xff/of-host/", "latin1").toString("hex"));
    await shared.inMount(
      "echo from the guest > of-guest && chmod 640 of-guest && chown 5:6 of-guest",
    );
    const { mode, uid, gid } = fs.statSync(shared.file("of-guest"));
    expect([mode & 0o7777, uid, gid]).toEqual([0o640, 5, 6]);
    expect(fs.readFileSync(shared.file("of-guest"), "utf8")).toBe("from the guest\n");
    await shared.inMount("rm -rf ./*");
    expect(fs.readdirSync(shared.source)).toEqual([]);
  });

  test("has the appends of two processes of the guest", async () => {
    const append = (text: string) => `guest-files append log ${text} ${APPENDS} &`;
    await shared.inMount(`{ ${append("a")} ${append("b")} wait; }`);
    const text = fs.readFileSync(shared.file("log"), "utf8");
    expect([...text].toSorted().join("")).toBe("a".repeat(APPENDS) + "b".repeat(APPENDS));
  });

  test("carries archives of many files both ways, with equal hashes", async () => {
    for (let index = 0; index < FILES; index++) {
      const directory = shared.file(`tree/${index % 7}/${index % 3}`);
      fs.mkdirSync(directory, { recursive: true });
      fs.writeFileSync(join(directory, String(index)), `${index}`.repeat(index * 10));
    }
    await shared.inMount("tar cf /tmp/t.tar tree && mkdir out && tar xf /tmp/t.tar -C out");
    const expected = hashes(shared.file("tree"));
    expect(expected).toHaveLength(FILES);
    expect(hashes(shared.file("out/tree"))).toEqual(expected);
    await shared.inMount("rm -rf tree out log");
    expect(fs.readdirSync(shared.source)).toEqual([]);
  });
}

function gitTests(shared: SharedDirectory): void {
  const hasGit = findTool("git") !== undefined;
  test.skipIf(!hasGit)("serves git in the guest: status, diff, commit", async () => {
    fs.mkdirSync(shared.file("repository"));
    for (let index = 0; index < 60; index++) {
      fs.writeFileSync(shared.file(`repository/f${index}`), `${index}\n`);
    }
    const made = Bun.spawnSync(
      ["sh", "-c", `${GIT} init -q -b main && ${GIT} add -A && ${GIT} commit -qm one`],
      { cwd: shared.file("repository") },
    );
    expect(made.stderr.toString()).toBe("");
    const inRepository = (line: string) => shared.inMount(`cd repository && ${line}`);
    expect(await inRepository(`${GIT} status --short`)).toBe("");
    fs.writeFileSync(shared.file("repository/f7"), "changed on the host\n");
    await inRepository("rm f8 && echo new > f60");
    expect(await inRepository(`${GIT} status --short`)).toBe(" M f7\n D f8\n?? f60\n");
    expect(await inRepository(`${GIT} diff --stat | tail -n 1`)).toBe(
      " 2 files changed, 1 insertion(+), 2 deletions(-)\n",
    );
    await inRepository(`${GIT} add -A && ${GIT} commit -qm two`);
    const log = Bun.spawnSync([...GIT.split(" "), "log", "--format=%s"], {
      cwd: shared.file("repository"),
    });
    expect(log.stdout.toString()).toBe("two\none\n");
    await shared.inMount("rm -rf repository");
  });
}

function watchTests(shared: SharedDirectory, on: DeviceFixture): void {
  test("wakes inotify of the guest for an edit on the host", async () => {
    fs.writeFileSync(shared.file("main"), "one");
    await shared.inMount("cat main");
    await startListener(on.guest, `guest-files watch ${WORK}`);
    await shared.run(`pidof guest-files > /run/watch.pid`);
    fs.writeFileSync(shared.file("main"), "two");
    try {
      await eventually("an event of the file", async () => {
        return (await shared.run("cat /tmp/listener* | grep -c ' main$' || true")) !== "0\n";
      });
      // That event may have been of the file's creation.
      await eventually("the new content", async () => (await shared.inMount("cat main")) === "two");
    } finally {
      await shared.run("kill $(cat /run/watch.pid)");
    }
    fs.rmSync(shared.file("main"));
  });
}

function lossTests(shared: SharedDirectory): void {
  test("fails while the export is lost under load, and works when it is back", async () => {
    fs.writeFileSync(shared.file("kept"), "kept");
    await shared.startLoad();
    await shared.killExport();
    const read = () => shared.run(`cat ${WORK}/kept 2>&1 || true`);
    await eventually("files fail", async () => (await read()).includes("Input/output error"));
    await eventually("no process is in state D", async () => (await shared.sleeping()) === "");
    await shared.export();
    await eventually("files are back", async () => (await read()) === "kept");
    for (const name of ["a", "b", "c"]) fs.rmSync(shared.file(name), { force: true });
    await eventually("the load goes on", () =>
      ["a", "b", "c"].some((name) => shared.hasSeen(name)),
    );
    await shared.endLoad();
  });

  test("fails with ENOTCONN after SIGKILL of the guest's daemon under load, and can be mounted again", async () => {
    await shared.startLoad();
    await shared.run("kill -9 $(cat /run/mount.pid)");
    await eventually("files fail", async () =>
      (await shared.run(`ls ${WORK} 2>&1 || true`)).includes("endpoint is not connected"),
    );
    await shared.endLoad();
    await shared.unmount();
    await using _mounted = await shared.mount();
    expect(await shared.inMount("cat kept; rm -rf ./*")).toBe("kept");
    expect(fs.readdirSync(shared.source)).toEqual([]);
  });
}
