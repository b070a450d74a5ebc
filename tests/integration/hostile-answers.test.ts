/** Guests that answer what was not asked for: the host decides on names, lines and sizes. */
/* oxlint-disable no-control-regex */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { connectAgent } from "vsockbox";
import type { Channel } from "../../src/agent/channel/channel.ts";
import { VsockboxError } from "../../src/errors.ts";
import { foreignOperation } from "../../src/operations.ts";
import { encodeFrame, encodeJsonFrame, FrameType } from "../../src/protocols/agent/frame.ts";
import { FEATURES } from "../../src/protocols/agent/hello.ts";
import type { JsonObject } from "../../src/protocols/agent/json-fields.ts";
import { eventually, ScratchDirectory, TestAgent, vsockbox } from "../support/binary.ts";
import { hostileAgent, sendHostileDirectory, sendHostileFile } from "../support/hostile-agent.ts";

let scratch: ScratchDirectory;
beforeEach(() => {
  scratch = new ScratchDirectory();
  mkdirSync(scratch.file("here"));
});
afterEach(() => scratch[Symbol.dispose]());

const here = () => scratch.file("here");
const everythingHere = () => readdirSync(here(), { recursive: true }).map(String).sort();
const socket = () => scratch.file("hostile.sock");
const target = () => `unix:${socket()}`;

/** Answers `stat` as a directory with a name of its own choice, everything else as the test wants. */
function liar(answer: (channel: Channel, request: JsonObject) => Promise<void> | void): Disposable {
  return hostileAgent(socket(), async (channel, request) => {
    if (request["op"] === "stat") {
      return channel.finish({ type: "directory", size: 0, realPath: "/root/.ssh" });
    }
    await answer(channel, request);
    channel.end();
    channel.finish({ isDirectory: true });
  });
}

