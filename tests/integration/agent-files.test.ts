/** The agent's file frames and PortForward, frame by frame. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  chmodSync,
  chownSync,
  lchownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import { goFileMode, unixMode } from "../../src/protocols/agent/file-messages.ts";
import { encodeJsonFrame, FrameType } from "../../src/protocols/agent/frame.ts";
import { ScratchDirectory, TestAgent } from "../support/binary.ts";
import { json, RawPeer, text } from "../support/raw-peer.ts";

let agent: TestAgent;
let scratch: ScratchDirectory;
beforeAll(async () => {
  agent = await TestAgent.start();
  scratch = new ScratchDirectory();
});
afterAll(async () => {
  await agent[Symbol.asyncDispose]();
  scratch[Symbol.dispose]();
});

const base64 = (value: string) => Buffer.from(value).toString("base64");
const modeOf = (path: string) => (statSync(path).mode & 0o7777).toString(8);
const peer = (type: FrameType, value: unknown) =>
  new RawPeer(agent.path).send(encodeJsonFrame(type, value));

async function ask(type: FrameType, value: unknown): Promise<Record<string, unknown>> {
  const frames = await peer(type, value).frames();
  expect(frames.map((frame) => frame.type)).toEqual([FrameType.FileResult]);
  return json(frames, FrameType.FileResult);
}

describe("WriteFile (14)", () => {
  test("makes the file and its parents, with 0644 without a mode", async () => {
    const path = scratch.file("a/b/new");
    expect(await ask(FrameType.WriteFile, { path, content: base64("text"), mode: 0 })).toEqual({});
    expect([readFileSync(path, "utf8"), modeOf(path), modeOf(scratch.file("a/b"))]).toEqual([
      "text",
      "644",
      "755",
    ]);
  });

  test("sets the mode of a new file, whatever the umask", async () => {
    const path = scratch.file("script");
    await ask(FrameType.WriteFile, { path, content: base64("#!"), mode: 0o777 });
    expect(modeOf(path)).toBe("777");
  });

  test("replaces an existing file, keeps its mode, and leaves nothing beside it", async () => {
    mkdirSync(scratch.file("one"));
    const path = scratch.file("one/file");
    writeFileSync(path, "a longer text than the new one");
    chmodSync(path, 0o600);
    expect(await ask(FrameType.WriteFile, { path, content: base64("new"), mode: 0o755 })).toEqual(
      {},
    );
    expect([readFileSync(path, "utf8"), modeOf(path)]).toEqual(["new", "600"]);
    expect(readdirSync(scratch.file("one"))).toEqual(["file"]);
  });

  test("follows a symbolic link", async () => {
    writeFileSync(scratch.file("real"), "old");
    symlinkSync("real", scratch.file("link"));
    await ask(FrameType.WriteFile, {
      path: scratch.file("link"),
      content: base64("through"),
      mode: 0,
    });
    expect(readFileSync(scratch.file("real"), "utf8")).toBe("through");
    expect(lstatSync(scratch.file("link")).isSymbolicLink()).toBe(true);
  });

  test.skipIf(process.getuid?.() !== 0)(
    "follows no link of another user in a directory for all, and keeps no set-ID bits",
    async () => {
      mkdirSync(scratch.file("for-all"));
      chmodSync(scratch.file("for-all"), 0o1777);
      const real = scratch.file("set-id");
      writeFileSync(real, "old");
      chownSync(real, 12345, 12345);
      chmodSync(real, 0o4755);
      const path = scratch.file("for-all/link");
      symlinkSync(real, path);
      lchownSync(path, 12345, 12345);
      const refused = { error: expect.stringContaining("user 12345 has created a symbolic link") };
      expect(await ask(FrameType.WriteFile, { path, content: base64("new") })).toEqual(refused);
      expect(await ask(FrameType.ReadFile, { path })).toEqual(refused);
      expect([readFileSync(real, "utf8"), modeOf(real)]).toEqual(["old", "4755"]);
      lchownSync(path, 0, 0);
      expect(await ask(FrameType.WriteFile, { path, content: base64("new") })).toEqual({});
      expect([readFileSync(real, "utf8"), modeOf(real)]).toEqual(["new", "755"]);
      expect(statSync(real).uid).toBe(12345);
    },
  );

  test("writes to a device as it is", async () => {
    expect(await ask(FrameType.WriteFile, { path: "/dev/null", content: base64("x") })).toEqual({});
    expect(lstatSync("/dev/null").isCharacterDevice()).toBe(true);
  });

  test("an empty file, also with content null", async () => {
    const path = scratch.file("empty");
    expect(await ask(FrameType.WriteFile, { path, content: null, mode: 0 })).toEqual({});
    expect(statSync(path).size).toBe(0);
  });

  test("20 MB in one frame", async () => {
    const path = scratch.file("large");
    const content = Buffer.alloc(20_000_000, "0123456789");
    expect(await ask(FrameType.WriteFile, { path, content: content.toString("base64") })).toEqual(
      {},
    );
    expect(Buffer.compare(readFileSync(path), content)).toBe(0);
  });

  test.each([
    [{ content: "eA==" }, "path is missing"],
    [{ path: "a\0b", content: "" }, "NUL"],
    [{ path: "/tmp", content: "eA==" }, "EISDIR"],
    [{ path: "/dev/null/x", content: "eA==" }, "ENOTDIR"],
    [{ path: "/x", content: "?" }, "base64"],
    [{ path: "/x", mode: -1 }, "mode"],
    [[], "not a JSON object"],
  ])("refuses %j in words", async (request, message) => {
    expect(await ask(FrameType.WriteFile, request)).toEqual({
      error: expect.stringContaining(message),
    });
  });
});

describe("ReadFile (15)", () => {
  test("returns the content", async () => {
    writeFileSync(scratch.file("read"), "content");
    expect(await ask(FrameType.ReadFile, { path: scratch.file("read") })).toEqual({
      content: base64("content"),
    });
  });

  test("returns exactly 16 MiB, and refuses one byte more", async () => {
    const path = scratch.file("limit");
    writeFileSync(path, Buffer.alloc(16 * 1024 * 1024, 1));
    const { content } = await ask(FrameType.ReadFile, { path });
    expect(Buffer.from(String(content), "base64").length).toBe(16 * 1024 * 1024);
    writeFileSync(path, Buffer.alloc(16 * 1024 * 1024 + 1));
    expect(await ask(FrameType.ReadFile, { path })).toEqual({
      error: expect.stringContaining("more than 16777216 bytes"),
    });
  });

  test("reads files of /proc, whose size is 0", async () => {
    const { content } = await ask(FrameType.ReadFile, { path: "/proc/sys/kernel/ostype" });
    expect(Buffer.from(String(content), "base64").toString()).toBe("Linux\n");
  });

  test("does not wait at a FIFO", async () => {
    Bun.spawnSync(["mkfifo", scratch.file("fifo")]);
    expect(await ask(FrameType.ReadFile, { path: scratch.file("fifo") })).toEqual({
      error: expect.stringContaining("not a regular file"),
    });
  });

  test.each([
    ["/no/such/file", "ENOENT"],
    ["/tmp", "not a regular file"],
    ["/dev/zero", "not a regular file"],
  ])("refuses %s", async (path, message) => {
    expect(await ask(FrameType.ReadFile, { path })).toEqual({
      error: expect.stringContaining(message),
    });
  });
});

describe("ListFiles (16)", () => {
  test("returns one level, sorted by name, with Go's modes", async () => {
    const path = scratch.file("list");
    mkdirSync(join(path, "dir/deeper"), { recursive: true });
    writeFileSync(join(path, "b"), "12345");
    chmodSync(join(path, "b"), 0o640);
    writeFileSync(join(path, "B"), "");
    chmodSync(join(path, "B"), 0o4755);
    symlinkSync("nowhere", join(path, "a"));
    chmodSync(join(path, "dir"), 0o1777);
    const { files } = await ask(FrameType.ListFiles, { path });
    expect(files).toEqual([
      { name: "B", size: 0, mode: 2 ** 23 + 0o755, is_dir: false },
      { name: "a", size: 7, mode: 2 ** 27 + 0o777, is_dir: false },
      { name: "b", size: 5, mode: 0o640, is_dir: false },
      { name: "dir", size: expect.any(Number), mode: 2 ** 31 + 2 ** 20 + 0o777, is_dir: true },
    ]);
  });

  test("an empty directory has no files, a missing one is an error", async () => {
    mkdirSync(scratch.file("nothing"));
    expect(await ask(FrameType.ListFiles, { path: scratch.file("nothing") })).toEqual({});
    expect(await ask(FrameType.ListFiles, { path: scratch.file("none") })).toEqual({
      error: expect.stringContaining("ENOENT"),
    });
    expect(await ask(FrameType.ListFiles, { path: "/etc/passwd" })).toEqual({
      error: expect.stringContaining("ENOTDIR"),
    });
  });

  test("devices, pipes and sockets have Go's type bits", () => {
    expect(goFileMode(lstatSync("/dev/null").mode)).toBe(2 ** 26 + 2 ** 21 + 0o666);
    expect(goFileMode(0o010644)).toBe(2 ** 25 + 0o644);
    expect(goFileMode(lstatSync(agent.path).mode)).toBe(2 ** 24 + 0o600);
    expect(unixMode(2 ** 23 + 2 ** 22 + 2 ** 20 + 0o751)).toBe(0o7751);
    expect(existsSync(agent.path)).toBe(true);
  });
});

describe("PortForward (13)", () => {
  let server: Server;
  let port: number;
  beforeAll(async () => {
    // Answers only after the end of input: half-close must be carried over.
    server = createServer({ allowHalfOpen: true }, (socket) => {
      let count = 0;
      socket.on("error", () => undefined);
      socket.on("data", (chunk) => (count += chunk.length));
      socket.on("end", () => socket.end(`got ${count}`));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const address = server.address();
    port = typeof address === "object" && address !== null ? address.port : 0;
  });
  afterAll(() => void server.close());

  test.each([["127.0.0.1"], [""], ["localhost"]])(
    "to %j: Ready, then raw bytes with half-close",
    async (host) => {
      const client = peer(FrameType.PortForward, { host, port }).send(Buffer.alloc(1_000_000));
      client.socket.end();
      const answer = await client.answer;
      expect([...answer.subarray(0, 5)]).toEqual([FrameType.Ready, 0, 0, 0, 0]);
      expect(answer.subarray(5).toString()).toBe("got 1000000");
    },
  );

  test.each([
    [{ port: 0 }, "port 0"],
    [{}, "port 0"],
    [{ port: 65_536 }, "from 0 to 65535"],
    [{ port: 1, host: "127.0.0.1" }, "127.0.0.1:1"],
    [{ port: 1, host: "no.such.host.invalid" }, "no.such.host.invalid"],
  ])("refuses %j with a Stderr frame", async (request, message) => {
    const frames = await peer(FrameType.PortForward, request).frames();
    expect(frames.map(({ type }) => type)).toEqual([FrameType.Stderr]);
    expect(text(frames, FrameType.Stderr)).toContain(message);
  });
});
