/** vsock-shell with peers that behave as its C programs do, wake-up for wake-up. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, statSync } from "node:fs";
import {
  acceptSocket,
  closeDescriptor,
  readDescriptor,
  writeDescriptor,
} from "../../src/ffi/socket.ts";
import { openUnixListener } from "../../src/net/listen.ts";
import { BINARY, eventually, ScratchDirectory, vsockbox } from "../support/binary.ts";
import { describeWith } from "../support/tools.ts";
import {
  CShellServer,
  makeFile,
  raw,
  runCClient,
  sha256,
  startCClient,
  TestShellServer,
} from "../support/vsock-shell.ts";
import { atRest } from "../support/process-state.ts";

/** What is left of a C client's queue, and a little less than it can send. */
const LARGEST_C_UPLOAD = 980_000;

describeWith(["gcc"], "our server with the C client", () => {
  let server: TestShellServer;
  let scratch: ScratchDirectory;
  beforeAll(async () => {
    server = await TestShellServer.start();
    scratch = new ScratchDirectory();
  });
  afterAll(async () => {
    await server[Symbol.asyncDispose]();
    scratch[Symbol.dispose]();
  });

  test("runs a command that the client has only queued", async () => {
    const { status, stdout } = await runCClient(server.path, "cmd", "echo $((6 * 7)); tty");
    expect(stdout).toMatch(/^42\r\n\/dev\/pts\/\d+\r\n$/);
    expect(status).toBe(0);
  });

  test("starts a command as the C server does", async () => {
    const { stdout } = await runCClient(server.path, "cmd", "env | sort; echo $-");
    expect(stdout).toContain(`HOME=${process.env["HOME"]}\r\n`);
    expect(stdout).toContain("PATH=/usr/sbin:/usr/bin:/sbin:/bin\r\n");
    expect(stdout).toContain("TERM=xterm\r\n");
    expect(stdout).toContain("SHELL=/bin/bash\r\n");
    expect(stdout).not.toContain("VSOCKBOX");
  });

  test("sends all output of a command that ends at once", async () => {
    const { stdout } = await runCClient(server.path, "cmd", "seq 200000");
    expect(stdout.endsWith("\r\n199999\r\n200000\r\n")).toBe(true);
    expect(stdout.split("\r\n")).toHaveLength(200_001);
  });

  test("accepts input until the command ends", async () => {
    const child = startCClient(server.path, "cmd", "read line; echo got $line");
    child.stdin.write("typed\n");
    await child.stdin.flush();
    expect(await new Response(child.stdout).text()).toContain("got typed\r\n");
    expect(await child.exited).toBe(0);
  });

  test.each([0, 1, 4096, 400_000, 600_000, LARGEST_C_UPLOAD])(
    "receives a file of %d bytes",
    async (bytes) => {
      const source = makeFile(scratch.file(`up-${bytes}`), bytes);
      const target = scratch.file(`taken-${bytes}`);
      mkdirSync(target);
      const { status, stderr } = await runCClient(server.path, "upload", source, target);
      expect(status).toBe(0);
      expect(stderr).not.toMatch(/lost|refused/);
      expect(await sha256(`${target}/up-${bytes}`)).toBe(await sha256(source));
      expect(statSync(`${target}/up-${bytes}`).mode & 0o777).toBe(0o644 & ~process.umask());
      expect(readdirSync(target)).toHaveLength(1);
    },
  );

  test("ends a client whose queue has lost a message, and keeps nothing of the file", async () => {
    const source = makeFile(scratch.file("too-large"), 3_000_000);
    const target = scratch.file("taken-none");
    mkdirSync(target);
    const { status, stderr } = await runCClient(server.path, "upload", source, target);
    expect(status).toBe(0);
    expect(stderr).toMatch(/lost a message of type 0x11[^]*refused: KO .*lost a message/);
    expect(readdirSync(target)).toEqual([]);
  });

  test.each([0, 1, 4097, 20_000_000])("sends a file of %d bytes", async (bytes) => {
    const source = makeFile(scratch.file(`down-${bytes}`), bytes);
    const target = scratch.file(`sent-${bytes}`);
    mkdirSync(target);
    const { status, stderr } = await runCClient(server.path, "download", source, target);
    expect(status).toBe(0);
    // The greeting and BEGIN are what such a client only logs.
    expect(stderr.replaceAll(/unexpected 0x(07|13)\n/g, "")).toBe("");
    expect(await sha256(`${target}/down-${bytes}`)).toBe(await sha256(source));
  });

  test("refuses unknown requests in at most 299 bytes of text", async () => {
    const source = makeFile(scratch.file("x".repeat(180)), 10);
    mkdirSync(scratch.file("there"));
    await runCClient(server.path, "upload", source, scratch.file("there"));
    const again = await runCClient(server.path, "upload", source, scratch.file("there"));
    expect(again.status).toBe(0);
    expect(again.stderr).toMatch(/refused: KO write .*: it exists/);
    const missing = await runCClient(server.path, "upload", source, scratch.file("missing"));
    expect(missing.stderr).toMatch(/refused: KO .*ENOENT/);
    const none = await runCClient(server.path, "download", "/no/such", scratch.file("there"));
    expect(none.stderr).toMatch(/refused: KO .*ENOENT/);
    const directory = await runCClient(server.path, "download", "/etc", scratch.file("there"));
    expect(directory.stderr).toMatch(/refused: KO .*directory/);
  });

  test("reports the refusal to a client that is not allowed", async () => {
    await using full = await TestShellServer.start(["--max-sessions", "1"]);
    const first = startCClient(full.path, "cmd", "sleep 93.5");
    await full.running.says("command");
    const { status, stdout } = await runCClient(full.path, "cmd", "echo never");
    expect([status, stdout]).toEqual([0, expect.stringContaining("1 session is open")]);
    first.kill("SIGKILL");
    await first.exited;
  });
});

