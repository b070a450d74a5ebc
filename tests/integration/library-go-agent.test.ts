/** The library against an agent that behaves on the wire as matchlock's Go agent does. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { type AddressInfo, connect, createServer, type Server } from "node:net";
import { type Agent, connectAgent, StartError, VsockboxError } from "vsockbox";
import { eventually, processesWith } from "../support/binary.ts";
import { GoAgent } from "../support/go-agent.ts";

let go: GoAgent;
let agent: Agent;
beforeAll(async () => {
  go = await GoAgent.start();
  agent = await connectAgent(go.address);
});
afterAll(async () => {
  await agent.close();
  await go[Symbol.asyncDispose]();
});

/** What these frames cannot carry. */
const UNSUPPORTED = { code: "UNAVAILABLE", errno: "EOPNOTSUPP" };

describe("connectAgent", () => {
  test("recognises the Go agent, and reports its protocol", () => {
    expect(agent.protocol).toBe("go");
    expect(agent.version).toContain("Go agent");
  });

  test("rejects a listener that closes every connection", async () => {
    const path = go.scratch.file("closes.sock");
    const server = createServer((socket) => void socket.end());
    await new Promise<void>((resolve) => server.listen(path, resolve));
    for (const address of [`unix:${path}`, `hybrid:${path}:5000`]) {
      expect(connectAgent(address, { timeoutMs: 3000 })).rejects.toMatchObject({
        code: "UNAVAILABLE",
      });
      await connectAgent(address, { timeoutMs: 3000 }).catch(() => undefined);
    }
    server.close();
  });

  test("rejects an agent that cannot prove a token", async () => {
    const connecting = connectAgent(go.address, { token: "secret" });
    expect(connecting).rejects.toMatchObject({ code: "UNAVAILABLE" });
    await connecting.catch(() => undefined);
  });
});

describe("commands", () => {
  test("exec has input, output, environment, directory and status", async () => {
    const result = await agent.exec(["sh", "-c", 'cat; echo "$A $(pwd)"; echo err >&2; exit 7'], {
      stdin: "in ",
      env: { A: "a b" },
      cwd: "/usr",
    });
    expect(result).toMatchObject({ exitCode: 7, signal: undefined });
    expect(result.text()).toBe("in a b /usr\n");
    expect(Buffer.from(result.stderr).toString()).toBe("err\n");
    const words = await agent.exec(["printf", "%s|", "a b", "", "$HOME", "it's"]);
    expect(words.text()).toBe("a b||$HOME|it's|");
    expect((await agent.exec("echo $((6 * 7))")).text()).toBe("42\n");
  });

  test("20 side by side", async () => {
    const results = await Promise.all(
      Array.from({ length: 20 }, (_, index) => agent.exec(`echo ${index}; exit ${index}`)),
    );
    expect(results.map(({ exitCode }) => exitCode)).toEqual(results.map((_, index) => index));
  });

  test("spawn sends unawaited input in order, and the end of input after it", async () => {
    const command = agent.spawn(["sha256sum"]);
    const bytes = new Uint8Array(3 * 1024 * 1024).fill(7);
    const written = command.write(bytes);
    void command.write("last");
    command.endInput();
    let output = "";
    for await (const piece of command) output += Buffer.from(piece.bytes).toString();
    await written;
    const hash = new Bun.CryptoHasher("sha256").update(bytes).update("last").digest("hex");
    expect(output).toBe(`${hash}  -\n`);
    expect(await command.exited).toMatchObject({ exitCode: 0 });
  });

  test("exited settles without a reader, and the output can be read after it", async () => {
    const command = agent.spawn("echo one; exit 3", { input: false });
    expect(await command.exited).toMatchObject({ exitCode: 3 });
    let output = "";
    for await (const { bytes } of command) output += Buffer.from(bytes).toString();
    expect(output).toBe("one\n");
  });

  test("unread output holds the command up, and every byte comes when it is read", async () => {
    const total = 20_000_000;
    const command = agent.spawn(`head -c ${total} /dev/zero; echo done >&2`, { input: false });
    let bytes = 0;
    let errors = "";
    for await (const piece of command) {
      if (piece.stream === "stdout") bytes += piece.bytes.length;
      else errors += Buffer.from(piece.bytes).toString();
    }
    expect([bytes, errors]).toEqual([total, "done\n"]);
  });

  test("a signal reaches a command that reads", async () => {
    const command = agent.spawn(
      "trap 'echo got it; exit 3' TERM; echo up; while :; do sleep 0.05; done",
    );
    let output = "";
    for await (const { bytes } of command) {
      output += Buffer.from(bytes).toString();
      if (output === "up\n") command.kill("SIGTERM");
    }
    expect(output).toContain("got it");
    expect(await command.exited).toMatchObject({ exitCode: 3 });
  });

  test("a terminal has a size, which can be changed", async () => {
    const command = agent.spawn("stty size; read x; stty size", { tty: { rows: 33, cols: 99 } });
    let output = "";
    for await (const { bytes } of command) {
      output += Buffer.from(bytes).toString();
      if (output.includes("33 99") && !output.includes("\n\n")) {
        command.resize(44, 120);
        await command.write("\n");
      }
      if (output.includes("44 120")) break;
    }
    expect(output).toMatch(/33 99[^]*44 120/);
    expect(await command.exited).toMatchObject({ exitCode: 0 });
  });

  test("a failed start is a StartError", async () => {
    const error = await agent.exec(["ls"], { cwd: "/no/dir" }).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(StartError);
    expect(error).toMatchObject({ code: "NOT_STARTED" });
  });

  test("an aborted command is ended, also one that is still being started", async () => {
    const abort = new AbortController();
    const running = agent.exec(["sleep", "73.25"], { signal: abort.signal });
    await eventually("it runs", () => processesWith("sleep 73.25").length > 0);
    abort.abort();
    const error = await running.catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: "ABORTED" });
    await eventually("it has ended", () => processesWith("sleep 73.25").length === 0);
    const late = await agent
      .exec(["true"], { signal: AbortSignal.abort() })
      .catch((thrown: unknown) => thrown);
    expect(late).toMatchObject({ code: "ABORTED" });
  });

  test("close ends the commands that run, and later requests are rejected", async () => {
    const other = await connectAgent(go.address);
    const running = other.exec(["sleep", "73.75"]);
    await eventually("it runs", () => processesWith("sleep 73.75").length > 0);
    await other.close();
    await other.closed;
    expect(await running.catch((thrown: unknown) => thrown)).toMatchObject({ code: "ABORTED" });
    await eventually("it has ended", () => processesWith("sleep 73.75").length === 0);
    const late = await other.exec(["true"]).catch((thrown: unknown) => thrown);
    expect(late).toMatchObject({ code: "ABORTED" });
  });
});

