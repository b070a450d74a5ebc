/** Copies, moves and removals of trees that are deep, hostile, or have several users. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import {
  chmodSync,
  chownSync,
  existsSync,
  lchownSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { SOCKET_OWNER_VARIABLE } from "../../src/config/socket-owners.ts";
import { formatPartName, partHash } from "../../src/files/part-name.ts";
import {
  eventually,
  Running,
  shell,
  ScratchDirectory,
  TestAgent,
  vsockbox,
} from "../support/binary.ts";
import { describeUnshared } from "../support/namespaces.ts";
import { hostileAgent } from "../support/hostile-agent.ts";
import { leavePart, partOf, unnamedBytes } from "../support/unfinished.ts";

let agent: TestAgent;
let scratch: ScratchDirectory;
beforeAll(async () => {
  agent = await TestAgent.start();
});
afterAll(async () => {
  await agent[Symbol.asyncDispose]();
});
beforeEach(() => {
  scratch?.[Symbol.dispose]();
  scratch = new ScratchDirectory();
});
afterAll(() => scratch[Symbol.dispose]());

const file = (name: string) => scratch.file(name);
const remote = (name: string) => `${agent.address}:${file(name)}`;
const cp = (...args: string[]) => vsockbox(["cp", "-q", ...args]);
const quiet = { status: 0, stdout: "", stderr: "" };
const modeOf = (path: string) => (lstatSync(path).mode & 0o7777).toString(8);

/** Paths below a directory. */
async function listing(directory: string): Promise<string[]> {
  const { stdout } = await shell(`cd "${directory}" && find . -mindepth 1 | sort`);
  return stdout.split("\n").filter((line) => line !== "");
}

/** A chain of directories `d/d/…/d` with a file at its end; made step by step, as no path is so long. */
function makeDeep(directory: string, depth: number): void {
  const script = `
import os, sys
os.chdir(sys.argv[1])
for _ in range(int(sys.argv[2])):
    os.mkdir("d")
    os.chdir("d")
open("end", "w").write("end")`;
  const made = Bun.spawnSync(["python3", "-c", script, directory, String(depth)]);
  if (made.exitCode !== 0) throw new Error(made.stderr.toString());
}

/** How many directories are below each other, and what the innermost one has. */
function depthOf(directory: string): { depth: number; names: string[] } {
  const script = `
import json, os, sys
os.chdir(sys.argv[1])
depth = 0
while os.path.isdir("d"):
    os.chdir("d")
    depth += 1
print(json.dumps({"depth": depth, "names": sorted(os.listdir("."))}))`;
  const { stdout } = Bun.spawnSync(["python3", "-c", script, directory]);
  return JSON.parse(stdout.toString()) as { depth: number; names: string[] };
}

