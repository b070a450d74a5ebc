/**
 * `vsockbox mount` and a server of the Go package: each point of the dialect in which the two could differ,
 * with the kernel's FUSE. The server answers byte for byte as the Go program.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import * as fs from "node:fs";
import { eventually } from "../support/binary.ts";
import { GoVfsServer, type GoVfsServerOptions } from "../support/go-vfs-server.ts";
import { MountedExport } from "../support/mounted-export.ts";
import { NO_MOUNTS } from "../support/mount-namespace.ts";

const OP = { hello: 200, getattr: 1, setattr: 2, read: 3, write: 4, create: 5, open: 10 } as const;
const O_APPEND = 0o2000;
const GO_SET_UID = 2 ** 23;

/** A Go server and a mount of it. */
class GoMount implements AsyncDisposable {
  readonly mounted: MountedExport;
  readonly server: GoVfsServer;

  private constructor(mounted: MountedExport, server: GoVfsServer) {
    this.mounted = mounted;
    this.server = server;
  }

  static async listening(given: Partial<GoVfsServerOptions> = {}): Promise<GoMount> {
    const mounted = await MountedExport.withoutHost();
    const options = { directory: mounted.source, mountPoint: mounted.target, ...given };
    const path = mounted.address.slice("unix:".length);
    return new GoMount(mounted, await GoVfsServer.listen(path, options));
  }

  static async start(given?: Partial<GoVfsServerOptions>, args?: string[]): Promise<GoMount> {
    const made = await GoMount.listening(given);
    await made.mounted.startMount(args);
    return made;
  }

  /** The requests of an operation that a line of bash makes, which must succeed. */
  async requestsOf(op: number, line: string) {
    const { length } = this.server.requests;
    await this.mounted.output(line);
    return this.server.requests.slice(length).filter((request) => request["op"] === op);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.mounted[Symbol.asyncDispose]();
    await this.server[Symbol.asyncDispose]();
  }
}

/** Prints the name of the errno of Python statements that must fail. */
const errnoOf = (statements: string) =>
  `python3 -c 'import errno, os
try:
  ${statements}
except OSError as error: print(errno.errorcode[error.errno], end="")'`;