describe("files", () => {
  test("write, read, text, stream and list", async () => {
    const { files } = agent;
    const directory = go.scratch.file("files");
    await files.write(`${directory}/sub/greeting`, "hello\n");
    await files.write(`${directory}/empty`, "");
    expect(await files.text(`${directory}/sub/greeting`)).toBe("hello\n");
    expect(await files.read(`${directory}/empty`)).toHaveLength(0);
    const big = new Uint8Array(5_000_000).fill(9);
    await files.write(`${directory}/big`, big);
    expect(Buffer.compare(await files.read(`${directory}/big`), big)).toBe(0);
    const entries = await files.list(directory);
    expect(entries.map(({ name, type, size }) => [name, type, type === "file" ? size : 0])).toEqual(
      [
        ["big", "file", 5_000_000],
        ["empty", "file", 0],
        ["sub", "directory", 0],
      ],
    );
    expect(entries[0]).toMatchObject({ mode: 0o644, uid: Number.NaN, mtimeMs: Number.NaN });
  });

  test("upload keeps the permission bits, download is exactly the named path", async () => {
    const { files } = agent;
    const [local, remote] = [go.scratch.file("local"), go.scratch.file("remote")];
    writeFileSync(local, "#!/bin/sh\n", { mode: 0o750 });
    expect(await files.upload(local, remote)).toMatchObject({ files: 1, bytes: 10, errorCount: 0 });
    expect(statSync(remote).mode & 0o777).toBe(0o750);
    const progress: unknown[] = [];
    const back = go.scratch.file("back");
    await files.download(remote, back, { onProgress: (seen) => progress.push({ ...seen }) });
    expect(readFileSync(back, "utf8")).toBe("#!/bin/sh\n");
    expect(progress).toEqual([{ files: 1, bytes: 10 }]);
  });

  test("the agent's errors, and files above the limit", async () => {
    const { files } = agent;
    const missing = await files.read("/no/such/file").catch((thrown: unknown) => thrown);
    expect(missing).toBeInstanceOf(VsockboxError);
    expect(missing).toMatchObject({ code: "IO", message: expect.stringContaining("ENOENT") });
    const large = await files
      .write(go.scratch.file("large"), new Uint8Array(16 * 1024 * 1024 + 1))
      .catch((thrown: unknown) => thrown);
    expect(large).toMatchObject({ code: "UNAVAILABLE" });
    expect(existsSync(go.scratch.file("large"))).toBe(false);
    await files.write(go.scratch.file("five"), "12345");
    const limited = await files
      .download(go.scratch.file("five"), go.scratch.file("limited"), { maxBytes: 4 })
      .catch((thrown: unknown) => thrown);
    expect(limited).toMatchObject({ code: "IO", errno: "EFBIG" });
    expect(existsSync(go.scratch.file("limited"))).toBe(false);
  });

  test("a local directory cannot be uploaded", async () => {
    mkdirSync(go.scratch.file("tree"));
    const upload = agent.files.upload(go.scratch.file("tree"), go.scratch.file("copy"));
    expect(await upload.catch((thrown: unknown) => thrown)).toMatchObject({ errno: "EISDIR" });
  });
});