describe("unfinished files have no name of the user's", () => {
  const names = [
    "doc",
    ".doc.vsockbox-part",
    "a".repeat(250),
    `${"a".repeat(250)}b`,
    ".vsockbox-x.tmp",
  ];

  test("a tree with names as of unfinished files arrives whole, both ways", async () => {
    mkdirSync(file("tree"));
    const own = Buffer.from(formatPartName({ hash: partHash(Buffer.from("doc")), inode: 12n }));
    for (const name of [...names, own.toString()]) writeFileSync(file(`tree/${name}`), name);
    expect(await cp("-r", file("tree"), remote("up"))).toEqual(quiet);
    expect(await cp("-r", "--resume", remote("up"), file("down"))).toEqual(quiet);
    const wanted = await listing(file("tree"));
    expect(wanted).toHaveLength(names.length + 1);
    for (const copy of ["up", "down"]) {
      expect(await listing(file(copy))).toEqual(wanted);
      for (const name of wanted) {
        const content = readFileSync(file(`${copy}/${name}`), "utf8");
        expect(content).toBe(name.slice(2));
      }
    }
  });

  test("a user's file beside the copy stays", async () => {
    writeFileSync(file("doc"), "new");
    mkdirSync(file("there"));
    writeFileSync(file("there/.doc.vsockbox-part"), "mine");
    const part = leavePart(file("there/doc"), Buffer.from("mine, too"));
    chmodSync(part, 0o644);
    expect(await cp("--resume", file("doc"), remote("there"))).toEqual(quiet);
    expect(readFileSync(file("there/.doc.vsockbox-part"), "utf8")).toBe("mine");
    expect(readFileSync(part, "utf8")).toBe("mine, too");
    expect(readFileSync(file("there/doc"), "utf8")).toBe("new");
  });

  test("two copies to one name at once both arrive, and the last one stays", async () => {
    await using first = new Running(["cp", "-", remote("f")]);
    first.process.stdin.write("first");
    await first.process.stdin.flush();
    const { pid } = agent.running;
    await eventually("it has begun", () => unnamedBytes(pid, scratch.path) === 5);
    writeFileSync(file("second"), "the second");
    const second = await vsockbox(["cp", "--json", file("second"), remote("f")]);
    expect(second).toMatchObject({ status: 0, stderr: "" });
    expect(JSON.parse(second.stdout)).toMatchObject({ files: 1, size_bytes: 10, error_count: 0 });
    expect(readFileSync(file("f"), "utf8")).toBe("the second");
    first.process.stdin.end();
    expect(await first.process.exited).toBe(0);
    expect(readFileSync(file("f"), "utf8")).toBe("first");
    expect(readdirSync(scratch.path).toSorted()).toEqual(["f", "second"]);
  });

  test("refused files are not counted", async () => {
    mkdirSync(file("in"));
    writeFileSync(file("in/f"), "content");
    mkdirSync(file("to/in/f"), { recursive: true });
    const { status, stdout } = await vsockbox(["cp", "-r", "--json", file("in"), remote("to")]);
    expect(status).toBe(74);
    expect(JSON.parse(stdout)).toMatchObject({ files: 0, size_bytes: 0, error_count: 1 });
  });

  test("--resume continues a file of one's own alone", async () => {
    const content = Buffer.alloc(600_000, "content ");
    writeFileSync(file("f"), content);
    mkdirSync(file("there"));
    const resumed = async () => {
      const { stdout } = await vsockbox(["cp", "--resume", "--json", file("f"), remote("there")]);
      expect(readFileSync(file("there/f")).equals(content)).toBe(true);
      return (JSON.parse(stdout) as { reused_bytes: number }).reused_bytes;
    };
    leavePart(file("there/f"), content.subarray(0, 500_000));
    expect(await resumed()).toBe(500_000);
    expect(partOf(file("there/f"))).toBeUndefined();

    const spoil: [string, (part: string) => void][] = [
      ["readable for others", (part) => chmodSync(part, 0o644)],
      ["with another name", (part) => linkSync(part, file("another"))],
    ];
    if (process.getuid?.() === 0)
      spoil.push(["of another user", (part) => chownSync(part, 12345, 0)]);
    for (const [, change] of spoil) {
      Bun.spawnSync(["rm", "-f", file("there/f"), file("another")]);
      const part = leavePart(file("there/f"), content.subarray(0, 500_000));
      change(part);
      expect(await resumed()).toBe(0);
      expect(statSync(part).size).toBe(500_000);
      Bun.spawnSync(["rm", "-f", part]);
    }
  });
});

describe("deep trees", () => {
  test("of 1,200 levels are copied both ways, with few descriptors", async () => {
    await using small = await TestAgent.start([], { through: ["prlimit", "--nofile=64:64"] });
    mkdirSync(file("tree"));
    makeDeep(file("tree"), 1200);
    const at = (name: string) => `${small.address}:${file(name)}`;
    expect(await cp("-rp", file("tree"), at("up"))).toEqual(quiet);
    expect(await cp("-rp", at("up"), file("down"))).toEqual(quiet);
    expect(depthOf(file("up"))).toEqual({ depth: 1200, names: ["end"] });
    expect(depthOf(file("down"))).toEqual({ depth: 1200, names: ["end"] });
    for (const name of ["up", "down", "tree"]) {
      expect(await vsockbox(["rm", "-r", at(name)])).toEqual(quiet);
    }
    expect(readdirSync(scratch.path)).toEqual([]);
  });

  test("of 15,000 levels are removed, and others are served meanwhile", async () => {
    mkdirSync(file("tree"));
    makeDeep(file("tree"), 15_000);
    const removal = vsockbox(["rm", "-r", remote("tree")]);
    expect((await vsockbox(["ping", "--count", "1", agent.address])).status).toBe(0);
    expect(await removal).toEqual(quiet);
    expect(existsSync(file("tree"))).toBe(false);
  });
});

