/** guest-exec-host: drives our guest, a guest in C and raw ones. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { eventually, Running, shell, ScratchDirectory, vsockbox } from "../support/binary.ts";
import { buildCGuest, commandFrame, received } from "../support/guest-exec.ts";
import { describeWith } from "../support/tools.ts";
import { listensAt } from "../support/process-state.ts";

let scratch: ScratchDirectory;
let path: string;
let address: string;
beforeEach(() => {
  scratch = new ScratchDirectory();
  path = scratch.file("vm4.sock_1024");
  address = `unix:${path}`;
});
afterEach(() => scratch[Symbol.dispose]());

async function hosting(...args: string[]): Promise<Running> {
  const host = new Running(["guest-exec-host", address, ...args]);
  await host.says("listening on");
  return host;
}

/** What the host printed, once it has ended. */
async function outcome(host: Running) {
  const stdout = await new Response(host.process.stdout).text();
  const status = await host.process.exited;
  await host.stderrDone;
  return { status, stdout, stderr: host.stderr };
}

/** A guest that only takes bytes. */
function rawGuest(): { socket: Socket; bytes: Promise<Buffer> } {
  const socket = connect({ path, allowHalfOpen: true });
  socket.on("error", () => undefined);
  return { socket, bytes: received(socket) };
}

const guest = (...args: string[]) => vsockbox(["guest-exec", address, ...args]);

describe("what goes over the wire", () => {
  test("disposable: the command, a NUL for the C program, and the end of input", async () => {
    await using host = await hosting("--once", "echo hi");
    const { bytes } = rawGuest();
    expect((await bytes).toString()).toBe("echo hi\0");
    expect((await outcome(host)).status).toBe(0);
  });

  test("disposable: a single read returns the whole command", async () => {
    const line = `: ${"x".repeat(2046)}`;
    await using _host = await hosting("--once", line);
    const { socket } = rawGuest();
    const first = await new Promise<Buffer>((resolve) => {
      socket.once("data", (chunk) => resolve(chunk as Buffer));
    });
    expect(first.length).toBe(2048);
  });

  test("persistent: a little-endian length before each", async () => {
    await using host = await hosting("--once", "--persistent", "-c", "echo a", "-c", "", "-c", "b");
    const { bytes } = rawGuest();
    expect(await bytes).toEqual(
      Buffer.concat([commandFrame("echo a"), commandFrame(""), commandFrame("b")]),
    );
    expect((await outcome(host)).status).toBe(0);
  });

  test.each([
    [["--", "printf", "%s", "a b", "$HOME"], "exec 'printf' %s 'a b' '$HOME'"],
    [["echo $HOME; date"], "echo $HOME; date"],
    [["--", "-x"], "-x"],
    [["-c", "echo 1"], "echo 1"],
  ])("%j is sent as %j", async (words, sent) => {
    await using _host = await hosting("--once", ...words);
    expect((await rawGuest().bytes).toString()).toBe(`${sent}\0`);
  });

  test("bytes that are not UTF-8 stay as they are", async () => {
    const file = scratch.file("script");
    writeFileSync(file, Buffer.from("echo '\xff'\n", "latin1"));
    await using _host = await hosting("--once", "--script", file);
    expect((await rawGuest().bytes).toString("latin1")).toBe("echo '\xff'\0");
    const result = shell(
      `vsockbox guest-exec-host unix:${scratch.file("b")} -q --once $'echo \\xff'`,
    );
    await eventually("it listens", () => listensAt(scratch.file("b")));
    const other = connect({ path: scratch.file("b"), allowHalfOpen: true });
    expect((await received(other)).toString("latin1")).toBe("echo \xff\0");
    expect((await result).status).toBe(0);
  });
});