describe("forwards", () => {
  let echo: Server;
  let port: number;
  beforeAll(async () => {
    echo = createServer({ allowHalfOpen: true }, (socket) => void socket.pipe(socket));
    await new Promise<void>((resolve) => echo.listen(0, "127.0.0.1", resolve));
    ({ port } = echo.address() as AddressInfo);
  });
  afterAll(() => void echo.close());

  test("a local listener leads to a TCP port of the guest, with half-close", async () => {
    using forward = await agent.forward({
      listen: { kind: "unix", path: go.scratch.file("forward.sock") },
      target: { kind: "tcp", host: "127.0.0.1", port },
    });
    expect(forward.listening).toBe(`unix:${go.scratch.file("forward.sock")}`);
    const text = "to and fro ".repeat(100_000);
    const answers = await Promise.all([1, 2, 3].map(() => exchange(go, text)));
    expect(answers.map((answer) => answer === text)).toEqual([true, true, true]);
  });

  test("a target that refuses is reported, and the forward stays", async () => {
    const errors: Error[] = [];
    using _forward = await agent.forward({
      listen: { kind: "unix", path: go.scratch.file("forward.sock") },
      target: { kind: "tcp", host: "127.0.0.1", port: 1 },
      onError: (error) => errors.push(error),
    });
    expect(await exchange(go, "x")).toBe("");
    expect(await exchange(go, "x")).toBe("");
    await eventually("both are reported", () => errors.length === 2);
    expect(errors[0]).toMatchObject({ code: "UNAVAILABLE" });
  });

  test("a listener ends with its agent", async () => {
    const other = await connectAgent(go.address);
    await other.forward({
      listen: { kind: "unix", path: go.scratch.file("ends.sock") },
      target: { kind: "tcp", host: "127.0.0.1", port },
    });
    expect(existsSync(go.scratch.file("ends.sock"))).toBe(true);
    await other.close();
    await eventually("its socket is removed", () => !existsSync(go.scratch.file("ends.sock")));
  });

  test("a connection to a Unix socket of the guest is refused", async () => {
    const errors: Error[] = [];
    using _forward = await agent.forward({
      listen: { kind: "unix", path: go.scratch.file("forward.sock") },
      target: { kind: "unix", path: "/run/x.sock" },
      onError: (error) => errors.push(error),
    });
    expect(await exchange(go, "x")).toBe("");
    await eventually("it is reported", () => errors.length === 1);
    expect(errors[0]).toMatchObject(UNSUPPORTED);
  });
});

describe("what these frames cannot carry is refused with EOPNOTSUPP", () => {
  const path = "/tmp/never";
  test.each<[string, (agent: Agent) => Promise<unknown>]>([
    ["stat", ({ files }) => files.stat("/")],
    ["mkdir", ({ files }) => files.mkdir(path)],
    ["remove", ({ files }) => files.remove(path, { force: true })],
    ["rename", ({ files }) => files.rename(path, path)],
    ["ping", (own) => own.ping()],
    ["info", (own) => own.info()],
    ["recursive", ({ files }) => files.upload("/etc", path, { recursive: true })],
    ["resume", ({ files }) => files.download("/etc/hostname", path, { resume: true })],
    ["checksum", ({ files }) => files.upload("/etc/passwd", path, { checksum: true })],
    ["preserve", ({ files }) => files.upload("/etc/passwd", path, { preserve: true })],
    ["keep", ({ files }) => files.upload("/etc/passwd", path, { keep: true })],
    ["exclusive", ({ files }) => files.download("/etc/passwd", path, { exclusive: true })],
    ["a variable of the shell", (own) => own.exec(["true"], { env: { IFS: "x" } })],
    [
      "a listener in the guest",
      (own) =>
        own.forward({
          direction: "remote",
          listen: { kind: "unix", path },
          target: { kind: "unix", path },
        }),
    ],
  ])("%s", async (_, request) => {
    const error = await request(agent).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(VsockboxError);
    expect(error).toMatchObject({
      ...UNSUPPORTED,
      hint: expect.stringContaining("vsockbox agent"),
    });
    expect(existsSync(path)).toBe(false);
  });

  test("a sandbox is refused before anything runs", async () => {
    const error = await agent
      .exec(["touch", path], { sandbox: ["all"] })
      .catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: "UNAVAILABLE" });
    expect(existsSync(path)).toBe(false);
  });
});

/** Sends text through the forward's socket and returns the answer. */
function exchange(agentOf: GoAgent, text: string): Promise<string> {
  const done = Promise.withResolvers<string>();
  const chunks: Buffer[] = [];
  const finish = () => done.resolve(Buffer.concat(chunks).toString());
  const socket = connect({ path: agentOf.scratch.file("forward.sock"), allowHalfOpen: true });
  socket.on("data", (bytes) => void chunks.push(bytes as Buffer));
  socket.on("error", finish);
  socket.on("close", finish);
  socket.on("end", () => socket.end());
  socket.end(text);
  return done.promise;
}