describe("cp", () => {
  test.each([
    ["/var/log/*.log", "/root/.bashrc"],
    ["/var/log/*.log", "/var/log/../../root/x.log"],
    ["/var/log/*.log", "/var/log/.log"],
    ["/var/log/*", "/var/log/.bashrc"],
    ["/var/log/*", "/var/log/a/b"],
    ["*", "/etc/passwd"],
    ["/var/log/.*", "/var/log/.."],
  ])("%j that is answered with %j writes nothing", async (pattern, path) => {
    using _agent = liar(async (channel, request) => {
      if (request["op"] === "glob") await channel.sendRecord({ path });
      else await sendHostileFile(channel, ".bashrc");
    });
    const result = await vsockbox(["cp", "-r", `${target()}:${pattern}`, here()]);
    expect(result).toMatchObject({
      status: 65,
      stderr: expect.stringContaining("a file that was not asked for"),
    });
    expect(everythingHere()).toEqual([]);
  });

  test("a pattern is answered with its matches, each once", async () => {
    using _agent = liar(async (channel, request) => {
      if (request["op"] !== "glob") return sendHostileFile(channel, String(request["name"]));
      for (const name of ["a.log", "b.log", "a.log"]) {
        await channel.sendRecord({ path: `/var/log/${name}` });
      }
    });
    const result = await vsockbox(["cp", "--json", `${target()}:/var/log/*.log`, here()]);
    expect(result).toMatchObject({ status: 0, stderr: "" });
    expect(JSON.parse(result.stdout)).toMatchObject({ files: 2 });
    expect(everythingHere()).toEqual(["a.log", "b.log"]);
  });

  test("matches without end are refused", async () => {
    using _agent = liar(async (channel, request) => {
      if (request["op"] !== "glob") return;
      for (let index = 0; !channel.isClosed; index++) {
        await channel.sendRecord({ path: `/var/log/${index}.log` });
      }
    });
    expect(await vsockbox(["cp", `${target()}:/var/log/*.log`, here()])).toMatchObject({
      status: 65,
      stderr: expect.stringContaining("more matches than it may"),
    });
    expect(everythingHere()).toEqual([]);
  });

  test.each(["/srv/app/", "/srv/app", "app///"])(
    "a tree %j gets the name that was typed, whatever the guest calls it",
    async (path) => {
      using _agent = liar(async (channel, request) => {
        expect(request["name"]).toBe("app");
        await sendHostileDirectory(channel, "app");
        await sendHostileFile(channel, "a");
        await channel.sendRecord({ kind: "leave" });
      });
      const result = await vsockbox(["cp", "-r", `${target()}:${path}`, here()]);
      expect(result).toMatchObject({ status: 0 });
      expect(everythingHere()).toEqual(["app", "app/a"]);
    },
  );

  const UNASKED: Record<string, (channel: Channel) => Promise<void>> = {
    "another directory": async (channel) => {
      await sendHostileDirectory(channel, ".ssh");
      await sendHostileFile(channel, "authorized_keys");
      await channel.sendRecord({ kind: "leave" });
    },
    "another file": (channel) => sendHostileFile(channel, ".bashrc"),
    "a second file": async (channel) => {
      await sendHostileFile(channel, "app", "");
      await sendHostileFile(channel, ".bashrc");
    },
    "files of its name without end": async (channel) => {
      while (!channel.isClosed) await sendHostileFile(channel, "app", "");
    },
    "a link": (channel) =>
      channel.sendRecord({ kind: "link", name: "app", target: "/etc", mode: 0o777, seconds: 1 }),
    "errors without end": async (channel) => {
      while (!channel.isClosed) {
        await channel.sendRecord({ kind: "skipped", name: "app", error: "x" });
      }
    },
  };

  test.each(Object.keys(UNASKED))("%s is refused, to the host and to a guest", async (name) => {
    await using other = await TestAgent.start();
    using _agent = liar((channel) => UNASKED[name]?.(channel));
    for (const destination of [here(), `${other.address}:${here()}`]) {
      const result = await vsockbox(["cp", "-r", `${target()}:/srv/app/`, destination]);
      expect({ destination, ...result }).toMatchObject({
        status: 65,
        stderr: expect.stringMatching(
          /not asked for|one entry was asked for|unexpected link record/,
        ),
      });
      // What came first may be there; nothing else is, once the other guest has removed its part.
      await eventually("only the first entry", () =>
        everythingHere().every((entry) => entry === "app"),
      );
    }
  });

  test("a tree in answer to a request for a file is refused, to the host and to a guest", async () => {
    await using other = await TestAgent.start();
    using _agent = liar(async (channel) => {
      await sendHostileDirectory(channel, "app");
      await channel.sendRecord({ kind: "leave" });
    });
    for (const destination of [here(), `${other.address}:${here()}`]) {
      const result = await vsockbox(["cp", `${target()}:/srv/app`, destination]);
      expect(result).toMatchObject({
        status: 65,
        stderr: expect.stringContaining("unexpected directory record"),
      });
    }
    expect(everythingHere()).toEqual([]);
  });

  test.each(["/", "..", "/srv/..", "../.."])(
    "%j has no name, and none is asked for",
    async (path) => {
      using _agent = liar(() => undefined);
      expect(await vsockbox(["cp", "-r", `${target()}:${path}`, here()])).toMatchObject({
        status: 64,
        stderr: expect.stringContaining("has no name that the copy could get"),
      });
      expect(everythingHere()).toEqual([]);
    },
  );
});

