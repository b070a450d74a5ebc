/** The server of vsock-shell against clients that cheat, vanish, or are many. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import {
  BINARY,
  eventually,
  processesWith,
  ScratchDirectory,
  vsockbox,
} from "../support/binary.ts";
import { unnamedBytes } from "../support/unfinished.ts";
import { makeFile, raw, RawShell, sha256, TestShellServer } from "../support/vsock-shell.ts";
import { closeDescriptor, openPipe } from "../../src/ffi/socket.ts";
import { atRest } from "../support/process-state.ts";

const PTY_DATA = 0x07;
const OPEN_BASH = 0x08;
const OPEN_CMD = 0x09;
const WINDOW_SIZE = 0x0a;
const CLIENT_DATA = 0x0b;
const CLIENT_END = 0x0c;
const UPLOAD_START = 0x0d;
const DOWNLOAD_START = 0x0e;
const READY_SEND = 0x0f;
const READY_RECEIVE = 0x10;
const FILE_DATA = 0x11;
const FILE_DATA_END = 0x12;
const FILE_DATA_BEGIN = 0x13;
const FILE_DATA_END_ACK = 0x14;

let scratch: ScratchDirectory;
beforeEach(() => {
  scratch = new ScratchDirectory();
});
afterEach(() => scratch[Symbol.dispose]());

const part = () => readdirSync(scratch.path).filter((name) => name.includes("vsockbox-"));

describe("what bad input gets", () => {
  let server: TestShellServer;
  let neighbour: RawShell;
  beforeAll(async () => {
    server = await TestShellServer.start();
    // A session beside all that: it must not notice.
    neighbour = new RawShell(server.path).send(raw(OPEN_CMD, "cat\0"));
  });
  afterAll(async () => {
    neighbour.send(raw(CLIENT_DATA, "still here\n"));
    expect((await neighbour.until(PTY_DATA)).toString()).toContain("still here");
    neighbour.close();
    await server[Symbol.asyncDispose]();
  });

  const header = (type: number, length: number) => {
    const bytes = raw(type);
    bytes.writeUInt32LE(length, 8);
    return bytes;
  };
  const up = () => raw(UPLOAD_START, `x ${scratch.file("up")}\0`);

  const rows: [string, () => Buffer[], RegExp][] = [
    ["wrong magic", () => [raw(OPEN_BASH, "", 0xbabe_cafe)], /does not begin with 0xcafebabe/],
    ["another protocol", () => [Buffer.from("GET / HTTP/1.0\r\n\r\n")], /does not begin/],
    ["a type below the range", () => [raw(6)], /unknown message type 0x06/],
    ["a type above the range", () => [raw(0x15)], /unknown message type 0x15/],
    ["a type of 32 bits", () => [raw(0xffff_ffff)], /unknown message type 0xffffffff/],
    ["4,097 bytes", () => [header(OPEN_CMD, 4097)], /4097 bytes, more than 4096/],
    ["4 GiB", () => [header(OPEN_CMD, 0xffff_ffff)], /more than 4096/],
    ["input before an open", () => [raw(CLIENT_DATA, "x")], /before a session is open/],
    ["file data before a start", () => [raw(FILE_DATA, "x")], /before a session is open/],
    ["an end before a start", () => [raw(FILE_DATA_END)], /before a session is open/],
    ["a server's message", () => [raw(CLIENT_END)], /before a session is open/],
    ["two opens", () => [raw(OPEN_BASH), raw(OPEN_BASH)], /second session/],
    ["an open in an upload", () => [up(), raw(OPEN_BASH)], /in an upload/],
    ["a start in a shell", () => [raw(OPEN_BASH), up()], /in a terminal session/],
    ["wrong magic in a shell", () => [raw(OPEN_BASH), raw(CLIENT_DATA, "", 1)], /begin with/],
    ["wrong magic in a file", () => [up(), raw(FILE_DATA, "x"), raw(8, "", 1)], /begin with/],
    ["a size of 3 bytes", () => [raw(WINDOW_SIZE, "abc")], /3 bytes, not 8/],
    ["an empty command", () => [raw(OPEN_CMD, "\0")], /command is empty/],
    ["no destination", () => [raw(UPLOAD_START, "/etc/hostname\0")], /source and destination/],
    ["an upload to a directory", () => [raw(UPLOAD_START, "x /tmp/\0")], /not a file name/],
    ["an upload over something", () => [raw(UPLOAD_START, "x /etc/passwd\0")], /it exists/],
    ["an upload to nowhere", () => [raw(UPLOAD_START, "x /no/such/f\0")], /ENOENT/],
    ["a download of nothing", () => [raw(DOWNLOAD_START, "/no/such x\0")], /ENOENT/],
    ["a download of a device", () => [raw(DOWNLOAD_START, "/dev/zero x\0")], /not a regular file/],
    ["a download of a directory", () => [raw(DOWNLOAD_START, "/etc x\0")], /it is a directory/],
    [
      "data in a download",
      () => [raw(DOWNLOAD_START, "/etc/passwd x\0"), raw(FILE_DATA, "x")],
      /in a download/,
    ],
    ["JSON that is none", () => [raw(OPEN_BASH, "\0{")], /not JSON/],
    [
      "a path that is none",
      () => [raw(UPLOAD_START, 'x y\0{"v":1,"path":1}')],
      /path is not a path/,
    ],
  ];

  test.each(rows)("%s: a clear error, and the session alone ends", async (_, messages, reason) => {
    const client = new RawShell(server.path).send(...messages());
    const answer = await client.rest();
    const refusals = answer.filter(({ type, data }) => {
      return (type === READY_SEND || type === READY_RECEIVE) && data.toString().startsWith("KO");
    });
    expect(refusals.map(({ data }) => data.toString())).toEqual([
      expect.stringMatching(reason),
      expect.stringMatching(reason),
    ]);
    const text = answer.filter(({ type }) => type === PTY_DATA).map(({ data }) => data.toString());
    expect(text.join("")).toMatch(reason);
    expect(answer.at(-1)).toEqual({ type: CLIENT_END, data: Buffer.alloc(0) });
    await eventually("it is logged", () => reason.test(server.running.stderr));
    expect(readdirSync(scratch.path)).toEqual([]);
  });

  test("a vanished client in the middle of a file: nothing stands under its name", async () => {
    const client = new RawShell(server.path).send(up());
    await client.until(READY_SEND);
    client.send(raw(FILE_DATA_BEGIN), raw(FILE_DATA, "half of it"));
    const received = () => unnamedBytes(server.running.pid, scratch.path);
    await eventually("it is on its way", () => received() > 0);
    client.close();
    await eventually("it is closed", () => received() === 0);
    expect(readdirSync(scratch.path)).toEqual([]);
  });

  test("a file that another process creates in the meantime stays", async () => {
    const client = new RawShell(server.path).send(up());
    await client.until(READY_SEND);
    writeFileSync(scratch.file("up"), "first");
    client.send(raw(FILE_DATA, "second"), raw(FILE_DATA_END));
    expect((await client.until(READY_SEND)).toString()).toMatch(/KO .*it exists/);
    expect(readFileSync(scratch.file("up"), "utf8")).toBe("first");
    expect(part()).toEqual([]);
  });

  test("a file that is sent twice at once is refused the second time", async () => {
    const first = new RawShell(server.path).send(up());
    await first.until(READY_SEND);
    const second = new RawShell(server.path).send(up());
    expect((await second.until(READY_SEND)).toString()).toMatch(/another transfer is writing it/);
    first.send(raw(FILE_DATA, "first"), raw(FILE_DATA_END));
    await first.until(FILE_DATA_END_ACK);
    expect(readFileSync(scratch.file("up"), "utf8")).toBe("first");
    first.close();
  });

  test("a link in the destination's place is not followed", async () => {
    symlinkSync("/etc/vsockbox-never", scratch.file("up"));
    const client = new RawShell(server.path).send(up());
    expect((await client.until(READY_SEND)).toString()).toMatch(/KO .*it exists/);
    expect(existsSync("/etc/vsockbox-never")).toBe(false);
    await client.rest();
  });
});

describe("a session", () => {
  test("gets the size that came before its open, and later ones", async () => {
    await using server = await TestShellServer.start();
    const size = (rows: number, cols: number) => {
      const bytes = Buffer.alloc(8);
      bytes.writeUInt16LE(rows, 0);
      bytes.writeUInt16LE(cols, 2);
      return raw(WINDOW_SIZE, bytes);
    };
    const client = new RawShell(server.path);
    client.send(size(33, 99), raw(OPEN_CMD, "stty size; read x; stty size; exit 9\0"));
    expect(
      (await client.until(PTY_DATA)).toString() || (await client.until(PTY_DATA)).toString(),
    ).toBe("33 99\r\n");
    client.send(size(44, 111), raw(CLIENT_DATA, "\n"));
    const rest = await client.rest();
    const output = rest.filter(({ type }) => type === PTY_DATA).map(({ data }) => data.toString());
    expect(output.join("")).toBe("\r\n44 111\r\n");
    expect(rest.at(-1)?.data.toString("hex")).toBe("09000000");
  });

  test("reports 128 + N for signal N", async () => {
    await using server = await TestShellServer.start();
    const client = new RawShell(server.path).send(raw(OPEN_CMD, "kill -9 $$\0"));
    expect((await client.until(CLIENT_END)).readInt32LE(0)).toBe(137);
  });

  test("uses another shell, and reports it if none exists", async () => {
    await using server = await TestShellServer.start(["--shell", "/bin/sh"]);
    const client = new RawShell(server.path).send(raw(OPEN_CMD, "echo $SHELL $0\0"));
    expect((await client.until(PTY_DATA)).toString()).toContain("/bin/sh");
    await using none = await TestShellServer.start(["--shell", "/no/shell"]);
    const refused = new RawShell(none.path).send(raw(OPEN_BASH));
    expect((await refused.until(READY_SEND)).toString()).toMatch(/KO run \/no\/shell: .*not found/);
  });

  test("greets a silent client after a pause", async () => {
    await using server = await TestShellServer.start();
    const client = new RawShell(server.path);
    expect(await client.next()).toEqual({ type: PTY_DATA, data: Buffer.alloc(0) });
    expect(await client.next()).toEqual({ type: PTY_DATA, data: Buffer.alloc(0) });
    client.send(raw(OPEN_CMD, "exit 3\0"));
    expect((await client.until(CLIENT_END)).readInt32LE(0)).toBe(3);
  });

  test("wakes an upload that stalls", async () => {
    await using server = await TestShellServer.start();
    const client = new RawShell(server.path);
    client.send(raw(UPLOAD_START, `x ${scratch.file("up")}\0`));
    await client.until(READY_SEND);
    for (let index = 0; index < 125; index++) client.send(raw(FILE_DATA, "x".repeat(4096)));
    expect(await client.until(PTY_DATA)).toHaveLength(0);
    client.send(raw(FILE_DATA_END));
    await client.until(FILE_DATA_END_ACK);
    expect(statSync(scratch.file("up")).size).toBe(125 * 4096);
    client.close();
  });

  test("ends when nothing comes or goes for --idle-timeout", async () => {
    await using server = await TestShellServer.start(["--idle-timeout", "300ms"]);
    const client = new RawShell(server.path).send(raw(OPEN_CMD, "sleep 92.5\0"));
    await client.rest();
    await eventually("it is gone", () => processesWith("sleep 92.5").length === 0);
  });

  test("is notified when the server stops, and its command ends", async () => {
    await using server = await TestShellServer.start();
    const shell = new RawShell(server.path).send(raw(OPEN_CMD, "sleep 91.5\0"));
    const silent = new RawShell(server.path);
    await eventually("it runs", () => processesWith("sleep 91.5").length > 0);
    server.running.process.kill("SIGTERM");
    const said = (await shell.rest()).map(({ data }) => data.toString()).join("");
    expect(said).toContain("the server was stopped");
    await silent.rest();
    expect(await server.running.process.exited).toBe(0);
    expect(processesWith("sleep 91.5")).toEqual([]);
    expect(existsSync(server.path)).toBe(false);
  });
});

describe("--root", () => {
  let server: TestShellServer;
  let root: string;
  beforeEach(async () => {
    root = scratch.file("root");
    mkdirSync(`${root}/sub`, { recursive: true });
    writeFileSync(`${root}/sub/inside`, "inside");
    writeFileSync(scratch.file("outside"), "outside");
    symlinkSync("../outside", `${root}/link`);
    symlinkSync(scratch.path, `${root}/up`);
    server = await TestShellServer.start(["--root", root]);
  });
  afterEach(() => server[Symbol.asyncDispose]());

  const client = (...args: string[]) =>
    vsockbox(["shell-client", server.address, ...args], { cwd: scratch.path });

  test.each(["sub/inside", "./sub/../sub/inside"])("%s can be downloaded", async (path) => {
    expect(await client("-d", `${path}:got`)).toMatchObject({ status: 0, stderr: "" });
    expect(readFileSync(scratch.file("got"), "utf8")).toBe("inside");
  });

  test.each(["../outside", "link", "up/outside", "/etc/passwd", "sub/../../outside"])(
    "%s is refused, in either form",
    async (path) => {
      for (const form of [[], ["--plain"]]) {
        const { status, stderr } = await client(...form, "-d", `${path}:got`);
        expect([status, stderr]).toEqual([77, expect.stringMatching(/leads out of .*root/)]);
      }
      const { status } = await client("-R", "-d", `${path}:got`);
      expect(status).toBe(77);
      expect(existsSync(scratch.file("got"))).toBe(false);
    },
  );

  test.each(["../new", "up/new", "/tmp/vsockbox-never"])("%s cannot be written", async (path) => {
    for (const form of [[], ["--plain"], ["--force"]]) {
      const { status, stderr } = await client(...form, "-u", `outside:${path}`);
      expect([status, stderr]).toEqual([77, expect.stringMatching(/leads out of/)]);
    }
    expect([existsSync(scratch.file("new")), existsSync("/tmp/vsockbox-never")]).toEqual([
      false,
      false,
    ]);
  });

  test("a link below a downloaded directory stays a link", async () => {
    expect(await client("-R", "-d", ".:got")).toMatchObject({ status: 0 });
    expect(readdirSync(scratch.file("got")).sort()).toEqual(["link", "sub", "up"]);
    expect(readFileSync(scratch.file("got/sub/inside"), "utf8")).toBe("inside");
    expect(readlinkSync(scratch.file("got/link"))).toBe("../outside");
  });

  test("sessions begin there, unless there are none", async () => {
    expect((await client("pwd")).stdout).toBe(`${root}\r\n`);
    await using files = await TestShellServer.start(["--root", root, "--files-only"]);
    expect(await vsockbox(["shell-client", files.address, "pwd"])).toMatchObject({
      status: 77,
      stderr: expect.stringContaining("files only"),
    });
  });
});

describe("clients that are killed", () => {
  let server: TestShellServer;
  let before: ReturnType<TestShellServer["state"]>;
  beforeAll(async () => {
    server = await TestShellServer.start();
    // What the first session of each kind loads stays.
    const source = makeFile("/tmp/vsockbox-warm", 1000);
    await vsockbox(["shell-client", server.address, "true"]);
    await vsockbox(["shell-client", server.address, "-f", "-u", `${source}:${source}.up`]);
    await vsockbox([
      "shell-client",
      server.address,
      "-f",
      "--plain",
      "-u",
      `${source}:${source}.up`,
    ]);
    await vsockbox(["shell-client", server.address, "-f", "-d", `${source}:${source}.up`]);
    Bun.spawnSync(["rm", source, `${source}.up`]);
    before = server.state();
  });
  afterAll(() => server[Symbol.asyncDispose]());

  const spawn = (...args: string[]) =>
    Bun.spawn([BINARY, "shell-client", server.address, ...args], {
      env: { ...process.env, VSOCKBOX_NO_VSOCK: "1" },
      stdio: ["pipe", "pipe", "pipe"],
    });

  const kill = async (child: Bun.Subprocess) => {
    child.kill("SIGKILL");
    await child.exited;
    await server.returnsTo(before);
  };

  test("before the open", async () => {
    const client = new RawShell(server.path);
    await client.until(PTY_DATA);
    client.close();
    const half = new RawShell(server.path).send(raw(OPEN_CMD, "true\0").subarray(0, 7));
    await half.until(PTY_DATA);
    half.close();
    await server.returnsTo(before);
  });

  test("in a command", async () => {
    const child = spawn("sleep 90.5");
    await eventually("it runs", () => processesWith("sleep 90.5").some((pid) => pid !== child.pid));
    await kill(child);
    await eventually("nothing is left", () => processesWith("sleep 90.5").length === 0);
  });

  test("with output pending", async () => {
    // A pipe of our own: the runtime would read one of its own to the end.
    const { read, write } = openPipe();
    const child = Bun.spawn([BINARY, "shell-client", server.address, "yes"], {
      env: { ...process.env, VSOCKBOX_NO_VSOCK: "1" },
      stdio: ["pipe", write, "pipe"],
    });
    closeDescriptor(write);
    await eventually("it runs", () => server.state().children > before.children);
    // Nobody reads its output: it stops, and then the server does.
    await atRest(child.pid, server.running.pid);
    await kill(child);
    closeDescriptor(read);
  });

  test("in the middle of an upload, in either form", async () => {
    const source = makeFile(scratch.file("source"), 200_000_000);
    for (const form of [[], ["--plain"]]) {
      const child = spawn(...form, "-u", `${source}:${scratch.file("target")}`);
      const received = () => unnamedBytes(server.running.pid, scratch.path);
      await eventually("it is on its way", () => received() > 0);
      await kill(child);
      await eventually("it is closed", () => received() === 0);
      expect(part()).toEqual([]);
      expect(existsSync(scratch.file("target"))).toBe(false);
    }
  });

  test("in the middle of a download, in either form", async () => {
    const source = makeFile(scratch.file("source"), 200_000_000);
    for (const form of [[], ["--plain"]]) {
      const child = spawn(...form, "-d", `${source}:${scratch.file("target")}`);
      await eventually("it is on its way", () => unnamedBytes(child.pid, scratch.path) > 0);
      await kill(child);
      expect(existsSync(scratch.file("target"))).toBe(false);
      // Not even a client that is killed leaves anything.
      expect(part()).toEqual([]);
    }
    expect(
      await vsockbox(["shell-client", server.address, "-d", `${source}:${scratch.file("target")}`]),
    ).toMatchObject({ status: 0 });
    expect(part()).toEqual([]);
  });

  test("two hundred of them do not grow the memory", async () => {
    const rounds = async (count: number) => {
      for (let index = 0; index < count; index++) {
        const client = new RawShell(server.path).send(raw(OPEN_CMD, "yes\0"));
        await client.until(PTY_DATA);
        client.close();
      }
      await server.returnsTo(before);
      return server.state().rssMib;
    };
    // A heap first grows to its size.
    const first = await rounds(100);
    expect(await rounds(100)).toBeLessThan(first + 30);
  });
});

describe("many at once", () => {
  test("50 shells and 10 transfers", async () => {
    await using server = await TestShellServer.start();
    const before = server.state();
    const source = makeFile(scratch.file("source"), 30_000_000);
    const wanted = await sha256(source);
    const shell = async (index: number) => {
      const client = new RawShell(server.path).send(raw(OPEN_BASH));
      const seen: string[] = [];
      for (let turn = 0; turn < 5; turn++) {
        client.send(raw(CLIENT_DATA, `echo $((${index} * 1000 + ${turn}))-\n`));
        while (!seen.join("").includes(`${index * 1000 + turn}-\r\n`)) {
          seen.push((await client.until(PTY_DATA)).toString());
        }
      }
      client.send(raw(CLIENT_DATA, `exit ${index}\n`));
      return (await client.until(CLIENT_END)).readInt32LE(0);
    };
    const transfer = async (index: number) => {
      const target = scratch.file(`target-${index}`);
      const form = index % 4 < 2 ? [] : ["--plain"];
      const way = index % 2 === 0 ? "-u" : "-d";
      const run = await vsockbox([
        "shell-client",
        server.address,
        ...form,
        way,
        `${source}:${target}`,
      ]);
      expect(run).toMatchObject({ status: 0, stderr: "" });
      return sha256(target);
    };
    const shells = Promise.all(Array.from({ length: 50 }, (_, index) => shell(index)));
    const hashes = await Promise.all(Array.from({ length: 10 }, (_, index) => transfer(index)));
    expect(new Set(hashes)).toEqual(new Set([wanted]));
    expect(await shells).toEqual(Array.from({ length: 50 }, (_, index) => index));
    await server.returnsTo(before);
  });
});
