/** What an agent's own options do: token, limits, graceful end, background, log, sandbox. */
import { describe, expect, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  lchownSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { encodeFrame, encodeJsonFrame, FrameType } from "../../src/protocols/agent/frame.ts";
import {
  eventually,
  processesWith,
  ScratchDirectory,
  TestAgent,
  vsockbox,
} from "../support/binary.ts";
import { json, RawPeer, text } from "../support/raw-peer.ts";

describe("--token-file", () => {
  const TOKEN = "a secret of sufficient length";

  async function guarded(scratch: ScratchDirectory) {
    writeFileSync(scratch.file("token"), `${TOKEN.replaceAll(" ", "-")}\n`, { mode: 0o600 });
    writeFileSync(scratch.file("wrong"), "another-secret\n", { mode: 0o600 });
    return TestAgent.start(["--token-file", scratch.file("token")]);
  }

  test("lets in who knows it, for every kind of request", async () => {
    using scratch = new ScratchDirectory();
    await using agent = await guarded(scratch);
    const token = ["--token-file", scratch.file("token")];
    for (const args of [
      ["exec", agent.address, ...token, "--", "true"],
      ["exec", "-n", agent.address, ...token, "--", "true"],
      ["exec", "-d", agent.address, ...token, "--", "true"],
      ["ls", ...token, `${agent.address}:/`],
      ["cp", ...token, "/etc/hostname", `${agent.address}:${scratch.file("copy")}`],
      ["info", agent.address, ...token],
    ]) {
      expect({ args, ...(await vsockbox(args)) }).toMatchObject({ status: 0 });
    }
    const env = { VSOCKBOX_TOKEN_FILE: scratch.file("token") };
    expect((await vsockbox(["exec", agent.address, "--", "true"], { env })).status).toBe(0);
  });

  test("reads no more than 64 KiB of a peer that has not sent it", async () => {
    using scratch = new ScratchDirectory();
    await using agent = await guarded(scratch);
    const large = { path: "/never", content: "A".repeat(64 * 1024) };
    // The mode's own answer, for a Go client whose request is above the limit.
    const refused = await new RawPeer(agent.path)
      .send(encodeJsonFrame(FrameType.WriteFile, large))
      .frames();
    expect(json(refused, FrameType.FileResult)).toEqual({
      error: expect.stringContaining("expects a token"),
    });
    for (const type of [FrameType.Hello, FrameType.Stdin]) {
      // The header of 60 MiB alone: the agent does not wait for the rest.
      const frames = await new RawPeer(agent.path)
        .send(Uint8Array.of(type, 3, 0xc0, 0, 0))
        .frames();
      expect(text(frames, FrameType.Stderr)).toMatch(/above the limit of 65536|expects a token/);
    }
    // With the token a request may have the whole limit.
    const content = Buffer.alloc(1024 * 1024, "x");
    const target = scratch.file("large");
    const hello = { protocol: 1, version: "test", features: [], token: TOKEN.replaceAll(" ", "-") };
    const taken = await new RawPeer(agent.path)
      .send(encodeJsonFrame(FrameType.Hello, hello))
      .send(
        encodeJsonFrame(FrameType.WriteFile, { path: target, content: content.toString("base64") }),
      )
      .frames();
    expect(json(taken, FrameType.FileResult)).toEqual({});
    expect(readFileSync(target)).toEqual(content);
  });

  test("keeps out who does not, with a reason and without the token", async () => {
    using scratch = new ScratchDirectory();
    await using agent = await guarded(scratch);
    for (const args of [
      ["exec", agent.address, "--", "true"],
      ["exec", agent.address, "--token-file", scratch.file("wrong"), "--", "true"],
      ["info", agent.address],
      ["cp", "/etc/hostname", `${agent.address}:/tmp/never`],
    ]) {
      const result = await vsockbox(args);
      expect({ args, ...result }).toMatchObject({
        status: 77,
        stderr: expect.stringContaining("token"),
      });
    }
    expect(agent.running.stderr).not.toContain("secret");
    const missing = await vsockbox(["info", agent.address, "--token-file", "/nowhere"]);
    expect(missing).toMatchObject({ status: 78, stderr: expect.stringContaining("no such file") });
  });

  test("a token file that other users can read or change is refused in every command", async () => {
    using scratch = new ScratchDirectory();
    await using agent = await guarded(scratch);
    const open = scratch.file("open");
    writeFileSync(open, `${TOKEN.replaceAll(" ", "-")}\n`);
    chmodSync(open, 0o666);
    mkdirSync(scratch.file("vsockbox"));
    writeFileSync(
      scratch.file("vsockbox/config.yaml"),
      `vms:\n  web:\n    address: ${agent.address}\n    token_file: ${open}\n`,
    );
    const refused = {
      status: 78,
      stderr: expect.stringMatching(/permissions 0666 are too open[^]*chmod 600/),
    };
    for (const { args, env = {} } of [
      { args: ["agent", "--listen", `unix:${scratch.file("s")}`, "--token-file", open] },
      { args: ["info", agent.address, "--token-file", open] },
      { args: ["info", agent.address], env: { VSOCKBOX_TOKEN_FILE: open } },
      { args: ["info", "web"], env: { XDG_CONFIG_HOME: scratch.path } },
    ]) {
      expect({ args, ...(await vsockbox(args, { env })) }).toMatchObject(refused);
    }
  });

  test("old clients are refused in the frames that they read", async () => {
    using scratch = new ScratchDirectory();
    await using agent = await guarded(scratch);
    const ask = (type: FrameType, value: unknown) =>
      new RawPeer(agent.path).send(encodeJsonFrame(type, value)).frames();
    const command = { command: "touch /tmp/never" };
    expect(json(await ask(FrameType.Exec, command), FrameType.ExecResult)).toMatchObject({
      exit_code: 1,
      error: expect.stringContaining("token"),
    });
    for (const type of [FrameType.ExecStream, FrameType.ExecPipe, FrameType.ExecTTY]) {
      const frames = await ask(type, command);
      expect(frames.map((frame) => frame.type)).toEqual([FrameType.Stderr]);
      expect(text(frames, FrameType.Stderr)).toContain("token");
    }
    for (const type of [FrameType.ReadFile, FrameType.ListFiles, FrameType.WriteFile]) {
      expect(json(await ask(type, { path: "/tmp/never" }), FrameType.FileResult)).toMatchObject({
        error: expect.stringContaining("token"),
      });
    }
    expect(existsSync("/tmp/never")).toBe(false);
  });
});

describe("limits", () => {
  test("--idle-timeout ends a connection over which nothing goes, and only that", async () => {
    await using agent = await TestAgent.start(["--idle-timeout", "700ms"]);
    const silent = await vsockbox(["exec", agent.address, "--", "sleep", "83.5"]);
    expect(silent.status).toBe(255);
    await eventually("its command is ended", () => processesWith("sleep 83.5").length === 0);
    const busy = "for i in 1 2 3 4 5 6 7 8; do echo $i; sleep 0.2; done";
    expect((await vsockbox(["exec", agent.address, "-c", busy])).status).toBe(0);
  });

  test("--max-output cuts the output of an Exec off and reports it", async () => {
    await using agent = await TestAgent.start(["--max-output", "1000"]);
    const frames = await new RawPeer(agent.path)
      .send(encodeJsonFrame(FrameType.Exec, { command: "head -c 5000 /dev/zero" }))
      .frames();
    expect(json(frames, FrameType.ExecResult)).toMatchObject({
      exit_code: 0,
      error: expect.stringContaining("4000 bytes more"),
    });
  });
});

test("one session and one round trip are counted in the singular", async () => {
  await using agent = await TestAgent.start();
  const info = await vsockbox(["info", agent.address]);
  expect(info.stdout).toMatch(/, 1 session, 0 detached, /);
  const ping = await vsockbox(["ping", "--count", "1", agent.address]);
  expect(ping.stdout).toMatch(/\n1 round trip: min /);
  const pings = await vsockbox(["ping", "--count", "2", "--interval", "0", agent.address]);
  expect(pings.stdout).toMatch(/\n2 round trips: min /);
});

describe("the end of an agent", () => {
  test("--grace lets sessions finish and prints their number", async () => {
    await using agent = await TestAgent.start(["--grace", "20"]);
    using scratch = new ScratchDirectory();
    const [up, go] = [scratch.file("up"), scratch.file("go")];
    const line = `: > ${up}; while [ ! -e ${go} ]; do sleep 0.1; done; echo finished`;
    const command = vsockbox(["exec", agent.address, "--", "sh", "-c", line]);
    await eventually("it runs", () => existsSync(up));
    agent.running.process.kill("SIGTERM");
    await agent.running.says("ending 1 session");
    writeFileSync(go, "");
    expect(await command).toMatchObject({ status: 0, stdout: "finished\n" });
    expect(await agent.running.process.exited).toBe(0);
    expect(agent.running.stderr).toContain("1 finished, 0 cancelled");
  });

  test("remaining sessions end with the reason; a second signal does not wait", async () => {
    await using agent = await TestAgent.start(["--grace", "1h"]);
    const command = vsockbox(["exec", agent.address, "--", "sleep", "85.5"]);
    await eventually("it runs", () => processesWith("sleep 85.5").length > 1);
    agent.running.process.kill("SIGTERM");
    await agent.running.says("ending 1 session\n");
    const late = await vsockbox(["exec", agent.address, "--", "true"]);
    expect(late.status).toBe(69);
    agent.running.process.kill("SIGTERM");
    expect(await command).toMatchObject({
      status: 255,
      stderr: expect.stringContaining("the agent was stopped"),
    });
    expect(await agent.running.process.exited).toBe(0);
    expect(agent.running.stderr).toContain("0 finished, 1 cancelled");
    expect(processesWith("sleep 85.5")).toEqual([]);
  });
});

test("--verbose logs each connection with its bytes, and --json prints the addresses alone", async () => {
  await using loud = await TestAgent.start(["--verbose", "--json"]);
  await using normal = await TestAgent.start();
  for (const { address } of [loud, normal]) {
    expect((await vsockbox(["exec", address, "--", "true"])).status).toBe(0);
  }
  await loud.running.says("has connected");
  await eventually("the end is logged", () =>
    /has disconnected: \d+ bytes received, \d+ sent\n/.test(loud.running.stderr),
  );
  expect(normal.running.stderr).not.toContain("connected");
  for (const words of [
    ["--verbose", "--quiet"],
    ["--json", "--daemon"],
  ]) {
    expect(await vsockbox(["agent", ...words])).toMatchObject({ status: 64 });
  }
});

describe("--daemon", () => {
  test("returns when it listens, logs to its file, and is ended by its pid", async () => {
    using scratch = new ScratchDirectory();
    const address = `unix:${scratch.file("agent.sock")}`;
    const pidFile = scratch.file("pid");
    const log = scratch.file("log");
    const started = await vsockbox([
      ...["agent", "--daemon", "--listen", address],
      ...["--pid-file", pidFile, "--log-file", log],
    ]);
    expect(started).toEqual({ status: 0, stdout: "", stderr: "" });
    expect((await vsockbox(["exec", address, "--", "echo", "hi"])).stdout).toBe("hi\n");
    const pid = Number(readFileSync(pidFile, "utf8"));
    process.kill(pid, "SIGTERM");
    await eventually("it has ended", () => !existsSync(pidFile));
    expect(readFileSync(log, "utf8")).toMatch(
      /^\d{4}-.*Z info: listening on unix:.*\n(.*\n)*.*ending \d+ sessions/,
    );
  });

  test("names the reason of a failure", async () => {
    const started = await vsockbox(["agent", "--daemon", "--listen", "unix:/nowhere/x.sock"]);
    expect(started).toMatchObject({
      status: 73,
      stderr: expect.stringContaining("/nowhere/x.sock"),
    });
  });
});

describe.skipIf(process.getuid?.() !== 0)("names that another user has created", () => {
  const OTHER = 4242;

  test("a link under --log-file, --pid-file or --listen is refused", async () => {
    using scratch = new ScratchDirectory();
    const shared = scratch.file("shared");
    mkdirSync(shared);
    chmodSync(shared, 0o1777);
    const victim = scratch.file("victim");
    writeFileSync(victim, "precious\n");
    symlinkSync(victim, `${shared}/name`);
    symlinkSync(scratch.path, `${shared}/directory`);
    for (const name of ["name", "directory"]) lchownSync(`${shared}/${name}`, OTHER, OTHER);
    const listen = ["--listen", `unix:${scratch.file("agent.sock")}`];
    const refused = { status: 77, stderr: expect.stringContaining("is a symbolic link of user") };
    for (const command of ["agent", "shell-server"]) {
      for (const option of ["--log-file", "--pid-file"]) {
        const words = [command, ...listen, option, `${shared}/name`];
        expect(await vsockbox(words)).toMatchObject(refused);
        expect(await vsockbox([...words, "--daemon"])).toMatchObject(refused);
      }
      const words = [command, "--listen", `unix:${shared}/directory/agent.sock`];
      expect(await vsockbox(words)).toMatchObject(refused);
    }
    expect(readFileSync(victim, "utf8")).toBe("precious\n");
    expect(readdirSync(scratch.path).toSorted()).toEqual(["shared", "victim"]);
  });
});

describe("--init", () => {
  test("is for process 1", async () => {
    const result = await vsockbox(["agent", "--init", "--listen", "unix:/tmp/never.sock"]);
    expect(result).toMatchObject({ status: 64, stderr: expect.stringContaining("process 1") });
  });

  test("no other agent powers off its guest", async () => {
    await using agent = await TestAgent.start();
    const result = await vsockbox(["shutdown", agent.address]);
    expect(result).toMatchObject({ status: 77, stderr: expect.stringContaining("--init") });
  });
});

describe("--sandbox", () => {
  const STATUS = "grep -E '^(NoNewPrivs|Seccomp):' /proc/self/status";

  test("of the agent confines every command, of a request that one", async () => {
    await using agent = await TestAgent.start(["--sandbox", "no-new-privs"]);
    const plain = await vsockbox(["exec", agent.address, "-c", STATUS]);
    expect(plain.stdout).toBe("NoNewPrivs:\t1\nSeccomp:\t0\n");
    const more = await vsockbox(["exec", "--sandbox", "seccomp", agent.address, "-c", STATUS]);
    expect(more.stdout).toBe("NoNewPrivs:\t1\nSeccomp:\t2\n");
    const detached = await vsockbox(["exec", "-d", agent.address, "-c", STATUS]);
    const logs = await vsockbox(["logs", "--follow", agent.address, detached.stdout.trim()]);
    expect(logs.stdout).toBe("NoNewPrivs:\t1\nSeccomp:\t0\n");
  });

  test("an agent that knows no sandbox is not trusted with the command", async () => {
    await using agent = await TestAgent.start();
    using scratch = new ScratchDirectory();
    // The Go agent closes at a frame that it does not know, such as Hello, and runs commands of Exec.
    const ran = encodeJsonFrame(FrameType.ExecResult, { exit_code: 0 });
    const old = Bun.listen({
      unix: scratch.file("old.sock"),
      socket: {
        data: (socket, bytes) => void socket.end(bytes[0] === FrameType.Exec ? ran : undefined),
      },
    });
    const result = await vsockbox([
      ...["exec", "--sandbox", "all", `unix:${scratch.file("old.sock")}`, "--", "true"],
    ]);
    expect(result).toMatchObject({
      status: 69,
      stderr: expect.stringContaining("does not have --sandbox"),
    });
    old.stop(true);
    const wrong = await vsockbox(["exec", "--sandbox", "everything", agent.address, "--", "true"]);
    expect(wrong).toMatchObject({ status: 64, stderr: expect.stringContaining("seccomp") });
  });
});

describe("an agent of another user", () => {
  test("serves exec, cp of single files, ls and cat through the frames that it has", async () => {
    await using agent = await TestAgent.start();
    using scratch = new ScratchDirectory();
    const path = scratch.file("old.sock");
    // Ours behind a door that closes on a Hello.
    const old = Bun.listen<{ to: Bun.Socket | undefined; queued: Buffer[] }>({
      unix: path,
      allowHalfOpen: true,
      socket: {
        open(socket) {
          socket.data = { to: undefined, queued: [] };
        },
        data(socket, bytes) {
          if (socket.data.to !== undefined) return void socket.data.to.write(bytes);
          if (bytes[0] === FrameType.Hello) return void socket.end();
          socket.data.queued.push(bytes);
          if (socket.data.queued.length > 1) return undefined;
          void Bun.connect({
            unix: agent.path,
            allowHalfOpen: true,
            socket: {
              open(target) {
                socket.data.to = target;
                for (const chunk of socket.data.queued) target.write(chunk);
              },
              data: (_, answer) => void socket.write(answer),
              end: () => void socket.shutdown(),
            },
          });
          return undefined;
        },
        end: (socket) => void socket.data.to?.shutdown(),
        close: (socket) => void socket.data.to?.end(),
      },
    });
    const address = `unix:${path}`;
    writeFileSync(scratch.file("a"), "content");
    expect(
      await vsockbox(["cp", scratch.file("a"), `${address}:${scratch.file("b")}`]),
    ).toMatchObject({
      status: 0,
      stderr: "",
    });
    expect(readFileSync(scratch.file("b"), "utf8")).toBe("content");
    await vsockbox(["cp", `${address}:${scratch.file("b")}`, scratch.file("c")]);
    expect(readFileSync(scratch.file("c"), "utf8")).toBe("content");
    expect((await vsockbox(["cat", `${address}:${scratch.file("b")}`])).stdout).toBe("content");
    expect((await vsockbox(["ls", `${address}:${scratch.path}`])).stdout).toBe(
      "a\nb\nc\nold.sock\n",
    );
    expect((await vsockbox(["exec", address, "--", "echo", "hi"])).stdout).toBe("hi\n");
    for (const args of [
      ["cp", "-r", scratch.path, `${address}:/tmp/never`],
      ["ps", address],
      ["rm", `${address}:/tmp/never`],
      ["info", address],
    ]) {
      const result = await vsockbox(args);
      expect({ args, ...result }).toMatchObject({
        status: 69,
        stderr: expect.stringContaining("old"),
      });
    }
    old.stop(true);
  });
});

test("a Hello may be followed by a mode of the Go agent", async () => {
  await using agent = await TestAgent.start();
  const frames = await new RawPeer(agent.path)
    .send(
      encodeJsonFrame(FrameType.Hello, { protocol: 1, window: 1_000_000, features: [] }),
      encodeJsonFrame(FrameType.ExecPipe, { command: "cat; exit 4" }),
      encodeFrame(FrameType.Stdin, Buffer.from("hello")),
      encodeFrame(FrameType.Stdin, new Uint8Array(0)),
    )
    .frames();
  expect(text(frames, FrameType.Stdout)).toBe("hello");
  expect(frames.map(({ type }) => type)).toEqual([
    FrameType.Hello,
    FrameType.Stdout,
    FrameType.Exit,
  ]);
});
