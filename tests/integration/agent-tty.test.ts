/** ExecTTY (9), frame by frame. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { encodeFrame, encodeJsonFrame, FrameType } from "../../src/protocols/agent/frame.ts";
import { encodeResize } from "../../src/protocols/agent/messages.ts";
import { eventually, processesWith, TestAgent } from "../support/binary.ts";
import { RawPeer, text } from "../support/raw-peer.ts";
import { atRest } from "../support/process-state.ts";

let agent: TestAgent;
beforeAll(async () => {
  agent = await TestAgent.start();
});
afterAll(() => agent[Symbol.asyncDispose]());

/** A session whose output so far can be looked at. */
class Session extends RawPeer {
  output = "";

  constructor(request: Record<string, unknown>) {
    super(agent.path);
    this.socket.on("data", (chunk: Buffer) => (this.output += chunk.toString("latin1")));
    this.send(encodeJsonFrame(FrameType.ExecTTY, request));
  }

  type(keys: string): this {
    return this.send(encodeFrame(FrameType.Stdin, Buffer.from(keys)));
  }

  async shows(what: string): Promise<void> {
    // What belongs together may come in several Stdout frames.
    const shown = () =>
      this.output
        .split("\u0003\0\0\0")
        .map((part, index) => (index === 0 ? part : part.slice(1)))
        .join("");
    await eventually(`shows ${what}`, () => shown().includes(what)).catch((thrown: Error) => {
      throw new Error(`${thrown.message}; it shows ${JSON.stringify(shown())}`);
    });
  }

  async exitCode(): Promise<number | undefined> {
    const last = (await this.frames()).at(-1);
    expect(last?.type).toBe(FrameType.Exit);
    return last?.payload.readUInt32BE();
  }
}