describe("sources of commands", () => {
  test("a file: lines for a persistent guest", async () => {
    const file = scratch.file("commands");
    writeFileSync(file, "echo one\n\necho two");
    await using host = await hosting("--once", "--persistent", "--file", file);
    expect(await guest("persistent")).toMatchObject({ status: 0, stdout: "one\ntwo\n" });
    expect((await outcome(host)).status).toBe(0);
  });

  test("a script: the whole file for a disposable guest", async () => {
    const file = scratch.file("script");
    writeFileSync(file, "for i in 1 2; do\n  echo $i\ndone\nexit 5\n");
    await using _host = await hosting("--once", "--script", file);
    expect(await guest()).toMatchObject({ status: 5, stdout: "1\n2\n" });
  });

  test("standard input, line by line, as they come", async () => {
    await using host = await hosting("--persistent");
    const result = new Running(["guest-exec", address, "persistent"]);
    const reader = result.process.stdout.getReader();
    for (const word of ["one", "two"]) {
      host.process.stdin.write(`echo ${word}\n`);
      await host.process.stdin.flush();
      expect(Buffer.from((await reader.read()).value ?? []).toString()).toBe(`${word}\n`);
    }
    await host.process.stdin.end();
    expect(await result.process.exited).toBe(0);
    expect((await outcome(host)).status).toBe(0);
  });

  test("disposable guests get one line each, in the order of their connections", async () => {
    const ran = vsockbox(["guest-exec-host", address], { stdin: "echo one\necho two\n" });
    await eventually("it listens", () => listensAt(path));
    expect((await guest()).stdout).toBe("one\n");
    expect((await guest()).stdout).toBe("two\n");
    expect(await ran).toMatchObject({
      status: 0,
      stderr: expect.stringContaining("guest 2 has closed"),
    });
  });

  test("several -c for disposable guests: one each, then the end", async () => {
    await using host = await hosting("-c", "echo one", "-c", "echo two");
    expect([(await guest()).stdout, (await guest()).stdout]).toEqual(["one\n", "two\n"]);
    expect((await outcome(host)).status).toBe(0);
  });

  test.each([
    [["x".repeat(2049)], "send the command: it has 2049 bytes, and guests accept at most 2048"],
    [["-c", ""], "it is empty"],
    [["-c", "a", "--", "b"], "COMMAND cannot be used with --command"],
    [["--script", "/dev/null"], "it is empty"],
    [["--file", "/dev/null"], "/dev/null has no commands"],
    [["--cid", "3", "a"], "--cid needs a vsock address"],
    [[], "standard input has no commands"],
  ])("a usage error: case %#", async (words, message) => {
    const result = await vsockbox(["guest-exec-host", address, ...words]);
    expect(result).toMatchObject({ status: 64, stderr: expect.stringContaining(message) });
  });

  test("disposable, 2,048 bytes: no NUL fits, and a warning names what the C program does", async () => {
    await using host = await hosting("--once", "x".repeat(2048));
    expect(host.stderr).toContain("runs what its memory holds after it");
    expect((await rawGuest().bytes).length).toBe(2048);
  });

  test("2,048 bytes on standard input: the same warning", async () => {
    await using host = await hosting("--once");
    host.process.stdin.write("x".repeat(2048));
    await host.process.stdin.end();
    await host.says("runs what its memory holds after it");
  });

  test("2,048 bytes in persistent mode: a warning, since the C program overruns its buffer", async () => {
    await using host = await hosting("--once", "--persistent", "x".repeat(2048));
    expect(host.stderr).toContain("overruns its buffer");
  });
});