describe.skipIf(NO_MOUNTS !== undefined)(`a mount of a Go server${NO_MOUNTS ?? ""}`, () => {
  let go: GoMount;
  const at = (name: string) => go.mounted.file(name);
  const output = (line: string) => go.mounted.output(line);

  beforeAll(async () => {
    go = await GoMount.start();
  });
  afterAll(() => go[Symbol.asyncDispose]());

  test("1: the paths of its requests have the mount point in front, or --go-root", async () => {
    const first = go.server.requests.slice(0, 2);
    expect(first).toMatchObject([{ op: OP.hello }, { op: OP.getattr, path: go.mounted.target }]);
    await using other = await GoMount.start({ mountPoint: "/mnt/work" }, [
      ...["--go-root", "/mnt/work"],
    ]);
    expect(other.server.requests[1]).toEqual({ op: OP.getattr, path: "/mnt/work" });
    await other.mounted.output("mkdir -p a/b && echo one > a/b/c");
    expect(fs.readFileSync(other.mounted.file("a/b/c"), "utf8")).toBe("one\n");
    await using wrong = await GoMount.listening({ mountPoint: "/mnt/work" });
    const start = wrong.mounted.startMount().catch((thrown: unknown) => String(thrown));
    expect(await start).toContain(`the Go server has no ${wrong.mounted.target}`);
  });

  test("2: modes are what was asked for, with the special bits", async () => {
    const [request] = await go.requestsOf(OP.setattr, "echo > two && chmod 4711 two");
    expect(request).toMatchObject({ mode: 0o4711 + GO_SET_UID });
    await output("umask 0; mkdir -m 1777 two.d && (umask 077; echo > two.f) && mkdir -m 750 two.e");
    const mode = (name: string) => (fs.statSync(at(name)).mode & 0o7777).toString(8);
    const names = ["two", "two.d", "two.f", "two.e"];
    expect(names.map(mode)).toEqual(["4711", "1777", "600", "750"]);
    expect(await output(`stat -c %f ${names.join(" ")}`)).toBe("89c9\n43ff\n8180\n41e8\n");
  });

  test("3: listings have the types of the host, and the server follows links", async () => {
    fs.mkdirSync(at("three/d"), { recursive: true });
    fs.writeFileSync(at("three/f"), "12345", { mode: 0o600 });
    fs.symlinkSync("f", at("three/l"));
    fs.symlinkSync("nowhere", at("three/dangling"));
    Bun.spawnSync(["mkfifo", at("three/p")]);
    const types = `python3 -c 'import os
for e in sorted(os.scandir("three"), key=lambda e: e.name): print(e.name, e.is_dir(follow_symlinks=False), e.is_symlink())'`;
    expect(await output(types)).toBe(
      "d True False\ndangling False True\nf False False\nl False True\np False False\n",
    );
    expect(await output("stat -c '%F %s' three/l three/p && cat three/l")).toBe(
      "regular file 5\nfifo 0\n12345",
    );
    expect(await output(errnoOf(`os.lstat("three/dangling")`))).toBe("ENOENT");
  });

  test("4: owners and times stay, and a file grows or is emptied", async () => {
    await output("echo 12345 > four && chown 7:7 four && touch -d 2001-02-03 four");
    expect(fs.statSync(at("four"))).toMatchObject({ uid: process.getuid?.() });
    expect(fs.statSync(at("four")).mtimeMs).toBeGreaterThan(Date.UTC(2002, 0));
    await output("truncate -s 20 four");
    expect(fs.readFileSync(at("four"))).toEqual(Buffer.from(`12345\n${"\0".repeat(14)}`));
    await output(`python3 -c 'import os; os.truncate("four", 30)'`);
    expect(fs.statSync(at("four")).size).toBe(30);
    expect(await output(errnoOf(`os.truncate("four", 5)`))).toBe("ENOTSUP");
    const created = await go.requestsOf(OP.create, "truncate -s 0 four && stat -c %s four");
    expect(created.length).toBe(1);
    expect(fs.statSync(at("four")).size).toBe(0);
  });

  test("5: a file that exists is not emptied by O_EXCL, and by O_CREAT alone neither", async () => {
    await output("echo old > five");
    expect(await output(errnoOf(`os.open("five", os.O_CREAT | os.O_EXCL)`))).toBe("EEXIST");
    await output(`python3 -c 'import os; os.close(os.open("five", os.O_CREAT | os.O_RDWR))'`);
    expect(fs.readFileSync(at("five"), "utf8")).toBe("old\n");
    await output("set -C; echo new > five.new");
    expect(fs.readFileSync(at("five.new"), "utf8")).toBe("new\n");
  });

  test("6: O_APPEND is not sent, and what is appended comes last", async () => {
    const opened = await go.requestsOf(OP.open, "echo one > six; echo two >> six; echo 3 >> six");
    expect(fs.readFileSync(at("six"), "utf8")).toBe("one\ntwo\n3\n");
    const flags = opened.map((request) => Number(request["flags"] ?? 0));
    expect(flags.length).toBeGreaterThan(0);
    expect(flags.filter((one) => (one & O_APPEND) !== 0)).toEqual([]);
  });

  test("7: errors are those that programs expect, although the server sends few", async () => {
    await output("mkdir -p seven/full seven/other && echo > seven/full/x && echo > seven/f");
    const errnos: readonly (readonly [string, string])[] = [
      ['os.rmdir("seven/full")', "ENOTEMPTY"],
      ['os.rename("seven/other", "seven/full")', "ENOTEMPTY"],
      ['os.unlink("seven/full")', "EISDIR"],
      ['os.rmdir("seven/f")', "ENOTDIR"],
      ['os.mkdir("seven/full")', "EEXIST"],
      ['os.lstat("seven/none")', "ENOENT"],
      ['os.lstat("seven/f/x")', "ENOTDIR"],
      [`os.lstat("${"x".repeat(256)}")`, "ENAMETOOLONG"],
    ];
    for (const [statement, errno] of errnos) {
      expect([statement, await output(errnoOf(statement))]).toEqual([statement, errno]);
    }
    await output("mv seven/full seven/moved && test -e seven/moved/x && mv seven/f seven/moved/x");
    await using readOnly = await GoMount.start({ isReadOnly: true });
    fs.writeFileSync(readOnly.mounted.file("f"), "12345");
    expect(await readOnly.mounted.output("cat f")).toBe("12345");
    for (const statement of ['open("f", "w")', 'os.mkdir("d")', 'os.unlink("f")']) {
      expect(await readOnly.mounted.output(errnoOf(statement))).toBe("EROFS");
    }
  });

  test("8: each handle of the server is released", async () => {
    await output("for i in $(seq 20); do echo $i > eight; cat eight; truncate -s 9 eight; done");
    await eventually("no handle is open", () => go.server.openHandles === 0);
  });

  test("9: an open file that was removed is still read and written", async () => {
    const read = await output(
      `exec 3<> nine; echo one >&3; rm nine; exec 4< /dev/fd/3 || true
       python3 -c 'import os
os.pwrite(3, b"two", 4); print(os.pread(3, 99, 0), os.fstat(3).st_size, os.fstat(3).st_nlink)'`,
    );
    expect(read).toBe("b'one\\ntwo' 7 0\n");
    expect(fs.existsSync(at("nine"))).toBe(false);
    expect(await output("stat -c %y five | cut -c20-30")).toBe(".000000000 \n");
  });

  test("10: names that are not UTF-8 disturb nothing else", async () => {
    fs.mkdirSync(at("ten"));
    fs.writeFileSync(Buffer.concat([Buffer.from(`${at("ten")}/`), Buffer.from([0xff])]), "");
    fs.writeFileSync(at("ten/ä"), "");
    expect(await output("ls ten | cat")).toBe("ä\n");
    expect(await output(errnoOf(`os.mkdir(b"ten/\\xfe")`))).toBe("EILSEQ");
    expect(await output("ls ten | cat")).toBe("ä\n");
  });

  test("11: transfers have the sizes of the peer, and a listing any size", async () => {
    const line = "head -c 1000000 /dev/urandom > eleven && sha256sum < eleven";
    const written = await go.requestsOf(OP.write, line);
    const lengths = written.map((request) => (request["data"] as Uint8Array).length);
    expect(Math.max(...lengths)).toBeLessThanOrEqual(131_072);
    expect(lengths.reduce((sum, length) => sum + length, 0)).toBe(1_000_000);
    const hash = new Bun.CryptoHasher("sha256").update(fs.readFileSync(at("eleven")));
    expect(await output("sha256sum < eleven")).toBe(`${hash.digest("hex")}  -\n`);
    // The answer has more than 4 MiB.
    fs.mkdirSync(at("eleven.d"));
    for (let index = 0; index < 15_000; index++) {
      fs.closeSync(fs.openSync(at(`eleven.d/${String(index).padStart(250, "x")}`), "w"));
    }
    expect(await output("ls -U eleven.d | wc -l")).toBe("15000\n");
  });

  test("12: what the dialect lacks is refused here, and no request is sent for it", async () => {
    await output("echo > twelve");
    const { length } = go.server.requests;
    const errnos = ['os.symlink("a", "l")', 'os.link("twelve", "h")', 'os.mkfifo("p")'];
    for (const statement of errnos) expect(await output(errnoOf(statement))).toBe("EPERM");
    expect(await output(errnoOf(`os.setxattr("twelve", "user.a", b"1")`))).toBe("ENOTSUP");
    await output("flock twelve true && stat -f . && df .");
    const operations = go.server.requests.slice(length).map((request) => Number(request["op"]));
    expect(operations.filter((op) => op > 13)).toEqual([]);
  });

  test("13: programs work on it under the type that an image waits for", async () => {
    await using image = await GoMount.start({}, ["--type", "fuse.matchlock"]);
    const { target } = image.mounted;
    expect(await image.mounted.output("cat /proc/self/mounts")).toContain(
      ` ${target} fuse.matchlock `,
    );
    await image.mounted.output(
      `mkdir -p r/a && for i in 1 2 3 4; do echo $i > r/a/f$i; done && mv r/a/f1 r/f7 &&
       tar -cf r.tar r && mkdir x && tar -xf r.tar -C x && diff -r r x/r && rm -rf x`,
    );
    expect(fs.existsSync(image.mounted.file("r/f7"))).toBe(true);
    expect(fs.existsSync(image.mounted.file("x"))).toBe(false);
  });
});
