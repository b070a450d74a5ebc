/** Copies and file commands where something is out of the ordinary. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import type { Channel } from "../../src/agent/channel/channel.ts";
import type { JsonObject } from "../../src/protocols/agent/json-fields.ts";
import { eventually, Running, ScratchDirectory, TestAgent, vsockbox } from "../support/binary.ts";
import { unnamedBytes } from "../support/unfinished.ts";
import { hostileAgent } from "../support/hostile-agent.ts";
import { atRest, cpuTicks } from "../support/process-state.ts";

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

const remote = (name: string) => `${agent.address}:${scratch.file(name)}`;
const cp = (...args: string[]) => vsockbox(["cp", ...args]);

describe("anything but a regular file is refused", () => {
  beforeEach(() => {
    writeFileSync(scratch.file("fifo.txt"), "text");
    Bun.spawnSync(["mkfifo", scratch.file("fifo"), scratch.file("d-fifo")]);
  });
  const isFifo = (name: string) => lstatSync(scratch.file(name)).isFIFO();

  test("is not replaced by an upload", async () => {
    const { status, stderr } = await cp(scratch.file("fifo.txt"), remote("fifo"));
    expect({ status, fifo: isFifo("fifo") }).toEqual({ status: 73, fifo: true });
    expect(stderr).toContain("it is a FIFO, which a copy would replace by a file");
  });

  test("is not replaced by a download", async () => {
    const { status } = await cp(remote("fifo.txt"), scratch.file("fifo"));
    expect({ status, fifo: isFifo("fifo") }).toEqual({ status: 73, fifo: true });
  });

  test("is not replaced if it is in the destination directory", async () => {
    mkdirSync(scratch.file("in"));
    writeFileSync(scratch.file("in/d-fifo"), "text");
    const { status, stderr } = await cp(scratch.file("in/d-fifo"), remote("."));
    expect({ status, fifo: isFifo("d-fifo") }).toEqual({ status: 74, fifo: true });
    expect(stderr).toContain("it is a FIFO");
  });
});

describe("copies", () => {
  test("of a file of /sys, whose size is a page", async () => {
    const path = "/sys/kernel/mm/transparent_hugepage/enabled";
    if (!existsSync(path)) return;
    const { status } = await cp(`${agent.address}:${path}`, scratch.file("copy"));
    expect([status, readFileSync(scratch.file("copy"), "utf8")]).toEqual([
      0,
      readFileSync(path, "utf8"),
    ]);
  });

  test("keep a time before 1970", async () => {
    writeFileSync(scratch.file("old"), "");
    Bun.spawnSync(["touch", "-d", "1960-02-03T04:05:06.5Z", scratch.file("old")]);
    expect((await cp("-p", scratch.file("old"), remote("copy"))).status).toBe(0);
    expect(statSync(scratch.file("copy")).mtime.toISOString()).toBe("1960-02-03T04:05:06.500Z");
  });

  test("of a file that becomes shorter leave that file out, not the rest", async () => {
    const stopped = await TestAgent.start();
    mkdirSync(scratch.file("tree"));
    for (const name of ["a", "z"]) writeFileSync(scratch.file(`tree/${name}`), name);
    writeFileSync(scratch.file("tree/big"), Buffer.alloc(64 * 1024 * 1024));
    try {
      const to = `${stopped.address}:${scratch.file("copy")}`;
      await using copying = new Running(["cp", "-r", scratch.file("tree"), to]);
      const { pid } = stopped.running;
      const received = () => unnamedBytes(pid, scratch.file("copy"));
      await eventually("it is being copied", () => received() > 0);
      stopped.running.process.kill("SIGSTOP");
      truncateSync(scratch.file("tree/big"), 10);
      stopped.running.process.kill("SIGCONT");
      expect(await copying.process.exited).toBe(74);
      await copying.stderrDone;
      expect(copying.stderr).toContain(`${scratch.file("tree/big")}: the file became`);
      expect(readdirSync(scratch.file("copy")).toSorted()).toEqual(["a", "z"]);
    } finally {
      stopped.running.process.kill("SIGCONT");
      await stopped[Symbol.asyncDispose]();
    }
  });

  test("with --checksum of a hole leave other requests their turn", async () => {
    writeFileSync(scratch.file("sparse"), "");
    truncateSync(scratch.file("sparse"), 1024 ** 4);
    await using copying = new Running(["cp", "--checksum", remote("sparse"), scratch.file("copy")]);
    const used = cpuTicks(agent.running.pid);
    await eventually("it hashes", () => cpuTicks(agent.running.pid) > used + 20);
    expect((await vsockbox(["ping", "--count", "1", agent.address])).status).toBe(0);
    // The hash of a tebibyte takes an hour.
    expect(copying.process.exitCode).toBe(null);
    copying.process.kill("SIGINT");
    expect(await copying.process.exited).toBe(130);
  });

  test.each([
    ["that ends in a hole", "data", 40_000_000],
    ["that is one hole", "", 70_000_000],
  ])("with --checksum of a file %s are the same, both ways", async (_, data, bytes) => {
    writeFileSync(scratch.file("sparse"), data);
    truncateSync(scratch.file("sparse"), bytes);
    for (const [from, to] of [
      [remote("sparse"), scratch.file("down")],
      [scratch.file("sparse"), remote("up")],
    ] as const) {
      expect(await cp("-q", "--checksum", from, to)).toEqual({ status: 0, stdout: "", stderr: "" });
    }
    const wanted = readFileSync(scratch.file("sparse"));
    expect(readFileSync(scratch.file("down")).equals(wanted)).toBe(true);
    expect(readFileSync(scratch.file("up")).equals(wanted)).toBe(true);
  });

  test("that are broken off leave directories that may be entered as in the source", async () => {
    mkdirSync(scratch.file("tree"), { mode: 0o755 });
    writeFileSync(scratch.file("tree/big"), "");
    truncateSync(scratch.file("tree/big"), 1024 ** 4);
    await using copying = new Running([
      "cp",
      "-r",
      "--checksum",
      scratch.file("tree"),
      remote("copy"),
    ]);
    await eventually("it has begun", () => existsSync(scratch.file("copy")));
    copying.process.kill("SIGKILL");
    expect(statSync(scratch.file("copy")).mode & 0o777).toBe(0o755 & ~process.umask());
  });

  test("end at Ctrl-C if the agent reads nothing any more", async () => {
    const stopped = await TestAgent.start();
    writeFileSync(scratch.file("big"), Buffer.alloc(64 * 1024 * 1024));
    try {
      await using copying = new Running([
        "cp",
        scratch.file("big"),
        `${stopped.address}:${scratch.file("copy")}`,
      ]);
      const received = () => unnamedBytes(stopped.running.pid, scratch.path);
      await eventually("it has begun", () => received() > 0);
      stopped.running.process.kill("SIGSTOP");
      await atRest(copying.pid);
      copying.process.kill("SIGINT");
      expect(await copying.process.exited).toBe(130);
    } finally {
      stopped.running.process.kill("SIGCONT");
      await stopped[Symbol.asyncDispose]();
    }
  });
});

describe("rm and mkdir", () => {
  test("rm continues after a path that does not exist", async () => {
    writeFileSync(scratch.file("there"), "");
    const { status, stderr } = await vsockbox(["rm", remote("missing"), remote("there")]);
    expect([status, existsSync(scratch.file("there"))]).toEqual([74, false]);
    expect(stderr).toContain("missing: no such file or directory");
  });

  test("rm -r of a link with a slash at its end keeps its target", async () => {
    mkdirSync(scratch.file("real"));
    writeFileSync(scratch.file("real/keep"), "");
    symlinkSync("real", scratch.file("link"));
    expect((await vsockbox(["rm", "-r", remote("link/")])).status).toBe(74);
    expect(existsSync(scratch.file("real/keep"))).toBe(true);
  });

  test("mkdir --parents accepts a link to a directory", async () => {
    mkdirSync(scratch.file("real"));
    symlinkSync("real", scratch.file("link"));
    expect(await vsockbox(["mkdir", "--parents", remote("link")])).toEqual({
      status: 0,
      stdout: "",
      stderr: "",
    });
  });
});

describe("an agent that does not send the requested file", () => {
  const status = { mode: 0o644, mtimeMs: 0, uid: 0, gid: 0 };
  const download = async (
    flags: string[],
    send: (channel: Channel, name: string) => Promise<void>,
  ) => {
    const path = scratch.file("hostile.sock");
    using _agent = hostileAgent(path, async (channel: Channel, request: JsonObject) => {
      await send(channel, String(request["name"]));
      channel.end();
      channel.finish();
    });
    return await cp(...flags, `unix:${path}:/srv/file`, scratch.file("file"));
  };

  test("a link in place of a file is refused", async () => {
    const result = await download(["-r"], (channel, name) =>
      channel.sendRecord({ kind: "link", name, target: "/etc/passwd", ...status }),
    );
    expect(result.status).toBe(65);
    expect(lstatSync(scratch.file("file"), { throwIfNoEntry: false })).toBeUndefined();
  });

  test("a directory is refused without --recursive", async () => {
    const result = await download([], async (channel, name) => {
      await channel.sendRecord({ kind: "directory", name, ...status });
      await channel.sendRecord({ kind: "leave" });
    });
    expect([result.status, existsSync(scratch.file("file"))]).toEqual([65, false]);
  });

  test.each([
    ["its skipped record", ["f"], ["cannot read /srv/x: broken"]],
    [
      "the record of another file",
      ["g"],
      ["broken while it was read", "cannot read /srv/x: broken"],
    ],
    ["no such record", [], ["broken while it was read"]],
  ])(
    "a file that breaks off in a tree is one failure, with %s after it",
    async (_, names, texts) => {
      const result = await download(["-r"], async (channel, name) => {
        await channel.sendRecord({ kind: "directory", name, ...status });
        await channel.sendRecord({ kind: "file", name: "f", size: 10, ...status });
        await channel.send(1, Buffer.from("abc"));
        await channel.sendRecord({ kind: "end", error: "broken while it was read" });
        for (const skipped of names) {
          await channel.sendRecord({
            ...{ kind: "skipped", name: skipped, error: "cannot read /srv/x: broken" },
          });
        }
        await channel.sendRecord({ kind: "leave" });
      });
      const lines = result.stderr.split("\n").filter((line) => line.includes("broken"));
      expect([result.status, lines.length]).toEqual([74, texts.length]);
      for (const [index, text] of texts.entries()) expect(lines[index]).toContain(text);
    },
  );

  test("nothing at all is an error", async () => {
    const result = await download([], () => Promise.resolve());
    expect([result.status, result.stderr]).toEqual([
      65,
      "vsockbox: cannot read transfer: the agent sent nothing\n",
    ]);
  });

  test("more bytes than were announced end the file at once", async () => {
    const result = await download([], async (channel, name) => {
      await channel.sendRecord({ kind: "file", name, size: 2, ...status });
      await channel.send(1, Buffer.from("abc"));
      await channel.sendRecord({ kind: "end" });
    });
    expect([result.status, existsSync(scratch.file("file"))]).toEqual([74, false]);
    expect(result.stderr).toContain("more than its 2 bytes");
  });

  test("cat reports that the end is missing", async () => {
    const path = scratch.file("hostile.sock");
    using _agent = hostileAgent(path, async (channel) => {
      await channel.sendRecord({ kind: "file", name: "file", size: 10, ...status });
      await channel.send(1, Buffer.from("abc"));
      channel.end();
      channel.finish();
    });
    const result = await vsockbox(["cat", `unix:${path}:/srv/file`]);
    expect([result.status, result.stdout]).toEqual([65, "abc"]);
  });
});