describe("a size that was not announced", () => {
  const status = { mode: 0o644, seconds: 0, nanoseconds: 0, uid: 0, gid: 0 };
  const records: [string, Record<string, unknown>[]][] = [
    [
      "a hole in a file of unknown size",
      [
        { kind: "file", name: "f", ...status },
        { kind: "hole", bytes: 2 ** 42 },
      ],
    ],
    [
      "a hole that is larger than the file",
      [
        { kind: "file", name: "f", size: 9, ...status },
        { kind: "hole", bytes: 2 ** 42 },
      ],
    ],
  ];
  test.each(records)("%s is refused by cp, cp to standard output and cat", async (_, sent) => {
    using _agent = hostileAgent(file("s"), async (channel, request) => {
      if (request["op"] !== "get") return channel.finish({ type: "file", realPath: "/f" });
      for (const record of sent) {
        const { name } = request;
        await channel.sendRecord({
          ...record,
          ...("name" in record && name !== undefined ? { name } : {}),
        } as never);
      }
      channel.end();
      channel.finish({});
    });
    const from = `unix:${file("s")}:/f`;
    const to = ["cp", "-q", from, file("copy")];
    for (const words of [to, ["cp", "-q", from, "-"], ["cat", from]]) {
      const { status: exit, stdout } = await vsockbox(words);
      expect([exit === 0, stdout]).toEqual([false, ""]);
    }
    expect(readdirSync(scratch.path)).toEqual(["s"]);
  });

  test("--max-size bounds all received bytes before they are written", async () => {
    writeFileSync(file("sparse"), "");
    truncateSync(file("sparse"), 2 ** 42);
    mkdirSync(file("two"));
    for (const name of ["a", "b"]) writeFileSync(file(`two/${name}`), Buffer.alloc(1000));
    mkdirSync(file("to"));
    for (const [words, output] of [
      [["cp", "-q", "--max-size", "1GiB", remote("sparse"), file("to/sparse")], ""],
      [["cp", "-q", "--max-size", "1GiB", remote("sparse"), "-"], ""],
      [["cat", "--max-size", "1GiB", remote("sparse")], ""],
    ] as const) {
      const result = await vsockbox(words);
      expect(result).toMatchObject({ status: 74, stdout: output });
      expect(result.stderr).toContain("EFBIG");
    }
    expect(readdirSync(file("to"))).toEqual([]);
    const tree = await cp("-r", "--max-size", "1999", remote("two"), file("to"));
    expect([tree.status, readdirSync(file("to/two")).length]).toEqual([74, 1]);
    expect(await cp("-r", "--max-size", "2000", remote("two"), file("to/whole"))).toEqual(quiet);
    await using other = await TestAgent.start();
    const relayed = await cp(
      "--max-size",
      "999",
      remote("two/a"),
      `${other.address}:${file("to")}`,
    );
    expect(relayed).toMatchObject({ status: 74, stderr: expect.stringContaining("EFBIG") });
    expect(existsSync(file("to/a"))).toBe(false);
    expect((await cp("--max-size", "much", remote("two/a"), file("to"))).status).toBe(64);
  });
});

const asRoot = process.getuid?.() === 0;