describe("--report", () => {
  test("output and exit status become the host's own", async () => {
    await using host = await hosting("--once", "--report", "echo out; echo err >&2; exit 7");
    await guest("--report");
    expect(await outcome(host)).toMatchObject({ status: 7, stdout: "out\n" });
    expect(host.stderr).toContain("\nerr\nvsockbox: guest 1: command 1 exited with status 7\n");
  });

  test("of several commands the largest status counts, and each failure is printed", async () => {
    await using host = await hosting(
      "--once",
      "--report",
      "--persistent",
      "-c",
      "exit 3",
      "-c",
      "kill -9 $$",
      "-c",
      "true",
    );
    await guest("persistent", "--report", "-q");
    const { status, stderr } = await outcome(host);
    expect(status).toBe(137);
    expect(stderr).toContain("guest 1: command 1 exited with status 3\n");
    expect(stderr).toContain("guest 1: command 2 was ended by SIGKILL\n");
    expect(stderr).not.toContain("command 3");
  });

  test("the host's output stays open until every report is in", async () => {
    await using host = await hosting(
      "--once",
      "--report",
      "--persistent",
      "-c",
      "one",
      "-c",
      "two",
    );
    const { socket } = rawGuest();
    const events: string[] = [];
    socket.on("data", (chunk) => void events.push(`${chunk.length} bytes`));
    socket.on("end", () => void events.push("end"));
    const report = '{"exit_code":4,"stdout":"aGk="}\n';
    socket.write(" ");
    await eventually("both commands are there", () => events.length > 0);
    socket.write(report);
    await host.says("command 1 exited with status 4");
    expect(events).not.toContain("end");
    socket.write(report);
    await eventually("the output ends", () => events.includes("end"));
    socket.end();
    expect(await outcome(host)).toMatchObject({ status: 4, stdout: "hihi" });
  });

  test("disposable with --report: the same", async () => {
    await using host = await hosting("--once", "--report", "echo hi");
    const { socket } = rawGuest();
    const events: string[] = [];
    socket.on("data", (chunk) => void events.push(String(chunk)));
    socket.on("end", () => void events.push("end"));
    socket.write(' {"exit_code":3,');
    await eventually("the command is there", () => events.length > 0);
    expect(events).toEqual(["echo hi\0"]);
    socket.write('"stdout":"aGk="}\n');
    await eventually("the output ends", () => events.includes("end"));
    socket.end();
    expect(await outcome(host)).toMatchObject({ status: 3, stdout: "hi" });
  });

  test("a guest without --report: 65, and how many are missing", async () => {
    await using host = await hosting(
      "--once",
      "--report",
      "--persistent",
      "-c",
      "true",
      "-c",
      "true",
    );
    await guest("persistent");
    expect(await outcome(host)).toMatchObject({
      status: 65,
      stderr: expect.stringMatching(
        /2 of 2 reports are missing[^]*hint: was the guest started with --report/,
      ),
    });
  });

  test.each([
    ["no JSON", "nonsense\n", "not JSON"],
    ["half a line", '{"exit_code":0', "closed inside a line"],
    [
      "one too many",
      '{"exit_code":0}\n{"exit_code":0}\n',
      "a report of a command that was not sent",
    ],
  ])("a guest that sends %s: 65", async (_, text, message) => {
    await using host = await hosting("--once", "--report", "true");
    const { socket, bytes } = rawGuest();
    await new Promise((resolve) => socket.once("data", resolve));
    socket.end(text);
    await bytes;
    expect(await outcome(host)).toMatchObject({
      status: 65,
      stderr: expect.stringContaining(message),
    });
  });

  test("--json: what happens, an object a line", async () => {
    await using host = new Running([
      "guest-exec-host",
      address,
      "--once",
      "--report",
      "--json",
      "echo hi; exit 2",
    ]);
    await eventually("it listens", () => listensAt(path));
    await guest("--report", "-q");
    const { status, stdout, stderr } = await outcome(host);
    expect([status, stderr]).toEqual([2, ""]);
    expect(
      stdout
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line) as object),
    ).toEqual([
      { event: "listening", address },
      { guest: "1", event: "connected", peer: "unix" },
      { guest: "1", command: 1, event: "stdout", text: "hi\n" },
      {
        guest: "1",
        command: 1,
        event: "exit",
        exit_code: 2,
        signal: null,
        timed_out: false,
        duration_ms: expect.any(Number),
      },
      { guest: "1", event: "closed", commands: 1, error: null },
    ]);
  });
});

describe("many guests", () => {
  test("each gets the command; output has their names in front", async () => {
    await using host = await hosting("--report", "echo from a guest; exit 3");
    const statuses = await Promise.all(Array.from({ length: 10 }, () => guest("--report", "-q")));
    expect(statuses.map(({ status }) => status)).toEqual(statuses.map(() => 3));
    await host.says("guest 10 has closed");
    host.process.kill("SIGTERM");
    const { status, stdout } = await outcome(host);
    expect(status).toBe(143);
    expect(stdout.trim().split("\n").sort()).toEqual(
      Array.from({ length: 10 }, (_, index) => `${index + 1} | from a guest`).sort(),
    );
  });

  test("persistent ones all get each line", async () => {
    await using host = await hosting("--persistent", "--report");
    const guests = [1, 2, 3].map(() => guest("persistent", "--report", "-q"));
    await host.says("guest 3 is connected");
    host.process.stdin.write("echo all\n");
    await host.process.stdin.end();
    expect((await Promise.all(guests)).map(({ stdout }) => stdout)).toEqual([
      "all\n",
      "all\n",
      "all\n",
    ]);
    expect((await outcome(host)).stdout.trim().split("\n").sort()).toEqual([
      "1 | all",
      "2 | all",
      "3 | all",
    ]);
  });

  test("one that breaks its connection is reported, and the others continue", async () => {
    await using host = await hosting("--report", "echo hi");
    const { socket } = rawGuest();
    await new Promise((resolve) => socket.once("data", resolve));
    socket.destroy();
    await host.says("guest 1: ");
    expect((await guest("--report")).status).toBe(0);
    await host.says("guest 2 has closed");
  });

  test("--once: a second one is refused", async () => {
    await using host = await hosting("--once", "sleep 0.5");
    const first = guest();
    await host.says("guest 1 is connected");
    expect((await guest()).status).toBe(69);
    expect((await first).status).toBe(0);
    expect((await outcome(host)).status).toBe(0);
    expect(existsSync(path)).toBe(false);
  });
});