describe("ls", () => {
  test.each(["../x", "/etc/passwd", "..", "."])("an entry %j is refused", async (name) => {
    using _agent = liar((channel) => channel.sendRecord({ name, type: "file" }));
    const nothing = /^$/;
    const onlyError = /^\{"error":\{[^\n]*\}\}\n$/;
    for (const [options, stdout] of [
      [[], nothing],
      [["-la"], nothing],
      [["--json"], onlyError],
    ] as const) {
      expect(await vsockbox(["ls", ...options, `${target()}:/srv`])).toMatchObject({
        status: 65,
        stdout: expect.stringMatching(stdout),
        stderr: expect.stringContaining("a directory cannot have"),
      });
    }
  });

  test("an entry of an agent with the Go agent's frames is a name, too", async () => {
    const files = [{ name: "../x", size: 1, mode: 0o644, is_dir: false }];
    using _agent = hostileAgent(socket(), () => undefined, {
      onOldFrame: () => encodeJsonFrame(FrameType.FileResult, { files }),
    });
    expect(await vsockbox(["ls", `${target()}:/srv`])).toMatchObject({
      status: 65,
      stdout: "",
      stderr: expect.stringContaining("a directory cannot have"),
    });
  });

  test("a pipe gets the bytes of a name, JSON all of them", async () => {
    const name = "a\u001B[31m\u202E\u0085";
    using _agent = liar((channel) => channel.sendRecord({ name, type: "file" }));
    expect((await vsockbox(["ls", `${target()}:/srv`])).stdout).toBe(`${name}\n`);
    const { stdout } = await vsockbox(["ls", "--json", `${target()}:/srv`]);
    expect(stdout).toContain(String.raw`"a\u001b[31m\u202e\u0085"`);
    expect(JSON.parse(stdout)).toMatchObject({ name });
  });
});

/** Forges a line of ours and of a shell, turns text around, sets the terminal's title. */
const FORGED =
  "x\nvsockbox: all is well\n  hint: run rm -rf ~\r\u202E\u2028\u0085\u009B31m\u001B]0;t\u0007\u200B\u007F";

const UNSAFE =
  /[\u0000-\u0009\u000B-\u001F\u007F-\u009F\u061C\u200B-\u200F\u2028-\u202E\u2066-\u2069]/;

function expectOneReport(stderr: string): void {
  expect(stderr).toContain("all is well");
  expect(stderr).not.toMatch(UNSAFE);
  for (const line of stderr.trimEnd().split("\n")) {
    expect(line).toMatch(/^(vsockbox|  hint): (?!all is well|run rm)/);
  }
  expect(stderr.match(/^  hint: /gm)?.length ?? 0).toBeLessThan(2);
}