describe.skipIf(!asRoot)("owners and set-ID bits", () => {
  const identity = (path: string) => {
    const { uid, gid } = lstatSync(path);
    return `${modeOf(path)} ${uid}:${gid}`;
  };

  beforeEach(() => {
    writeFileSync(file("program"), "program");
    chownSync(file("program"), 12345, 12346);
    chmodSync(file("program"), 0o6755);
  });

  test("a download with -p keeps neither, with --preserve-owner both", async () => {
    expect(await cp("-p", remote("program"), file("plain"))).toEqual(quiet);
    expect(identity(file("plain"))).toBe("755 0:0");
    expect(await cp("--preserve-owner", remote("program"), file("trusted"))).toEqual(quiet);
    expect(identity(file("trusted"))).toBe("6755 12345:12346");
  });

  test("an upload with -p by root keeps both", async () => {
    expect(await cp("-p", file("program"), remote("up"))).toEqual(quiet);
    expect(identity(file("up"))).toBe("6755 12345:12346");
  });

  test("a file that is replaced keeps its owner, not its set-ID bits", async () => {
    writeFileSync(file("new"), "new");
    for (const to of [remote("program"), file("program")]) {
      chmodSync(file("program"), 0o6755);
      const from = to === file("program") ? remote("new") : file("new");
      expect(await cp(from, to)).toEqual(quiet);
      expect(identity(file("program"))).toBe("755 12345:12346");
    }
  });

  test("an agent that may not change owners drops set-ID bits with -p", async () => {
    mkdirSync(file("theirs"));
    chownSync(file("theirs"), 12347, 12347);
    chmodSync(scratch.path, 0o755);
    const address = `unix:${file("theirs/s")}`;
    const through = ["setpriv", "--reuid=12347", "--regid=12347", "--clear-groups"];
    await using other = new Running(["agent", "--listen", address], {
      through,
      env: { HOME: "/" },
    });
    await other.says("listening on");
    const to = `${address}:${file("theirs/up")}`;
    const cpTo = () =>
      vsockbox(["cp", "-q", "-p", file("program"), to], {
        env: { [SOCKET_OWNER_VARIABLE]: "12347" },
      });
    expect(await cpTo()).toEqual(quiet);
    expect(identity(file("theirs/up"))).toBe("755 12347:12347");
    chownSync(file("program"), 12347, 12347);
    chmodSync(file("program"), 0o6755);
    expect(await cpTo()).toEqual(quiet);
    expect(identity(file("theirs/up"))).toBe("6755 12347:12347");
  });

  test("a link that another user has put into a directory for all is not followed", async () => {
    mkdirSync(file("tmp"));
    chmodSync(file("tmp"), 0o1777);
    writeFileSync(file("secret"), "secret");
    symlinkSync(file("secret"), file("tmp/link"));
    lchownSync(file("tmp/link"), 12345, 12345);
    writeFileSync(file("new"), "new");
    for (const words of [
      ["cp", "-q", file("new"), remote("tmp/link")],
      ["cp", "-q", remote("tmp/link"), file("copy")],
      ["cat", remote("tmp/link")],
    ]) {
      const { status, stdout, stderr } = await vsockbox(words);
      expect([status, stdout]).toEqual([77, ""]);
      expect(stderr).toContain("user 12345 has created a symbolic link");
    }
    expect(readFileSync(file("secret"), "utf8")).toBe("secret");
    lchownSync(file("tmp/link"), 0, 0);
    expect((await vsockbox(["cat", remote("tmp/link")])).stdout).toBe("secret");
  });
});

describe("a tree that changes while it is copied", () => {
  test("a directory that becomes a link is not followed", async () => {
    mkdirSync(file("tree/d"), { recursive: true });
    mkdirSync(file("outside"));
    writeFileSync(file("outside/secret"), "secret");
    writeFileSync(file("tree/d/big"), "");
    const script = `
      while :; do
        mv -T "${file("tree/d")}" "${file("real")}" && ln -s "${file("outside")}" "${file("tree/d")}"
        rm "${file("tree/d")}" && mv -T "${file("real")}" "${file("tree/d")}"
      done`;
    const swapper = Bun.spawn(["sh", "-c", script], { stdio: ["ignore", "ignore", "ignore"] });
    try {
      for (let round = 0; round < 15; round++) {
        await cp("-r", remote("tree"), file(`copy-${round}`));
        await cp("-r", file("tree"), remote(`up-${round}`));
        for (const copy of [`copy-${round}`, `up-${round}`]) {
          const names = await listing(file(copy));
          expect(names.filter((name) => name.includes("secret"))).toEqual([]);
        }
      }
    } finally {
      swapper.kill("SIGKILL");
      await swapper.exited;
    }
  });
});

