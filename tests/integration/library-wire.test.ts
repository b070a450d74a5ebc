/**
 * The wire helpers on connections of `dial`, with an agent of vsockbox and one that behaves as matchlock's
 * Go agent does.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { type AddressInfo, createServer, type Server } from "node:net";
import {
  dial,
  execPipe,
  listFiles,
  MessageType,
  openPortForward,
  readFile,
  readFull,
  readMessage,
  sendMessage,
  writeFile,
} from "vsockbox";
import { eventually, processesWith, ScratchDirectory, TestAgent } from "../support/binary.ts";
import { GoAgent } from "../support/go-agent.ts";

let scratch: ScratchDirectory;
let own: TestAgent;
let go: GoAgent;
let echo: Server;
let port: number;
beforeAll(async () => {
  scratch = new ScratchDirectory();
  [own, go] = await Promise.all([TestAgent.start(), GoAgent.start()]);
  echo = createServer({ allowHalfOpen: true }, (socket) => void socket.pipe(socket));
  await new Promise<void>((resolve) => echo.listen(0, "127.0.0.1", resolve));
  ({ port } = echo.address() as AddressInfo);
});
afterAll(async () => {
  echo.close();
  await Promise.all([own[Symbol.asyncDispose](), go[Symbol.asyncDispose]()]);
  scratch[Symbol.dispose]();
});

const failureOf = (promise: Promise<unknown>) => promise.catch((thrown: unknown) => thrown);

describe.each(["vsockbox", "Go"])("an agent of %s", (kind) => {
  const connect = () => dial(kind === "Go" ? go.address : own.address);

  test("execPipe: input, output, environment, directory and status", async () => {
    const conn = await connect();
    const result = await execPipe(conn, 'cat; echo "$A $(pwd)"; echo err >&2; exit 7', {
      stdin: "in ",
      env: { A: "a b" },
      cwd: "/usr",
    });
    expect(result).toMatchObject({ exitCode: 7 });
    expect([result.text(), Buffer.from(result.stderr).toString()]).toEqual([
      "in a b /usr\n",
      "err\n",
    ]);
    await conn.closed;
    const words = await execPipe(await connect(), ["printf", "%s|", "a b", "", "$HOME", "it's"]);
    expect(words.text()).toBe("a b||$HOME|it's|");
  });

  test("execPipe: a failed start is exit code 1 with the reason on standard error", async () => {
    const result = await execPipe(await connect(), "ls", { cwd: "/no/dir" });
    expect(result.exitCode).toBe(1);
    expect(Buffer.from(result.stderr).toString()).toMatch(/no such file|ENOENT/);
  });

  test("execPipe: 8 MiB there and back, as streams", async () => {
    const bytes = crypto.getRandomValues(new Uint8Array(65_536));
    const count = 128;
    const sent = new Bun.CryptoHasher("sha256");
    const source = async function* () {
      for (let index = 0; index < count; index++) {
        sent.update(bytes);
        yield bytes;
      }
    };
    const received = new Bun.CryptoHasher("sha256");
    const result = await execPipe(await connect(), "cat", {
      stdin: source(),
      stdout: new WritableStream({ write: (chunk) => void received.update(chunk) }),
    });
    expect(result).toMatchObject({ exitCode: 0, stdout: new Uint8Array(0) });
    expect(received.digest("hex")).toBe(sent.digest("hex"));
  });

  test("execPipe: a signal ends the command", async () => {
    const name = `sleep 74.${kind.length}`;
    const abort = new AbortController();
    const running = execPipe(await connect(), name, {
      signal: abort.signal,
      stdin: (async function* () {
        await eventually("it runs", () => processesWith(name).length > 0);
        abort.abort();
        yield Buffer.from("x");
      })(),
    });
    expect(await failureOf(running)).toMatchObject({ code: "ABORTED" });
    await eventually("it has ended", () => processesWith(name).length === 0);
  });

  test("writeFile, readFile and listFiles", async () => {
    const directory = scratch.file(kind);
    await using first = await connect();
    await writeFile(first, `${directory}/sub/ä`, "text", { mode: 0o600 });
    expect(readFileSync(`${directory}/sub/ä`, "utf8")).toBe("text");
    await using second = await connect();
    expect(Buffer.from(await readFile(second, `${directory}/sub/ä`)).toString()).toBe("text");
    await using third = await connect();
    expect(await listFiles(third, `${directory}/sub`)).toEqual([
      { name: "ä", type: "file", size: 4, mode: 0o600 },
    ]);
    await using fourth = await connect();
    expect(await failureOf(readFile(fourth, `${directory}/none`))).toMatchObject({
      code: "IO",
      step: "file_remote",
    });
    expect(existsSync(`${directory}/none`)).toBe(false);
  });

  test("openPortForward: the connection carries the target's bytes, with half-close", async () => {
    await using conn = await connect();
    await openPortForward(conn, { port });
    const text = "to and fro ".repeat(50_000);
    const sending = conn.write(text).then(() => conn.closeWrite());
    const answer = await new Response(conn.readable).text();
    await sending;
    expect(answer === text).toBe(true);
  });

  test("openPortForward: a target that refuses", async () => {
    await using conn = await connect();
    expect(await failureOf(openPortForward(conn, { port: 1 }))).toMatchObject({
      code: "UNAVAILABLE",
      step: "port_forward_rejected",
    });
  });

  test("sendMessage and readMessage: a session by hand", async () => {
    await using conn = await connect();
    await sendMessage(conn, MessageType.ExecPipe, JSON.stringify({ command: "read x; echo $x" }));
    await sendMessage(conn, MessageType.Stdin, "by hand\n");
    await sendMessage(conn, MessageType.Stdin);
    const output = await readMessage(conn);
    expect([output?.type, Buffer.from(output?.payload ?? []).toString()]).toEqual([
      MessageType.Stdout,
      "by hand\n",
    ]);
    // The header of Exit, then its payload, as Go programs read them.
    expect([...(await readFull(conn, 5))]).toEqual([MessageType.Exit, 0, 0, 0, 4]);
    expect([...(await readFull(conn, 4))]).toEqual([0, 0, 0, 0]);
    expect(await readMessage(conn)).toBeUndefined();
  });
});