describe("--timeout", () => {
  test("no guest: 75", async () => {
    expect(
      await vsockbox(["guest-exec-host", address, "--timeout", "200ms", "true"]),
    ).toMatchObject({
      status: 75,
      stderr: expect.stringContaining("no guest connected within 0.2 s"),
    });
  });

  test("a guest that has not ended: 124", async () => {
    await using host = await hosting("--once", "--timeout", "400ms", "--report", "true");
    const socket = connect({ path, allowHalfOpen: true });
    await host.says("guest 1 is connected");
    expect(await outcome(host)).toMatchObject({
      status: 124,
      stderr: expect.stringContaining("guest 1 has not ended within 0.4 s"),
    });
    socket.destroy();
  });
});

test("hybrid:PATH listens at the path to which a VMM connects for host port 1024", async () => {
  await using host = new Running([
    "guest-exec-host",
    `hybrid:${scratch.file("vm4.sock")}`,
    "--once",
    "echo hi",
  ]);
  await host.says("listening on");
  expect((await rawGuest().bytes).toString()).toBe("echo hi\0");
});

test("an address that is in use: 73", async () => {
  await using _host = await hosting("true");
  expect((await vsockbox(["guest-exec-host", address, "true"])).status).toBe(73);
});

describeWith(["gcc"], "a guest that is written in C", () => {
  const cGuest = async (...args: string[]) => {
    const program = await buildCGuest(scratch.file("guest"));
    const child = Bun.spawn([program, address, ...args], { stdout: "pipe", stderr: "inherit" });
    return { stdout: await new Response(child.stdout).text(), status: await child.exited };
  };

  test("runs a disposable command and nothing else, up to 2,047 bytes", async () => {
    for (const length of [6, 10, 63, 64, 1000, 2046, 2047]) {
      const word = "x".repeat(length - 5);
      await using host = await hosting("--once", `echo ${word}`);
      expect(await cGuest()).toEqual({ stdout: `${word}\n`, status: 0 });
      expect((await outcome(host)).status).toBe(0);
    }
  });

  test("runs persistent commands in order, and exits when the host has no more", async () => {
    const lines = Array.from(
      { length: 200 },
      (_, index) => `echo ${index} ${"y".repeat(index * 10)}`,
    );
    await using host = await hosting(
      "--once",
      "--persistent",
      ...lines.flatMap((line) => ["-c", line]),
    );
    const { stdout, status } = await cGuest("persistent");
    expect([status, stdout]).toEqual([
      0,
      lines.map((line) => `${line.slice(5).trimEnd()}\n`).join(""),
    ]);
    expect((await outcome(host)).status).toBe(0);
  });

  test("opens no AF_VSOCK outside a test guest", async () => {
    const program = await buildCGuest(scratch.file("guest"));
    const { VSOCKBOX_TEST_VM: _, ...env } = process.env;
    const child = Bun.spawn([program, "2:1024"], { env, stderr: "ignore" });
    expect(await child.exited).toBe(77);
  });

  test("reads lines as they are typed, and keeps its output", async () => {
    await using host = await hosting("--persistent");
    const ran = scratch.file("ran");
    const done = cGuest("persistent");
    await host.says("is connected");
    host.process.stdin.write(`echo first > ${ran}\n`);
    await host.process.stdin.flush();
    await eventually("it ran", () => existsSync(ran) && readFileSync(ran, "utf8") === "first\n");
    host.process.stdin.write("echo second\n");
    await host.process.stdin.end();
    expect(await done).toEqual({ stdout: "second\n", status: 0 });
    expect((await outcome(host)).status).toBe(0);
  });
});

test("--max-connections closes guests beyond it, until one has ended", async () => {
  await using host = await hosting("--persistent", "--max-connections", "1", "--file", "-");
  const first = rawGuest();
  await host.says("is connected");
  const second = rawGuest();
  expect(await second.bytes).toEqual(Buffer.alloc(0));
  await host.says("as many guests as --max-connections allows are connected");
  first.socket.end();
  await first.bytes;
  await eventually("another guest is served", async () => {
    const third = rawGuest();
    const isServed = await Promise.race([
      third.bytes.then(() => false),
      eventually("it is", () => (host.stderr.match(/is connected/g) ?? []).length > 1, 1000).then(
        () => true,
        () => false,
      ),
    ]);
    if (!isServed) third.socket.destroy();
    return isServed;
  });
});