describeUnshared(["-rm"], "across file systems", (unshare) => {
  /** Runs a bash line beside an agent, in a mount namespace in which `$D/other` is a tmpfs. */
  async function inNamespace(line: string) {
    const script = `
      set -e
      D=${scratch.path}
      mkdir $D/other $D/own
      mount -t tmpfs none $D/other
      vsockbox agent --listen unix:$D/own/s 2>/dev/null &
      P=$!
      trap 'kill $P' EXIT
      vsockbox wait unix:$D/own/s >/dev/null 2>&1
      A=unix:$D/own/s:$D
      ${line}`;
    writeFileSync(file("script"), script);
    return shell(`${unshare.join(" ")} bash ${file("script")}`);
  }

  test("mv copies a tree with modes, times, links and holes, and removes it", async () => {
    mkdirSync(file("tree/sub"), { recursive: true });
    writeFileSync(file("tree/sub/f"), "content");
    chmodSync(file("tree/sub/f"), 0o4751);
    utimesSync(file("tree/sub/f"), 1_000_000_000, 1_000_000_001);
    linkSync(file("tree/sub/f"), file("tree/again"));
    symlinkSync("sub/f", file("tree/link"));
    Bun.spawnSync(["mkfifo", "-m", "640", file("tree/fifo")]);
    writeFileSync(file("tree/sparse"), "x");
    truncateSync(file("tree/sparse"), 50_000_000);
    chmodSync(file("tree/sub"), 0o1711);
    utimesSync(file("tree/sub"), 1_000_000_002, 1_000_000_003);
    const look =
      "find . -printf '%P %y %m %s %T@ %l %n\\n' | grep -v '^ d\\|^sub d' | sort; stat -c '%a %Y' sub";
    const before = await shell(`cd ${file("tree")} && ${look}`);
    const moved = await inNamespace(`
      vsockbox mv $A/tree $A/other/tree
      [ ! -e $D/tree ]
      cd $D/other/tree; ${look}
      [ $(stat -c %b sparse) -lt 1000 ]
      cmp <(printf content) sub/f
      cd /; vsockbox mv $A/other/tree $A/back
      ls $D/other`);
    expect(moved).toMatchObject({ status: 0, stderr: "" });
    expect(moved.stdout).toBe(before.stdout);
    expect((await shell(`cd ${file("back")} && ${look}`)).stdout).toBe(before.stdout);
  });

  test("mv of a file replaces one, --no-clobber does not, and kinds are not mixed", async () => {
    for (const name of ["f", "g"]) writeFileSync(file(name), name);
    mkdirSync(file("d"));
    const { status, stdout, stderr } = await inNamespace(`
      echo old > $D/other/f; mkdir $D/other/dir; touch $D/other/dir/inside $D/other/file
      vsockbox mv --no-clobber $A/f $A/other/f 2>/dev/null || echo refused $?
      cat $D/f $D/other/f; echo
      vsockbox mv $A/f $A/other/f; cat $D/other/f; echo; [ ! -e $D/f ]
      mkdir $D/e; vsockbox mv $A/d $A/other/file 2>/dev/null || echo refused $?
      cp -r $D/other/dir $D/dir2; mkdir -p $D/other/x/dir2; touch $D/other/x/dir2/kept
      vsockbox mv $A/dir2 $A/other/x 2>/dev/null || echo refused $?
      ls -A $D/dir2 $D/other/x/dir2 $D/other`);
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    expect(stdout.split("\n").slice(0, 6)).toEqual([
      "refused 73",
      "fold",
      "",
      "f",
      "refused 74",
      "refused 74",
    ]);
    expect(stdout).toMatch(/dir2:\ninside\n/);
    expect(stdout).toMatch(/x\/dir2:\nkept\n/);
    expect(stdout).not.toMatch(/^\.vsockbox-/m);
    expect(existsSync(file("d"))).toBe(true);
  });

  test("mv that fails leaves the original and nothing of the copy", async () => {
    mkdirSync(file("tree"));
    for (const name of ["a", "b", "c"]) writeFileSync(file(`tree/${name}`), Buffer.alloc(400_000));
    const { status, stdout, stderr } = await inNamespace(`
      mount -t tmpfs -o size=1M none $D/other
      vsockbox mv $A/tree $A/other/tree && exit 9
      ls -A $D/other`);
    expect({ status, stdout }).toEqual({ status: 0, stdout: "" });
    expect(stderr).toContain("ENOSPC");
    expect(readdirSync(file("tree")).toSorted()).toEqual(["a", "b", "c"]);
  });

  test("rm -r goes round a file system that is mounted below, and removes the rest", async () => {
    mkdirSync(file("tree/mounted"), { recursive: true });
    mkdirSync(file("tree/x"));
    const { status, stdout, stderr } = await inNamespace(`
      mount -t tmpfs none $D/tree/mounted; touch $D/tree/mounted/kept
      mkdir $D/bound; touch $D/bound/kept; mkdir $D/tree/y; mount --bind $D/bound $D/tree/y
      vsockbox rm -r $A/tree/mounted || echo refused $?
      vsockbox rm -r $A/tree/y/ || echo refused $?
      vsockbox rm -r $A/tree || echo left $?
      cd $D; find tree | sort; ls bound`);
    expect({ status, stdout }).toEqual({
      status: 0,
      stdout:
        "refused 64\nrefused 64\nleft 74\ntree\ntree/mounted\ntree/mounted/kept\ntree/y\ntree/y/kept\nkept\n",
    });
    expect(stderr).toContain(`${file("tree/mounted")}: a file system is mounted there`);
  });
});
