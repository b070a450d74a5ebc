/** What a peer that is none of ours may send to the agent: raw bytes against the compiled agent. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import {
  encodeFrame,
  encodeJsonFrame,
  encodeRawFrame,
  FrameType,
} from "../../src/protocols/agent/frame.ts";
import { json, RawPeer, text } from "../support/raw-peer.ts";
import { eventually, processesWith, Running, TestAgent, vsockbox } from "../support/binary.ts";

let agent: TestAgent;
beforeAll(async () => {
  agent = await TestAgent.start(["--max-frame", "1000000"]);
});
afterAll(() => agent[Symbol.asyncDispose]());

const request = (type: FrameType, value: unknown) => encodeJsonFrame(type, value);
const base64 = (value: string) => Buffer.from(value).toString("base64");
const none = new Uint8Array(0);

/** After whatever happened, the next connection is served. */
async function expectAlive() {
  expect((await vsockbox(["exec", agent.address, "-n", "--", "echo", "alive"])).stdout).toBe(
    "alive\n",
  );
}

describe("Exec (1)", () => {
  test("runs a shell line and answers with one ExecResult", async () => {
    const frames = await new RawPeer(agent.path)
      .send(request(FrameType.Exec, { command: "echo out; echo err >&2; exit 3" }))
      .frames();
    expect(frames.map(({ type }) => type)).toEqual([FrameType.ExecResult]);
    expect(json(frames, FrameType.ExecResult)).toEqual({
      exit_code: 3,
      stdout: base64("out\n"),
      stderr: base64("err\n"),
    });
  });

  test("reads the fields of Go's JSON: null, base64, snake_case", async () => {
    const frames = await new RawPeer(agent.path)
      .send(
        request(FrameType.Exec, {
          command: "cat; echo $A; pwd",
          args: null,
          working_dir: "/usr",
          env: { A: "b" },
          stdin: base64("in\n"),
        }),
      )
      .frames();
    expect(json(frames, FrameType.ExecResult)).toEqual({
      exit_code: 0,
      stdout: base64("in\nb\n/usr\n"),
    });
  });

  test("runs the command itself if it has arguments", async () => {
    const frames = await new RawPeer(agent.path)
      .send(request(FrameType.Exec, { command: "printf", args: ["%s|", "a b", "$HOME"] }))
      .frames();
    expect(json(frames, FrameType.ExecResult)).toEqual({
      exit_code: 0,
      stdout: base64("a b|$HOME|"),
    });
  });

  test.each([
    [{ command: "no-such-program", args: ["x"] }, 127, "command not found"],
    [{ command: "/etc/passwd", args: ["x"] }, 126, "not executable"],
    [{ command: "true", working_dir: "/no/dir" }, 1, "no such directory"],
    [{ command: "true", working_dir: "/etc/passwd" }, 1, "not a directory"],
    [{ command: "true", user: "nobody-here" }, 1, "no such user"],
    [{}, 1, "command is missing"],
    [{ command: "x\0y" }, 1, "NUL"],
    [{ command: "true", env: { "A=B": "x" } }, 1, "env"],
  ])("reports why %j was not run", async (value, exitCode, message) => {
    const frames = await new RawPeer(agent.path).send(request(FrameType.Exec, value)).frames();
    expect(json(frames, FrameType.ExecResult)).toEqual({
      exit_code: exitCode,
      error: expect.stringContaining(message),
    });
  });

  test("cuts off output that is longer than a frame and reports it", async () => {
    const frames = await new RawPeer(agent.path)
      .send(request(FrameType.Exec, { command: "head -c 20000000 /dev/zero" }))
      .frames();
    const { stdout, error } = json(frames, FrameType.ExecResult);
    expect(Buffer.from(String(stdout), "base64").length).toBe(16 * 1024 * 1024);
    expect(error).toContain(`${20_000_000 - 16 * 1024 * 1024} bytes more`);
  });
});

