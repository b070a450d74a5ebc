/** `execPipe` on a connection of the caller: frames in both directions, and each way in which it ends. */
import { describe, expect, test } from "bun:test";
import { VsockboxError } from "../../../src/errors.ts";
import { execPipe } from "../../../src/library/exec-pipe.ts";
import {
  encodeFrame,
  encodeJsonFrame,
  encodeU32Frame,
  FrameDecoder,
  FrameType,
} from "../../../src/protocols/agent/frame.ts";
import { StartError } from "../../../src/start-error.ts";
import { MemoryConn } from "../../support/memory-conn.ts";

const out = (text: string) => encodeFrame(FrameType.Stdout, Buffer.from(text));
const err = (text: string) => encodeFrame(FrameType.Stderr, Buffer.from(text));
const exit = (code: number) => encodeU32Frame(FrameType.Exit, code);
const failureOf = (promise: Promise<unknown>) => promise.catch((thrown: unknown) => thrown);

/** The written frames as type and text. */
function sent(conn: MemoryConn): [number, string][] {
  const frames = [...new FrameDecoder().push(Buffer.concat(conn.written))];
  return frames.map(({ type, payload }) => [type, Buffer.from(payload).toString()]);
}

describe("execPipe", () => {
  test("sends the line as it is, input and its end, and collects the output", async () => {
    const conn = new MemoryConn([Buffer.concat([out("a"), err("e"), out("b"), exit(7)])]);
    const result = await execPipe(conn, "cat; exit 7", {
      stdin: "in",
      env: { A: "b" },
      cwd: "/usr",
      user: "build",
    });
    expect(result).toMatchObject({ exitCode: 7, signal: undefined });
    expect([result.text(), Buffer.from(result.stderr).toString()]).toEqual(["ab", "e"]);
    const [first, ...rest] = sent(conn);
    expect(first?.[0]).toBe(FrameType.ExecPipe);
    expect(JSON.parse(first?.[1] ?? "")).toEqual({
      command: "cat; exit 7",
      working_dir: "/usr",
      env: { A: "b" },
      user: "build",
    });
    expect(rest).toEqual([
      [FrameType.Stdin, "in"],
      [FrameType.Stdin, ""],
    ]);
    expect(conn.isClosed).toBe(true);
  });

  test("a vector is quoted, and without input its end is sent at once", async () => {
    const conn = new MemoryConn([exit(0)]);
    await execPipe(conn, ["printf", "%s", "it's $HOME"]);
    const [first, ...rest] = sent(conn);
    const { command } = JSON.parse(first?.[1] ?? "") as { command: string };
    expect(command).toBe(`exec 'printf' %s 'it'\\''s $HOME'`);
    expect(rest).toEqual([[FrameType.Stdin, ""]]);
  });

  test("-1 for a signal is 128", async () => {
    const conn = new MemoryConn([exit(0xffff_ffff)]);
    expect((await execPipe(conn, "x")).exitCode).toBe(128);
  });

  test("passes output on, each piece after the one before it", async () => {
    const conn = new MemoryConn([Buffer.concat([out("a"), err("e"), out("b"), exit(0)])]);
    const log: string[] = [];
    const result = await execPipe(conn, "x", {
      stdout: async (bytes) => {
        log.push(`begin ${bytes.length}`);
        await Bun.sleep(1);
        log.push("end");
      },
      stderr: new WritableStream({
        write: (bytes) => void log.push(Buffer.from(bytes).toString()),
        close: () => void log.push("closed"),
      }),
    });
    expect(log).toEqual(["begin 1", "end", "e", "begin 1", "end", "closed"]);
    expect([result.stdout.length, result.stderr.length]).toEqual([0, 0]);
  });

  test("closes the connection however it ends", async () => {
    const cases: [MemoryConn, object][] = [
      [new MemoryConn([out("a")]), { code: "TRANSPORT", step: "read_response_header" }],
      [new MemoryConn([err("connection refused: too many sessions")]), { code: "REFUSED" }],
      [
        new MemoryConn([encodeFrame(FrameType.Ready, new Uint8Array(0))]),
        { code: "BAD_DATA", step: "read_response_data" },
      ],
    ];
    for (const [conn, expected] of cases) {
      const failure = await failureOf(execPipe(conn, "x"));
      expect(failure).toBeInstanceOf(VsockboxError);
      expect(failure).toMatchObject(expected);
      expect(conn.isClosed).toBe(true);
    }
    const notStarted = { exit_code: 127, error: "not found" };
    const failed = new MemoryConn([encodeJsonFrame(FrameType.ExecResult, notStarted)]);
    expect(await failureOf(execPipe(failed, "x"))).toBeInstanceOf(StartError);
    const unused = new MemoryConn([]);
    // @ts-expect-error: the type wants at least one word.
    expect(await failureOf(execPipe(unused, []))).toBeInstanceOf(TypeError);
    expect(unused.isClosed).toBe(true);
  });

  test("a signal ends it, before and while it runs", async () => {
    const conn = new MemoryConn([out("a")], true);
    const abort = new AbortController();
    const running = execPipe(conn, "x", {
      signal: abort.signal,
      stdout: () => abort.abort(),
    });
    expect(await failureOf(running)).toMatchObject({ code: "ABORTED" });
    expect(conn.isClosed).toBe(true);
    const early = new MemoryConn([exit(0)]);
    const failure = await failureOf(execPipe(early, "x", { signal: AbortSignal.abort() }));
    expect(failure).toMatchObject({ code: "ABORTED" });
    expect(early.written).toEqual([]);
  });

  test("a sink that fails is the failure, and its stream is aborted", async () => {
    const failing = new Error("no space");
    const reasons: unknown[] = [];
    const conn = new MemoryConn([Buffer.concat([out("a"), exit(0)])]);
    const running = execPipe(conn, "x", {
      stdout: () => {
        throw failing;
      },
      stderr: new WritableStream({ abort: (reason) => void reasons.push(reason) }),
    });
    expect(await failureOf(running)).toBe(failing);
    expect(reasons).toEqual([failing]);
    expect(conn.isClosed).toBe(true);
  });

  test("a source may yield text", async () => {
    const conn = new MemoryConn([exit(0)]);
    const source = async function* () {
      yield "sch\u00f6n";
      yield Buffer.from("!");
    };
    expect((await execPipe(conn, "cat", { stdin: source() })).exitCode).toBe(0);
    expect(sent(conn).slice(1)).toEqual([
      [FrameType.Stdin, "sch\u00f6n"],
      [FrameType.Stdin, "!"],
      [FrameType.Stdin, ""],
    ]);
  });

  test("a source that yields neither bytes nor text ends the command", async () => {
    const conn = new MemoryConn([], true);
    const source = async function* () {
      yield 7 as unknown as string;
    };
    const failure = await failureOf(execPipe(conn, "cat", { stdin: source() }));
    expect(failure).toMatchObject({ message: expect.stringContaining("neither bytes nor text") });
    expect(conn.isClosed).toBe(true);
  });

  test("a source that fails ends the command", async () => {
    const conn = new MemoryConn([], true);
    const source = async function* () {
      yield Buffer.from("a");
      throw new Error("broken source");
    };
    const failure = await failureOf(execPipe(conn, "cat", { stdin: source() }));
    expect(failure).toMatchObject({ message: expect.stringContaining("broken source") });
    expect(sent(conn).slice(1)).toEqual([[FrameType.Stdin, "a"]]);
  });
});