describeWith(["gcc"], "our client with the C server", () => {
  let server: CShellServer;
  let scratch: ScratchDirectory;
  beforeAll(async () => {
    server = await CShellServer.start();
    scratch = new ScratchDirectory();
  });
  afterAll(async () => {
    await server[Symbol.asyncDispose]();
    scratch[Symbol.dispose]();
  });

  /** Neither ends a session by what the server does not know, nor leaves one behind. */
  const isWell = () => expect(server.said).toBe("");
  const client = (...args: string[]) => vsockbox(["shell-client", server.address, ...args]);

  /**
   * Runs a command until its output arrives: the C server handles the end of a command before output
   * that it has not read yet, which it loses then, more often while the machine is busy.
   */
  async function answerOf(line: string): Promise<{ status: number; stdout: string }> {
    let answer = { status: -1, stdout: "" };
    await eventually(`the output of ${line} arrives`, async () => {
      answer = await client(`${line}; sleep 0.2`);
      return answer.stdout !== "";
    });
    return answer;
  }

  test("runs a command", async () => {
    const { status, stdout } = await answerOf("echo $((6 * 7))");
    expect([status, stdout]).toEqual([0, "42\r\n"]);
    isWell();
  });

  test.each([0, 1, 4096, 600_000, 5_000_000])("sends a file of %d bytes", async (bytes) => {
    const source = makeFile(scratch.file(`up-${bytes}`), bytes);
    const target = scratch.file(`taken-${bytes}`);
    const { status, stderr } = await client("-u", `${source}:${target}`);
    expect([status, stderr]).toEqual([0, ""]);
    expect(await sha256(target)).toBe(await sha256(source));
    isWell();
  });

  test.each([0, 1, 4096, 499_000, 995_328, 1_000_000, 3_000_000, 50_000_001])(
    "receives a file of %d bytes",
    async (bytes) => {
      const source = makeFile(scratch.file(`down-${bytes}`), bytes);
      const target = scratch.file(`sent-${bytes}`);
      const { status, stderr } = await client("-d", `${source}:${target}`);
      expect([status, stderr]).toEqual([0, ""]);
      expect(await sha256(target)).toBe(await sha256(source));
      isWell();
    },
  );

  test("receives several files at once", async () => {
    const source = makeFile(scratch.file("many"), 10_000_000);
    const wanted = await sha256(source);
    const runs = await Promise.all(
      [1, 2, 3].map((index) => client("-d", `${source}:${scratch.file(`many-${index}`)}`)),
    );
    for (const [index, { status }] of runs.entries()) {
      const target = scratch.file(`many-${index + 1}`);
      // The server's own fault may strike, but what stands there is whole.
      if (status === 0) expect(await sha256(target)).toBe(wanted);
      else expect(existsSync(target)).toBe(false);
    }
    server.said = "";
  });

  test.each([
    [["-u", "/etc/hostname:/etc/passwd"], 77, /already exists/],
    [["-u", "/etc/hostname:/no/such/place"], 77, /directory '\/no\/such' does not exist/],
    [["-d", "/no/such:here"], 77, /source file '\/no\/such' does not exist/],
    [["-R", "-d", "/etc/hostname:here"], 69, /cannot do --recursive/],
    [["--resume", "-u", "/etc/hostname:/tmp/vsockbox-never"], 69, /cannot do --resume/],
    [["-u", "/etc/hostname:/tmp/vsockbox never"], 69, /which has a blank/],
  ] as const)("%j is refused with the reason", async (args, expected, reason) => {
    const { status, stderr } = await vsockbox(["shell-client", server.address, ...args], {
      cwd: scratch.path,
    });
    expect([status, stderr]).toEqual([expected, expect.stringMatching(reason)]);
    expect(existsSync("/tmp/vsockbox-never")).toBe(false);
    isWell();
  });

  test("ends an interrupted transfer so that the server continues", async () => {
    const source = makeFile(scratch.file("interrupted"), 100_000_000);
    const child = Bun.spawn(
      [
        "bash",
        "-c",
        `timeout -s INT 0.15 ${BINARY} shell-client ${server.address} -d ${source}:${scratch.file("cut")}; echo $?`,
      ],
      { stdio: ["ignore", "pipe", "pipe"] },
    );
    const status = await new Response(child.stdout).text();
    // 124 is timeout's own word for it; a fast machine may have been done before.
    expect(["124\n", "0\n"]).toContain(status);
    if (status === "124\n") expect(existsSync(scratch.file("cut"))).toBe(false);
    // What it could not send to a client that had ended, it says; that it goes on is what counts.
    expect((await answerOf("echo on")).stdout).toBe("on\r\n");
  });

  test("never gets more than 500,000 bytes ahead of a server that stands still", async () => {
    const source = makeFile(scratch.file("ahead"), 5_000_000);
    // Descriptors of our own: every stream of a runtime would read ahead by itself.
    const listener = openUnixListener({ kind: "unix", path: scratch.file("still.sock") });
    const path = scratch.file("still.sock");
    const child = Bun.spawn([BINARY, "shell-client", `unix:${path}`, "-u", `${source}:/far`], {
      env: { ...process.env, VSOCKBOX_NO_VSOCK: "1" },
      stdio: ["ignore", "ignore", "ignore"],
    });
    let fd: number | undefined;
    const accept = () => (fd = acceptSocket(listener.fd, { operation: "accept" })) !== undefined;
    await eventually("it connects", accept);
    const [peer, block] = [fd ?? -1, new Uint8Array(65_536)];
    await eventually("it asks", () => readDescriptor(peer, block) > 0);
    writeDescriptor(peer, raw(0x0f, "OK a b\0"));
    // It sends what it may; that stays readable when it is gone.
    await atRest(child.pid);
    child.kill("SIGKILL");
    await child.exited;
    let ahead = 0;
    for (let got = 1; got > 0; ahead += Math.max(got, 0)) got = readDescriptor(peer, block);
    closeDescriptor(peer);
    closeDescriptor(listener.fd);
    expect(ahead).toBeGreaterThan(50_000);
    expect(ahead).toBeLessThanOrEqual(500_000);
  });
});