describe("ExecStream (11)", () => {
  test("streams, then answers with the exit code alone", async () => {
    const frames = await new RawPeer(agent.path)
      .send(request(FrameType.ExecStream, { command: "echo out; echo err >&2; exit 4" }))
      .frames();
    expect([text(frames, FrameType.Stdout), text(frames, FrameType.Stderr)]).toEqual([
      "out\n",
      "err\n",
    ]);
    expect(frames.at(-1)?.type).toBe(FrameType.ExecResult);
    expect(json(frames, FrameType.ExecResult)).toEqual({ exit_code: 4 });
  });

  test("reports why nothing was run", async () => {
    const frames = await new RawPeer(agent.path)
      .send(request(FrameType.ExecStream, { command: "true", user: "nobody-here" }))
      .frames();
    expect(json(frames, FrameType.ExecResult)).toEqual({
      exit_code: 1,
      error: expect.stringContaining("no such user"),
    });
  });
});

test.each([FrameType.ExecStream, FrameType.ExecPipe])(
  "a Signal frame reaches the command of a session of type %d",
  async (mode) => {
    const peer = new RawPeer(agent.path).send(
      request(mode, {
        command: "trap 'echo got; exit 6' USR1; echo up; while :; do sleep 0.05; done",
      }),
    );
    await new Promise((resolve) => peer.socket.once("data", resolve));
    peer.send(encodeFrame(FrameType.Signal, Uint8Array.of(10)));
    expect(text(await peer.frames(), FrameType.Stdout)).toBe("up\ngot\n");
  },
);

describe("ExecPipe (12)", () => {
  test("accepts input and its end, and ends with Exit", async () => {
    const frames = await new RawPeer(agent.path)
      .send(
        request(FrameType.ExecPipe, { command: "cat; exit 5" }),
        encodeFrame(FrameType.Stdin, Buffer.from("one ")),
        encodeFrame(FrameType.Stdin, Buffer.from("two")),
        encodeFrame(FrameType.Stdin, none),
      )
      .frames();
    expect(text(frames, FrameType.Stdout)).toBe("one two");
    expect(frames.at(-1)).toEqual({ type: FrameType.Exit, payload: Buffer.from([0, 0, 0, 5]) });
  });

  test("byte by byte is as good as at once", async () => {
    const bytes = Buffer.concat([
      request(FrameType.ExecPipe, { command: "cat" }),
      encodeFrame(FrameType.Stdin, Buffer.from("slow")),
      encodeFrame(FrameType.Stdin, none),
    ]);
    const peer = new RawPeer(agent.path);
    for (const byte of bytes) {
      peer.send(Uint8Array.of(byte));
      await Bun.sleep(1);
    }
    expect(text(await peer.frames(), FrameType.Stdout)).toBe("slow");
  });

  test("signals go to the whole process group", async () => {
    const peer = new RawPeer(agent.path).send(
      request(FrameType.ExecPipe, { command: "sleep 81.5 | sleep 81.5; echo never" }),
    );
    await eventually("both run", () => processesWith("sleep 81.5").length >= 2);
    peer.send(encodeFrame(FrameType.Signal, Uint8Array.of(15)));
    const frames = await peer.frames();
    expect(frames.at(-1)).toEqual({ type: FrameType.Exit, payload: Buffer.from([0, 0, 0, 143]) });
    expect(processesWith("sleep 81.5")).toEqual([]);
  });

  test("a host that closes early ends the command, in every mode", async () => {
    for (const mode of [FrameType.Exec, FrameType.ExecStream, FrameType.ExecPipe]) {
      const marker = `sleep 82.${mode}5`;
      const peer = new RawPeer(agent.path).send(request(mode, { command: `${marker}; true` }));
      await eventually("it runs", () => processesWith(marker).length > 0);
      peer.socket.destroy();
      await eventually("it is gone", () => processesWith(marker).length === 0);
    }
  });

  test.each([
    [
      "an unexpected frame",
      encodeFrame(FrameType.Resize, Uint8Array.of(0, 24, 0, 80)),
      "Resize frame is not allowed",
    ],
    [
      "a signal that is none",
      encodeFrame(FrameType.Signal, Uint8Array.of(200)),
      "one byte from 1 to 64",
    ],
    [
      "a frame above the limit",
      Uint8Array.of(FrameType.Stdin, 0xff, 0xff, 0xff, 0xff),
      "above the limit",
    ],
  ])("%s ends the command with the reason", async (_, frame, message) => {
    const marker = `sleep 83.${message.length}`;
    const frames = await new RawPeer(agent.path)
      .send(request(FrameType.ExecPipe, { command: marker }), frame)
      .frames();
    expect(text(frames, FrameType.Stderr)).toContain(message);
    expect(frames.at(-1)?.type).toBe(FrameType.Exit);
    await eventually("it is gone", () => processesWith(marker).length === 0);
    await expectAlive();
  });
});