describe("ExecTTY", () => {
  test("runs on a controlling terminal of the requested size", async () => {
    const session = new Session({
      command:
        "test -t 0 && test -t 1 && test -t 2 && tty && stty size && echo controls > /dev/tty; exit 5",
      rows: 33,
      cols: 101,
    });
    const frames = await session.frames();
    expect(text(frames, FrameType.Stdout)).toMatch(/^\/dev\/pts\/\d+\r\n33 101\r\ncontrols\r\n$/);
    expect(frames.at(-1)).toEqual({ type: FrameType.Exit, payload: Buffer.from([0, 0, 0, 5]) });
  });

  test("TERM has a default, and the request's own wins; 24 x 80 without a size", async () => {
    const session = new Session({ command: "echo $TERM; stty size" });
    expect(text(await session.frames(), FrameType.Stdout)).toBe("xterm-256color\r\n24 80\r\n");
    const own = new Session({ command: "echo $TERM", env: { TERM: "vt100" }, rows: 1, cols: 1 });
    expect(text(await own.frames(), FrameType.Stdout)).toBe("vt100\r\n");
  });

  test("keys go in, Ctrl-C interrupts, Ctrl-D ends the input", async () => {
    const session = new Session({
      command: "trap 'echo interrupted' INT; read line; echo got $line; sleep 90.5; cat; exit 6",
      rows: 24,
      cols: 80,
    });
    session.type("hello\r");
    await session.shows("got hello");
    await eventually("sleep runs", () => processesWith("sleep 90.5").length > 1);
    session.type("\u0003");
    await session.shows("interrupted");
    session.type("typed\r");
    await session.shows("typed\r\ntyped");
    session.type("\u0004");
    expect(await session.exitCode()).toBe(6);
  });

  test("Resize reaches the program as SIGWINCH", async () => {
    const session = new Session({
      command: "trap 'stty size; exit 0' WINCH; echo ready; while :; do sleep 0.05; done",
      rows: 24,
      cols: 80,
    });
    await session.shows("ready");
    session.send(encodeFrame(FrameType.Resize, encodeResize({ rows: 50, cols: 132 })));
    await session.shows("50 132");
    expect(await session.exitCode()).toBe(0);
  });

  test("Signal goes to what runs in the foreground, as job control has it", async () => {
    const session = new Session({
      // Written so that the shell's own command line is not taken for the job's.
      command: "set -m; n=91; sleep $n.5; echo status $?",
      rows: 24,
      cols: 80,
    });
    await eventually("it runs", () => processesWith("sleep 91.5").some((pid) => pid > 0));
    session.send(encodeFrame(FrameType.Signal, Uint8Array.of(15)));
    await session.shows("status 143");
    expect(await session.exitCode()).toBe(0);
  });

  test("a host that disconnects ends its session, jobs in groups of their own included", async () => {
    const session = new Session({
      command:
        "set -m; trap '' HUP; sleep 92.5 & sh -c 'trap \"\" HUP; sleep 92.5; :' & echo started; sleep 92.5",
      rows: 24,
      cols: 80,
    });
    await session.shows("started");
    await eventually("three run", () => processesWith("sleep 92.5").length >= 3);
    session.socket.destroy();
    await eventually("none is left", () => processesWith("sleep 92.5").length === 0);
  });

  test("much output to a slow host is slowed down, and comes whole", async () => {
    const session = new Session({
      command: "stty -opost; head -c 20000000 /dev/zero",
      rows: 24,
      cols: 80,
    });
    session.socket.pause();
    await atRest(agent.running.pid);
    session.socket.resume();
    expect(text(await session.frames(), FrameType.Stdout).length).toBe(20_000_000);
  });

  test("a signal's end is 128 + N", async () => {
    expect(await new Session({ command: "kill -KILL $$", rows: 1, cols: 1 }).exitCode()).toBe(137);
  });

  test.each([
    [{}, "command is missing"],
    [{ command: "x", rows: 70_000 }, "from 0 to 65535"],
    [{ command: "x", user: "nobody-here" }, "no such user"],
    [{ command: "x", working_dir: "/no/dir" }, "no such directory"],
  ])("reports why %j was not run, and ends with Exit 1", async (request, message) => {
    const frames = await new Session(request).frames();
    expect(frames.map(({ type }) => type)).toEqual([FrameType.Stderr, FrameType.Exit]);
    expect(text(frames, FrameType.Stderr)).toContain(message);
    expect(frames[1]?.payload.readUInt32BE()).toBe(1);
  });

  test("a frame that has no place ends it with the reason", async () => {
    const session = new Session({ command: "sleep 93.5", rows: 24, cols: 80 });
    session.send(encodeFrame(FrameType.Exit, new Uint8Array(4)));
    expect(text(await session.frames(), FrameType.Stderr)).toContain(
      "is not allowed in an ExecTTY session",
    );
    await eventually("gone", () => processesWith("sleep 93.5").length === 0);
  });

  test("50 sessions at once leave no descriptor", async () => {
    const descriptors = () => readdirSync(`/proc/${agent.running.pid}/fd`).length;
    const before = descriptors();
    const codes = await Promise.all(
      Array.from({ length: 50 }, (_, index) =>
        new Session({ command: `tty > /dev/null; exit ${index}`, rows: 24, cols: 80 }).exitCode(),
      ),
    );
    expect(codes).toEqual(Array.from({ length: 50 }, (_, index) => index));
    await eventually("closed", () => descriptors() <= before);
  });
});

describe.if(process.getuid?.() === 0)("ExecTTY as another user", () => {
  test("the terminal is the user's", async () => {
    const session = new Session({
      command: "id -u; stat -c %u $(tty); echo x > /dev/tty",
      user: "nobody",
      rows: 24,
      cols: 80,
    });
    expect(text(await session.frames(), FrameType.Stdout)).toMatch(/^(\d+)\r\n\1\r\nx\r\n$/);
  });

  test("signals of the command have their default actions", async () => {
    const session = new Session({ command: "grep SigIgn /proc/self/status", user: "nobody" });
    expect(text(await session.frames(), FrameType.Stdout)).toMatch(/^SigIgn:\t0{16}\r\n$/);
  });
});