describe("texts", () => {
  test.each(
    [
      ["ps", "T"],
      ["info", "T"],
      ["kill", "T", "id"],
      ["logs", "T", "id"],
      ["ls", "T:/"],
      ["cat", "T:/a"],
      ["stat", "T:/a"],
      ["mkdir", "T:/a"],
      ["rm", "T:/a"],
      ["mv", "T:/a", "T:/b"],
      ["cp", "T:/a", "H"],
      ["cp", "/etc/hostname", "T:/a"],
      ["exec", "-d", "T", "--", "true"],
    ].map((words) => ({ name: words[0], words })),
  )("an error that $name gets is one report", async ({ words }) => {
    using _agent = hostileAgent(socket(), (channel) => {
      const error = {
        code: "IO" as const,
        operation: foreignOperation(FORGED),
        message: FORGED,
        hint: FORGED,
      };
      channel.fail(new VsockboxError(error));
    });
    const args = words.map((word) => word.replace(/^T/, target()).replace(/^H$/, here()));
    const { status, stderr } = await vsockbox(args);
    expect(status).toBe(74);
    expectOneReport(stderr);
  });

  test("so is a command that could not be started", async () => {
    const answers = [
      { exit_code: 126, error: FORGED },
      { exit_code: 1, error: FORGED, kind: FORGED, stage: FORGED, errno: FORGED, signal: FORGED },
      {
        error: {
          code: "NOT_STARTED",
          operation: foreignOperation(FORGED),
          message: FORGED,
          errno: FORGED,
        },
      },
    ];
    for (const answer of answers) {
      using _agent = hostileAgent(socket(), (channel) => channel.finish(answer));
      const { status, stdout, stderr } = await vsockbox(["exec", "-n", target(), "--", "true"]);
      expect(stderr).not.toMatch(UNSAFE);
      expect(stderr.match(/^vsockbox: all is well|^ {2}hint: run/gm)).toBeNull();
      expect(stdout).toBe("");
      if (status === 0) expect(stderr).toBe("");
      const json = await vsockbox(["exec", "-n", "--json", target(), "--", "true"]);
      expect(json.stdout).not.toMatch(UNSAFE);
      for (const line of json.stdout.trim().split("\n"))
        expect(() => JSON.parse(line)).not.toThrow();
    }
  });

  test("errors of single files in a copy are a line each", async () => {
    using _agent = liar(async (channel) => {
      await sendHostileDirectory(channel, "app");
      await channel.sendRecord({ kind: "skipped", name: "a", error: FORGED });
      await channel.sendRecord({ kind: "leave" });
    });
    const { status, stderr } = await vsockbox(["cp", "-r", `${target()}:/srv/app`, here()]);
    expect(status).toBe(74);
    expectOneReport(stderr);
  });

  test("facts of ps, info and stat are on their lines, and in JSON everything is escaped", async () => {
    using _agent = hostileAgent(socket(), (channel, request) => {
      const session = { id: FORGED, name: FORGED, pid: 1, state: FORGED, command: FORGED };
      const facts = { type: FORGED, size: 1, target: FORGED, version: FORGED, features: [FORGED] };
      channel.finish(request["op"] === "sessions" ? { sessions: [session] } : facts);
    });
    for (const [words, lines] of [
      [["ps", target()], 2],
      [["stat", `${target()}:/a`], 4],
      [["info", target()], 6],
    ] as const) {
      const { stdout } = await vsockbox(words);
      expect(stdout).toContain("all is well");
      expect(stdout.trimEnd().split("\n")).toHaveLength(lines);
      expect(stdout).not.toMatch(UNSAFE);
      const json = (await vsockbox([...words, "--json"])).stdout;
      expect(json).not.toMatch(UNSAFE);
      expect(json.trimEnd().split("\n")).toHaveLength(1);
      expect(JSON.stringify(JSON.parse(json))).toContain(JSON.stringify(FORGED).slice(1, -1));
    }
  });

  test("an error of an agent with the Go agent's frames is printed once", async () => {
    using _agent = hostileAgent(socket(), () => undefined, {
      onOldFrame: ({ type }) =>
        type === FrameType.ExecStream || type === FrameType.ExecPipe
          ? encodeJsonFrame(FrameType.ExecResult, { exit_code: 1, error: FORGED })
          : encodeJsonFrame(FrameType.FileResult, { error: FORGED }),
    });
    expectOneReport((await vsockbox(["cat", `${target()}:/a`])).stderr);
    const { status, stderr } = await vsockbox(["exec", "-n", target(), "--", "true"]);
    expect(status).toBe(125);
    expect(stderr).toContain("all is well");
    expect(stderr).not.toMatch(UNSAFE);
    expect(stderr.trimEnd().split("\n")).toHaveLength(1);
  });

  test("its reason for a refusal is escaped, too", async () => {
    const words = `vsockbox agent: accept: not let in: ${FORGED}`;
    using _agent = hostileAgent(socket(), () => undefined, {
      onOldFrame: () => encodeFrame(FrameType.Stderr, Buffer.from(words)),
    });
    const { stderr } = await vsockbox(["cat", `${target()}:/a`]);
    expect(stderr).not.toMatch(UNSAFE);
    expect(stderr.match(/^vsockbox: /gm)).toHaveLength(1);
  });
});