describe("garbage", () => {
  test.each([
    ["text", Buffer.from("GET / HTTP/1.1\r\n\r\n"), "above the limit"],
    ["a length of 4 GiB", Uint8Array.of(FrameType.Exec, 0xff, 0xff, 0xff, 0xff), "above the limit"],
    ["an unknown type", encodeRawFrame(200, Buffer.from("{}")), "no session begins with"],
    [
      "a type of the other direction",
      encodeFrame(FrameType.Exit, Uint8Array.of(0, 0, 0, 0)),
      "no session begins with",
    ],
    // Without its payload, which may never come: a Hello of another protocol.
    ["the header of type 0", Uint8Array.of(0, 0, 0, 0x22, 0xa4), "no session begins with"],
    ["the header of type 200", Uint8Array.of(200, 0, 0, 0, 9, 1), "no session begins with"],
  ])("%s gets an error frame and a close", async (_, bytes, message) => {
    const frames = await new RawPeer(agent.path).send(bytes).frames();
    expect(text(frames, FrameType.Stderr)).toContain(message);
    await expectAlive();
  });

  test.each([
    ["no JSON", encodeFrame(FrameType.Exec, Buffer.from("{"))],
    ["an empty request", encodeFrame(FrameType.Exec, none)],
    ["JSON of the wrong kind", request(FrameType.Exec, [1])],
  ])("%s gets an error in the mode's own reply", async (_, bytes) => {
    const frames = await new RawPeer(agent.path).send(bytes).frames();
    expect(json(frames, FrameType.ExecResult)).toMatchObject({
      exit_code: 1,
      error: expect.any(String),
    });
    await expectAlive();
  });

  test("a close after any byte of a frame does no harm", async () => {
    const whole = request(FrameType.ExecPipe, { command: "sleep 84.5" });
    for (let length = 0; length < whole.length; length++) {
      const peer = new RawPeer(agent.path).send(whole.subarray(0, length));
      peer.socket.end();
      await peer.answer;
    }
    expect(processesWith("sleep 84.5")).toEqual([]);
    await expectAlive();
  });

  test("1,000 connections of random bytes leave no process and no descriptor", async () => {
    const descriptors = () => readdirSync(`/proc/${agent.running.pid}/fd`).length;
    const before = descriptors();
    let seed = 42;
    const random = () => (seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0) / 2 ** 32;
    for (let batch = 0; batch < 20; batch++) {
      await Promise.all(
        Array.from({ length: 50 }, () => {
          const bytes = Uint8Array.from({ length: Math.floor(random() * 200) }, () =>
            Math.floor(random() * 256),
          );
          // Short lengths and known types, so that it gets past the first check now and then.
          if (random() < 0.5 && bytes.length > 5)
            bytes.set([1 + Math.floor(random() * 17), 0, 0, 0, 10]);
          const peer = new RawPeer(agent.path).send(bytes);
          peer.socket.end();
          return peer.answer;
        }),
      );
    }
    await eventually("descriptors closed", () => descriptors() <= before);
    await expectAlive();
  });

  test("a silent connection is closed after the deadline for the first frame and delays no other client", async () => {
    const peer = new RawPeer(agent.path);
    await expectAlive();
    expect(text(await peer.frames(), FrameType.Stderr)).toContain("not received within 30 seconds");
  });
});

test("a connection beyond --max-sessions is refused with a reason", async () => {
  await using small = await TestAgent.start(["--max-sessions", "1"]);
  await using first = new Running(["exec", small.address, "--", "sh", "-c", "echo up; cat"]);
  const output = first.process.stdout.getReader();
  expect(new TextDecoder().decode((await output.read()).value)).toBe("up\n");
  const second = await vsockbox(["exec", small.address, "-n", "--", "true"]);
  expect(second).toMatchObject({ status: 77, stderr: expect.stringContaining("--max-sessions") });
  await first.process.stdin.end();
  expect(await first.process.exited).toBe(0);
});
