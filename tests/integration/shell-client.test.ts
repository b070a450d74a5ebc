/** The client of vsock-shell: its two command lines, its exit statuses, and what only ours can do. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { listen } from "../../src/net/listen.ts";
import {
  BINARY,
  eventually,
  processesWith,
  shell,
  ScratchDirectory,
  TestAgent,
  vsockbox,
} from "../support/binary.ts";
import { partSize } from "../support/unfinished.ts";
import { makeFile, raw, sha256, TestShellServer } from "../support/vsock-shell.ts";

let server: TestShellServer;
beforeAll(async () => {
  server = await TestShellServer.start();
});
afterAll(() => server[Symbol.asyncDispose]());

let scratch: ScratchDirectory;
beforeEach(() => {
  scratch = new ScratchDirectory();
});
afterEach(() => scratch[Symbol.dispose]());

const client = (...args: string[]) =>
  vsockbox(["shell-client", ...args], { cwd: scratch.path, env: { A: server.address } });
const part = () => readdirSync(scratch.path).filter((name) => name.includes("vsockbox-"));

describe("the command line", () => {
  test("as the README has it", async () => {
    writeFileSync(scratch.file("f"), "file");
    expect(await client(server.address, "echo a  b; exit 4")).toMatchObject({
      status: 4,
      stdout: "a b\r\n",
    });
    expect(await client(server.address, "echo", "a", "-u", "b")).toMatchObject({
      stdout: "a -u b\r\n",
    });
    expect(await client(server.address, "-u", `f:${scratch.file("g")}`)).toMatchObject({
      status: 0,
    });
    expect(await client("--", server.address, "echo", "-a")).toMatchObject({ stdout: "-a\r\n" });
    expect(await client("--cid", server.address, "--", "echo", "-a")).toMatchObject({
      stdout: "-a\r\n",
    });
    expect(await client("-d", `${scratch.file("g")}:h`, server.address)).toMatchObject({
      status: 0,
    });
    expect(readFileSync(scratch.file("h"), "utf8")).toBe("file");
  });

  test("as the C code has it", async () => {
    writeFileSync(scratch.file("f"), "file");
    mkdirSync(scratch.file("out"));
    expect(await client("-c", server.address, "-x", "echo $((1 + 1))")).toMatchObject({
      status: 0,
      stdout: "2\r\n",
    });
    expect(
      await client("--cid", server.address, "-u", "f", "-r", scratch.file("out")),
    ).toMatchObject({ status: 0 });
    expect(
      await client("-c", server.address, "-d", scratch.file("out/f"), "-l", "./out"),
    ).toMatchObject({
      status: 73,
      stderr: expect.stringContaining("it exists"),
    });
    expect(await client("-c", server.address, "-d", scratch.file("out/f"))).toMatchObject({
      status: 73,
    });
    expect(await client("--cid", server.address, "echo both")).toMatchObject({
      stdout: "both\r\n",
    });
  });

  test("by the programs' own names", async () => {
    symlinkSync(BINARY, scratch.file("vsock-shell-client"));
    symlinkSync(BINARY, scratch.file("vsock-shell-server"));
    const { stdout, status } = await shell(
      "./vsock-shell-server --listen unix:$PWD/s.sock 2> log & " +
        "until grep -q listening log; do sleep 0.02; done; " +
        "./vsock-shell-client unix:$PWD/s.sock 'echo by name' < /dev/null; ./vsock-shell-client --version; kill %1; wait",
      { cwd: scratch.path },
    );
    expect(stdout).toMatch(/^by name\r\nvsockbox /);
    expect(status).toBe(0);
    for (const name of ["client", "server"]) {
      const { stdout: help } = await shell(`./vsock-shell-${name} -h`, { cwd: scratch.path });
      expect(help).toContain("Examples:");
      expect(help).toContain("-p, --port PORT");
    }
  });

  test("-d puts the server into the background", async () => {
    symlinkSync(BINARY, scratch.file("vsock-shell-server"));
    const { status } = await shell(
      "./vsock-shell-server -d -v --listen unix:$PWD/s.sock --pid-file pid --log-file log",
      { cwd: scratch.path },
    );
    expect(status).toBe(0);
    const address = `unix:${scratch.file("s.sock")}`;
    expect(await client(address, "echo from a daemon")).toMatchObject({
      stdout: "from a daemon\r\n",
    });
    expect(readFileSync(scratch.file("log"), "utf8")).toContain("debug: unix: connected");
    process.kill(Number(readFileSync(scratch.file("pid"), "utf8")), "SIGTERM");
    await eventually("it is gone", () => !existsSync(scratch.file("pid")));
  });

  test.each([
    [[], /CID is missing/],
    [["-x", "ls"], /CID is missing/],
    [["-u", "a:b"], /CID is missing/],
    [["3", "-u", "a:b", "-d", "c:d"], /--upload cannot be used with --download/],
    [["3", "-u", "a:b:c"], /more than one colon/],
    [["3", "-u", "a:b", "ls"], /COMMAND cannot be used with --upload/],
    [["3", "-x", "a", "b"], /COMMAND cannot be used with --cmd/],
    [["3", "--to", "x"], /--to goes with/],
    [["3", "-p", "0x10"], /invalid value "0x10" for --port/],
    [["3:6000", "-p", "7000"], /--port 7000 cannot be used with 3:6000/],
    [["3"], /is not a terminal/],
    [["3", "--json"], /--json requires/],
    [["3", "-u", "dir:/x"], /it is a directory/],
    [["3", "-u", "missing:/x"], /ENOENT/],
    [["3", "-d", "/x:there"], /it exists/],
    [["3", "-d", "/x:no/such/y"], /ENOENT/],
  ] as const)("%j is refused before a prompt", async (args, reason) => {
    mkdirSync(scratch.file("dir"));
    writeFileSync(scratch.file("there"), "");
    const { status, stdout, stderr } = await client(...args);
    expect(stderr).toMatch(reason);
    // With --json the error is an object on standard output too.
    expect(stdout === "").toBe(!args.some((word) => word === "--json"));
    expect([64, 73, 74]).toContain(status);
  });
});

describe("a command", () => {
  test.each([0, 1, 42, 255])("exit status %d", async (status) => {
    expect((await client(server.address, `exit ${status}`)).status).toBe(status);
  });

  test("reads input to its end", async () => {
    const run = (line: string) => shell(line, { env: { A: server.address } });
    expect(
      (await run("printf 'b\\na\\n' | vsockbox shell-client $A 'stty -echo; sort'")).stdout,
    ).toContain("a\r\nb\r\n");
    expect(
      (await run("printf unfinished | vsockbox shell-client $A 'stty -echo; cat; echo .'")).stdout,
    ).toContain("unfinished.\r\n");
  });

  test("prints JSON lines", async () => {
    const { status, stdout } = await client("--json", server.address, "echo hi; exit 5");
    const lines = stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as object);
    expect(status).toBe(5);
    expect(lines[0]).toEqual({ event: "stdout", text: "hi\r\n" });
    expect(lines.at(-1)).toMatchObject({ event: "exit", exit_code: 5 });
  });

  test("gets the first Ctrl-C, and is left at the second", async () => {
    const child = Bun.spawn(
      [
        BINARY,
        "shell-client",
        server.address,
        "trap 'echo caught' INT; echo up; while :; do sleep 0.1; done",
      ],
      {
        stdio: ["pipe", "pipe", "pipe"],
        env: { ...process.env, VSOCKBOX_NO_VSOCK: "1" },
      },
    );
    let seen = "";
    const reading = (async () => {
      for await (const chunk of child.stdout) seen += new TextDecoder().decode(chunk);
    })();
    await eventually("it is up", () => seen.includes("up\r\n"));
    child.kill("SIGINT");
    await eventually("it is told", () => seen.includes("caught"));
    child.kill("SIGINT");
    expect(await child.exited).toBe(130);
    await reading;
    await eventually("it is gone", () => processesWith("echo caught").length === 0);
  });

  test("ends when its output is closed", async () => {
    const { stdout } = await shell(
      "vsockbox shell-client $A yes < /dev/null | head -1; echo ${PIPESTATUS[0]}",
      {
        env: { A: server.address },
      },
    );
    expect(stdout).toBe("y\r\n141\n");
  });
});

describe("what the other side may do", () => {
  const withServer = async (
    answer: readonly Uint8Array[],
    args: readonly string[],
  ): Promise<{ status: number; stderr: string }> => {
    const path = scratch.file("fake.sock");
    const listener = listen(
      { kind: "unix", path },
      {
        allowed: "any",
        onConnection: (stream) => {
          const serve = async () => {
            await stream.read();
            for (const bytes of answer) await stream.write(bytes);
            await stream.close();
          };
          // A client that has seen enough may close before the last byte is written.
          serve().catch(() => stream.abort());
        },
      },
    );
    try {
      return await client(`unix:${path}`, ...args);
    } finally {
      listener.close();
    }
  };

  test.each([
    ["another protocol", [Buffer.from("SSH-2.0-x\r\n")], ["ls"], 65, /an SSH server answers there/],
    ["a type that is none", [raw(0x44)], ["ls"], 65, /unknown message type 0x44/],
    ["too much data", [raw(7, "x".repeat(4097))], ["ls"], 65, /more than 4096/],
    ["a close without a word", [], ["ls"], 255, /closed without an answer/],
    [
      "a close in a message",
      [raw(7, "hello").subarray(0, 14)],
      ["ls"],
      255,
      /in the middle of one/,
    ],
    ["an end of 3 bytes", [raw(0x0c, "abc")], ["ls"], 65, /3 bytes/],
    ["a file in a terminal", [raw(0x11, "x")], ["ls"], 65, /in a terminal session/],
    ["data before the answer", [raw(0x11, "x")], ["-d", "/x:y"], 65, /before the answer/],
    [
      "half a file",
      [raw(0x10, "OK /x y\0"), raw(0x11, "half")],
      ["-d", "/x:y"],
      255,
      /ended before/,
    ],
    [
      "a refusal in the middle",
      [raw(0x10, "OK /x y\0"), raw(0x11, "half"), raw(0x10, "KO fire\0")],
      ["-d", "/x:y"],
      77,
      /refused: fire/,
    ],
    ["an answer that is none", [raw(0x10, "EH\0")], ["-d", "/x:y"], 65, /neither OK nor KO/],
    [
      "an escape in a refusal",
      [raw(0x10, "KO \u001B[31mred\0")],
      ["-d", "/x:y"],
      77,
      /refused: \\x1b\[31mred/,
    ],
  ] as const)("%s", async (_, answer, args, status, reason) => {
    const result = await withServer(answer, args);
    expect(result).toMatchObject({ status, stderr: expect.stringMatching(reason) });
    expect(readdirSync(scratch.path)).toEqual([]);
  });

  test("an agent on the same port is recognised", async () => {
    await using agent = await TestAgent.start();
    const { status, stderr } = await client(agent.address, "ls");
    expect([status, stderr]).toEqual([65, expect.stringMatching(/a vsockbox agent answers there/)]);
  });

  test("without a listener it exits with 69", async () => {
    expect(await client(`unix:${scratch.file("none")}`, "ls")).toMatchObject({ status: 69 });
  });

  test("a server that dies: 255", async () => {
    await using other = await TestShellServer.start();
    const running = client(other.address, "echo up; sleep 89.5");
    await eventually("it runs", () => processesWith("sleep 89.5").length > 1);
    other.running.process.kill("SIGKILL");
    expect((await running).status).toBe(255);
  });
});

describe("transfers between two of ours", () => {
  test("a download to a directory that is not there", async () => {
    for (const form of [[], ["--plain"], ["-R"]]) {
      expect(await client(...form, server.address, "-d", "/etc/passwd:no/such")).toMatchObject({
        status: 73,
        stderr: "vsockbox: cannot open directory no: no such file or directory (ENOENT)\n",
      });
    }
  });

  test("keep blanks, colons and bytes that are not UTF-8", async () => {
    const { status, stderr } = await shell(
      String.raw`printf x > $'a: \xff'; vsockbox shell-client $A --upload $'a: \xff' --to "$PWD/"$'b: \xfe' && vsockbox shell-client $A --download "$PWD/"$'b: \xfe' --to $'c \xfd'; cmp $'a: \xff' $'c \xfd'`,
      { cwd: scratch.path, env: { A: server.address } },
    );
    expect([status, stderr]).toEqual([0, ""]);
  });

  test("replace nothing without --force", async () => {
    writeFileSync(scratch.file("new"), "new");
    writeFileSync(scratch.file("old"), "old");
    for (const form of [[], ["--plain"]]) {
      const up = await client(...form, server.address, "-u", `new:${scratch.file("old")}`);
      expect(up).toMatchObject({ status: 77, stderr: expect.stringContaining("it exists") });
      const down = await client(...form, server.address, "-d", `${scratch.file("new")}:old`);
      expect(down).toMatchObject({ status: 73, stderr: expect.stringContaining("it exists") });
      expect(readFileSync(scratch.file("old"), "utf8")).toBe("old");
    }
    expect(await client("-f", server.address, "-u", `new:${scratch.file("old")}`)).toMatchObject({
      status: 0,
    });
    expect(readFileSync(scratch.file("old"), "utf8")).toBe("new");
    writeFileSync(scratch.file("old"), "old");
    expect(await client("-f", server.address, "-d", `${scratch.file("new")}:old`)).toMatchObject({
      status: 0,
    });
    expect(readFileSync(scratch.file("old"), "utf8")).toBe("new");
    expect(readdirSync(scratch.path).sort()).toEqual(["new", "old"]);
  });

  test("carry directories, modes and times", async () => {
    mkdirSync(scratch.file("tree/sub/empty"), { recursive: true });
    makeFile(scratch.file("tree/sub/data"), 300_000);
    writeFileSync(scratch.file("tree/script"), "#!/bin/sh\n");
    chmodSync(scratch.file("tree/script"), 0o751);
    symlinkSync("sub/data", scratch.file("tree/link"));
    utimesSync(scratch.file("tree/script"), 1_000_000, 1_000_000);
    const flags = ["-R", "--preserve", "--checksum", "--json"];
    const up = await client(...flags, server.address, "-u", `tree:${scratch.file("up")}`);
    expect(JSON.parse(up.stdout)).toMatchObject({
      files: 2,
      directories: 3,
      links: 1,
      error_count: 0,
    });
    const down = await client(...flags, server.address, "-d", `${scratch.file("up")}:down`);
    expect(JSON.parse(down.stdout)).toMatchObject({ files: 2, error_count: 0 });
    const { stdout } = await shell(
      "diff -r tree down && stat -c '%a %Y %N' down/script down/link",
      {
        cwd: scratch.path,
      },
    );
    expect(stdout).toMatch(/^751 1000000 'down\/script'\n777 \d+ 'down\/link' -> 'sub\/data'\n$/);
    expect(await client("-R", server.address, "-u", `tree:${scratch.file("up")}`)).toMatchObject({
      status: 77,
    });
  });

  test("without --preserve a file is 0644 at most, and an executable stays one", async () => {
    writeFileSync(scratch.file("script"), "");
    chmodSync(scratch.file("script"), 0o777);
    await client(server.address, "-u", `script:${scratch.file("up")}`);
    expect(statSync(scratch.file("up")).mode & 0o777).toBe(0o777 & ~process.umask());
  });

  test("1 GiB there and back with equal sha256, resumed after a kill in either direction", async () => {
    const source = makeFile(scratch.file("source"), 1024 * 1024 * 1024);
    const wanted = await sha256(source);
    const size = (path: string) => statSync(path, { throwIfNoEntry: false })?.size ?? 0;
    for (const [way, from, to] of [
      ["-u", source, scratch.file("up")],
      ["-d", scratch.file("up"), scratch.file("down")],
    ] as const) {
      const first = Bun.spawn(
        [BINARY, "shell-client", server.address, "--resume", way, `${from}:${to}`],
        {
          env: { ...process.env, VSOCKBOX_NO_VSOCK: "1" },
          stdio: ["ignore", "ignore", "ignore"],
        },
      );
      await eventually("a part is there", () => partSize(to) > 50_000_000);
      first.kill("SIGKILL");
      await first.exited;
      expect(existsSync(to)).toBe(false);
      const kept = partSize(to);
      expect(kept).toBeGreaterThan(50_000_000);
      const again = await client("--resume", "--json", server.address, way, `${from}:${to}`);
      expect(again.stderr).toBe("");
      const { reused_bytes: reused, size_bytes: bytes } = JSON.parse(again.stdout) as Record<
        string,
        number
      >;
      expect(reused).toBeGreaterThanOrEqual(kept);
      expect(bytes).toBe(1024 * 1024 * 1024);
      expect(await sha256(to)).toBe(wanted);
    }
    expect(part()).toEqual([]);
    // What is the same is passed over, and what is not is not replaced.
    const same = await client(
      "--resume",
      "--json",
      server.address,
      "-u",
      `${source}:${scratch.file("up")}`,
    );
    expect(JSON.parse(same.stdout)).toMatchObject({ reused_bytes: 1024 * 1024 * 1024 });
    truncateSync(scratch.file("up"), 10);
    const other = await client("--resume", server.address, "-u", `${source}:${scratch.file("up")}`);
    expect(other).toMatchObject({ status: 74, stderr: expect.stringContaining("it exists") });
    expect(size(scratch.file("up"))).toBe(10);
  });

  test("1 GiB in the messages of the C programs", async () => {
    const source = makeFile(scratch.file("source"), 1024 * 1024 * 1024);
    const wanted = await sha256(source);
    expect(
      await client("--plain", server.address, "-u", `source:${scratch.file("up")}`),
    ).toMatchObject({ status: 0 });
    expect(await sha256(scratch.file("up"))).toBe(wanted);
    expect(
      await client("--plain", server.address, "-d", `${scratch.file("up")}:down`),
    ).toMatchObject({ status: 0 });
    expect(await sha256(scratch.file("down"))).toBe(wanted);
  });
});