describe("the library", () => {
  test("refuses an entry that is not a file name, and another file than the requested one", async () => {
    using _agent = liar(async (channel, request) => {
      if (request["op"] === "list") await channel.sendRecord({ name: "../x", type: "file" });
      else await sendHostileFile(channel, ".bashrc");
    });
    await using agent = await connectAgent(target());
    const refused = expect.objectContaining({ code: "BAD_DATA" });
    const outcome = (work: Promise<unknown>) => work.catch((thrown: unknown) => thrown);
    expect(await outcome(agent.files.list("/srv"))).toEqual(refused);
    expect(await outcome(agent.files.download("/srv/a", `${here()}/a`))).toEqual(refused);
    expect(everythingHere()).toEqual([]);
  });

  test("refuses empty paths and NUL bytes before anything is sent", async () => {
    const asked: unknown[] = [];
    using _agent = liar((_, request) => void asked.push(request));
    await using agent = await connectAgent(target());
    const { files } = agent;
    for (const path of ["", "a\0b", Uint8Array.of(0x61, 0)]) {
      const calls: (() => Promise<unknown>)[] = [
        () => files.list(path),
        () => files.stat(path),
        () => files.read(path),
        () => files.write(path, "x"),
        () => files.mkdir(path),
        () => files.remove(path),
        () => files.rename(path, "/b"),
        () => files.rename("/b", path),
        () => files.upload(path, "/b"),
        () => files.download("/b", path),
      ];
      for (const call of calls) {
        const thrown: unknown = await call().then(
          () => undefined,
          (error: unknown) => error,
        );
        expect(thrown).toMatchObject({ code: "USAGE" });
      }
    }
    expect(asked).toEqual([]);
  });
});

test("objects with a toString of their own are not read as text", async () => {
  const trap = { toString: 1, valueOf: 1 };
  const names = ["version", "commit", "features", "load", "type", "size", "uid", "gid"];
  const facts = Object.fromEntries(names.map((name) => [name, [trap]]));
  const session = { id: trap, name: trap, state: trap, exit_code: trap, startedMs: trap };
  using _agent = hostileAgent(socket(), (channel) => {
    channel.end();
    const sessions = [null, 5, session];
    channel.finish({ ...facts, machine: facts, buffers: { used_bytes: trap }, sessions });
  });
  for (const words of [
    ["info", target()],
    ["ps", target()],
    ["stat", `${target()}:/x`],
  ]) {
    expect(await vsockbox(words)).toMatchObject({ status: 0, stderr: "" });
  }
});

test.each([
  [FEATURES.filter((name) => name !== "sandbox" && name !== "sandbox-kernel"), "no-new-privs"],
  [FEATURES.filter((name) => name !== "sandbox-kernel"), "all"],
])(
  "no command reaches an agent that would confine it less than asked: %#",
  async (features, word) => {
    const asked: unknown[] = [];
    using _agent = hostileAgent(
      socket(),
      (channel, request) => {
        asked.push(request);
        channel.finish({ id: "abc", pid: 2, exit_code: 0 });
      },
      { features },
    );
    const refused = { status: 69, stderr: expect.stringContaining("does not have --sandbox") };
    for (const options of [["-d"], []]) {
      const words = ["exec", ...options, "--sandbox", word, target(), "--", "true"];
      expect(await vsockbox(words)).toMatchObject(refused);
    }
    await using agent = await connectAgent(target());
    const work = (async () => agent.exec(["true"], { sandbox: [word] }))();
    expect(await work.catch((thrown: unknown) => thrown)).toMatchObject({ code: "UNAVAILABLE" });
    expect(asked).toEqual([]);
  },
);

test("the copy is the requested file, byte for byte", async () => {
  await using agent = await TestAgent.start();
  mkdirSync(scratch.file("there/app"), { recursive: true });
  writeFileSync(scratch.file("there/app/a.log"), "a");
  writeFileSync(scratch.file("there/app/b.log"), "b");
  const from = `${agent.address}:${scratch.file("there")}`;
  for (const to of [here(), `${agent.address}:${here()}`]) {
    expect(await vsockbox(["cp", "-r", `${from}/app/`, to])).toMatchObject({ status: 0 });
    expect(everythingHere()).toEqual(["app", "app/a.log", "app/b.log"]);
    expect(await vsockbox(["cp", `${from}/app/*.log`, `${to}/app/`])).toMatchObject({ status: 0 });
    expect(readFileSync(`${here()}/app/b.log`, "utf8")).toBe("b");
  }
});
