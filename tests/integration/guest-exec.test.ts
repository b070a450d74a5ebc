/** guest-exec against hosts that are none of ours: every row of the protocol's tables. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import {
  BINARY,
  eventually,
  processesWith,
  Running,
  type RunOptions,
  shell,
  ScratchDirectory,
  vsockbox,
} from "../support/binary.ts";
import { commandFrame, RawHost, received } from "../support/guest-exec.ts";

let scratch: ScratchDirectory;
let path: string;
let address: string;
let host: RawHost;
beforeEach(async () => {
  scratch = new ScratchDirectory();
  path = scratch.file("host.sock");
  address = `unix:${path}`;
  host = await RawHost.listen(path);
});
afterEach(async () => {
  await host[Symbol.asyncDispose]();
  scratch[Symbol.dispose]();
});

/** Runs guest-exec against a host that sends these bytes and ends its output. */
async function guestOf(
  parts: readonly (string | Uint8Array)[],
  args: readonly string[] = [],
  options: RunOptions = {},
) {
  const result = vsockbox(["guest-exec", address, ...args], options);
  const socket = await host.guest();
  const answer = received(socket);
  for (const part of parts) socket.write(part as Uint8Array);
  socket.end();
  return { ...(await result), answer: await answer };
}

const persistent = (...frames: Uint8Array[]) => guestOf(frames, ["persistent"]);

describe("a disposable guest", () => {
  test("runs the command on its own output, and exits with its status", async () => {
    expect(await guestOf(["echo out; echo err >&2; exit 7"])).toEqual({
      status: 7,
      stdout: "out\n",
      stderr: "err\n",
      answer: Buffer.alloc(0),
    });
  });

  test("ended by a signal: 128 + N", async () => {
    expect((await guestOf(["kill -9 $$"])).status).toBe(137);
  });

  test.each(["Persistent", "disposable", "", "x"])(
    "is what the second word %j means",
    async (word) => {
      expect(await guestOf(["echo once"], [word])).toMatchObject({ status: 0, stdout: "once\n" });
    },
  );

  test.each([
    ["a NUL", "echo hi\0"],
    ["a newline", "echo hi\n"],
    ["a whole buffer", `echo hi${"\0".repeat(2041)}`],
  ])("treats %s after the command as not part of it", async (_, command) => {
    expect(await guestOf([command])).toMatchObject({ status: 0, stdout: "hi\n", stderr: "" });
  });

  test("a command in pieces is one command", async () => {
    const result = vsockbox(["guest-exec", address, "--settle", "30s"]);
    const socket = await host.guest();
    for (const piece of ["echo ", "in ", "pieces"]) {
      socket.write(piece);
      await Bun.sleep(50);
    }
    socket.end();
    expect(await result).toMatchObject({ status: 0, stdout: "in pieces\n" });
  });

  test("a host that closes at once, or keeps its end open, is served as well", async () => {
    const closing = vsockbox(["guest-exec", address]);
    (await host.guest()).end("echo closed").destroySoon();
    expect(await closing).toMatchObject({ status: 0, stdout: "closed\n" });

    const open = vsockbox(["guest-exec", address]);
    (await host.guest()).write("echo open");
    expect(await open).toMatchObject({ status: 0, stdout: "open\n" });
  });

  test("2,048 bytes are run, more are not", async () => {
    const line = (bytes: number) => `echo ${"x".repeat(bytes - 5)}`;
    expect(await guestOf([line(2048)])).toMatchObject({
      status: 0,
      stdout: `${"x".repeat(2043)}\n`,
    });
    expect(await guestOf([line(2049)])).toMatchObject({
      status: 65,
      stdout: "",
      stderr: expect.stringContaining("a command of at least 2049 bytes, above the limit of 2048"),
    });
  });

  test("a host that closes without a word: 65", async () => {
    expect(await guestOf([])).toMatchObject({
      status: 65,
      stderr: expect.stringContaining("closed the connection without sending a command"),
    });
  });

  test("bytes that are not UTF-8 are run byte for byte", async () => {
    const command = Buffer.from("printf '%s' 'a\xff\xfe\xc3(b'; exit 3", "latin1");
    const result = vsockbox(["guest-exec", address, "--json"]);
    (await host.guest()).end(command);
    const { status, stdout } = await result;
    const [output] = stdout
      .split("\n")
      .map((line) => JSON.parse(line || "{}") as { base64?: string });
    expect(status).toBe(3);
    expect(Buffer.from(output?.base64 ?? "", "base64").toString("latin1")).toBe("a\xff\xfe\xc3(b");
  });

  test("a NUL inside: 65, and nothing is run", async () => {
    expect(await guestOf([`touch ${scratch.file("ran")}\0 x`])).toMatchObject({
      status: 65,
      stderr: expect.stringContaining("a NUL byte inside the command"),
    });
    expect(existsSync(scratch.file("ran"))).toBe(false);
  });

  test("a command that begins with a dash is not an option of the shell", async () => {
    expect(await guestOf(["-x"])).toMatchObject({
      status: 127,
      stderr: expect.stringContaining("not found"),
    });
  });

  test("the connection stays until the command has ended", async () => {
    const result = vsockbox(["guest-exec", address]);
    const socket = await host.guest();
    let closed = false;
    const answer = received(socket).then(() => (closed = true));
    socket.end(
      `touch ${scratch.file("up")}; until [ -e ${scratch.file("go")} ]; do sleep 0.05; done`,
    );
    await eventually("it runs", () => existsSync(scratch.file("up")));
    expect(closed).toBe(false);
    writeFileSync(scratch.file("go"), "");
    await answer;
    expect((await result).status).toBe(0);
  });
});

describe("a persistent guest", () => {
  test("runs commands one at a time and in order, until the host closes", async () => {
    const result = await persistent(
      commandFrame("sleep 0.2; echo one"),
      commandFrame("echo two"),
      commandFrame(""),
      commandFrame(`echo ${"x".repeat(2043)}`),
    );
    expect(result).toEqual({
      status: 0,
      stdout: `one\ntwo\n${"x".repeat(2043)}\n`,
      stderr: "",
      answer: Buffer.alloc(0),
    });
  });

  test("a failing command is reported on stderr, and the loop continues", async () => {
    expect(
      await persistent(
        commandFrame("exit 3"),
        commandFrame("kill -TERM $$"),
        commandFrame("echo on"),
      ),
    ).toMatchObject({
      status: 0,
      stdout: "on\n",
      stderr:
        "vsockbox: command 1 exited with status 3\nvsockbox: command 2 was ended by SIGTERM\n",
    });
  });

  test("--quiet suppresses the report", async () => {
    const result = await guestOf([commandFrame("exit 3")], ["persistent", "-q"]);
    expect(result).toMatchObject({ status: 0, stderr: "" });
  });

  test("frames cut at every byte", async () => {
    const result = vsockbox(["guest-exec", address, "persistent"]);
    const socket = await host.guest();
    for (const byte of Buffer.concat([commandFrame("echo a"), commandFrame("echo b")])) {
      socket.write(Buffer.of(byte));
      await Bun.sleep(2);
    }
    socket.end();
    expect(await result).toMatchObject({ status: 0, stdout: "a\nb\n" });
  });

  test.each([2049, 65_535])("a length of %d: named, closed, 65, nothing run", async (length) => {
    const ran = scratch.file("ran");
    const touch = `touch ${ran} #`.padEnd(length, "x");
    const result = vsockbox(["guest-exec", address, "persistent"]);
    const socket = await host.guest();
    const answer = received(socket);
    // The host keeps its end open: the guest closes.
    socket.write(Buffer.concat([commandFrame("echo before"), commandFrame(touch, length)]));
    expect(await result).toMatchObject({
      status: 65,
      stdout: "before\n",
      stderr: expect.stringContaining(`a length of ${length}, above the limit of 2048 bytes`),
    });
    await answer;
    expect(existsSync(ran)).toBe(false);
  });

  test.each([
    [1, "1 byte is missing"],
    [2, "1999 bytes are missing"],
    [1000, "1001 bytes are missing"],
  ])(
    "a host that closes %d bytes into a frame: 65 with the missing bytes",
    async (sent, message) => {
      const frame = commandFrame(`touch ${scratch.file("ran")} #`.padEnd(1999, "x"));
      expect(await persistent(frame.subarray(0, sent))).toMatchObject({
        status: 65,
        stderr: expect.stringContaining(message),
      });
      expect(existsSync(scratch.file("ran"))).toBe(false);
    },
  );

  test("a host that closes without a command is an ordinary end", async () => {
    expect(await persistent()).toMatchObject({ status: 0, stdout: "", stderr: "" });
  });
});

describe("the target", () => {
  const NO_VSOCK = expect.stringMatching(/VSOCKBOX_NO_VSOCK=1/);

  test.each([
    [["foo:bar"], ["foo", "bar"], "vsock:2:1024"],
    [[":"], ["the CID is empty", "the port is empty"], "vsock:2:1024"],
    [["-1:"], ["the port is empty"], "vsock:any:1024"],
    [["77"], [], "vsock:77:1024"],
    [[], [], "vsock:2:1024"],
  ])("%j: one warning for each fallback", async (words, warnings, shown) => {
    const { status, stderr } = await vsockbox(["guest-exec", ...words]);
    expect([status, stderr]).toEqual([77, NO_VSOCK]);
    const lines = stderr.split("\n").filter((line) => line.includes(": using "));
    expect(lines.length).toBe(warnings.length);
    for (const [index, warning] of warnings.entries()) expect(lines[index]).toContain(warning);
    expect(stderr).toContain(`cannot open a socket for ${shown}`);
  });

  test("--quiet suppresses the warnings", async () => {
    expect((await vsockbox(["guest-exec", "foo:bar", "-q"])).stderr).not.toContain("using");
  });

  test("under the C program's name the words are the same", async () => {
    const link = scratch.file("vsock_guest_exec");
    symlinkSync(BINARY, link);
    const result = shell(`${link} ${address} persistent`);
    const socket = await host.guest();
    // Also for bytes that need a second start of the executable.
    socket.end(commandFrame(Buffer.from("echo \xff | od -An -tx1", "latin1")));
    expect(await result).toMatchObject({ status: 0, stdout: " ff 0a\n" });
    expect((await shell(`${link} -1:`)).stderr).toContain("vsock:any:1024");
    expect((await shell(`${link} --help`)).stdout).toContain("vsockbox guest-exec");
  });

  test("a copy under that name runs bytes as well", async () => {
    const copy = scratch.file("vsock_guest_exec");
    const result = shell(`cp ${BINARY} ${copy} && ${copy} ${address}`);
    (await host.guest()).end(Buffer.from("printf '\xff' | od -An -tx1", "latin1"));
    expect(await result).toMatchObject({ status: 0, stdout: " ff\n" });
  });
});

describe("a host that is not there", () => {
  test("is named with the errno: 69", async () => {
    await host[Symbol.asyncDispose]();
    writeFileSync(scratch.file("nothing"), "");
    expect(await vsockbox(["guest-exec", address])).toMatchObject({
      status: 69,
      stderr: expect.stringMatching(new RegExp(`cannot connect to ${address}: .*ENOENT`)),
    });
  });

  test("--retry waits for it", async () => {
    await host[Symbol.asyncDispose]();
    await using guest = new Running(["guest-exec", address, "--retry"]);
    await guest.says(`waiting for ${address}: ENOENT`);
    host = await RawHost.listen(path);
    (await host.guest()).end("echo came");
    expect(await new Response(guest.process.stdout).text()).toBe("came\n");
    expect(await guest.process.exited).toBe(0);
  });

  test("--retry-timeout ends it with 75", async () => {
    await host[Symbol.asyncDispose]();
    expect(
      await vsockbox(["guest-exec", address, "--retry", "--retry-timeout", "300ms", "-q"]),
    ).toMatchObject({
      status: 75,
      stderr: expect.stringMatching(/no answer after 0\.3 s.*ENOENT/),
    });
  });

  test("--retry does not wait for an error that does not pass", async () => {
    expect((await vsockbox(["guest-exec", "2:1024", "--retry"])).status).toBe(77);
  });

  test("--idle-timeout ends a connection without traffic", async () => {
    expect(await vsockbox(["guest-exec", address, "--idle-timeout", "200ms"])).toMatchObject({
      status: 75,
      stderr: expect.stringContaining("the host sent nothing for 0.2 s"),
    });
  });

  test("SIGTERM ends the wait", async () => {
    for (const words of [[address], [`unix:${scratch.file("nobody")}`, "--retry"]]) {
      await using guest = new Running(["guest-exec", ...words]);
      if (words.length === 1) await host.guest();
      else await guest.says("waiting for");
      guest.process.kill("SIGTERM");
      expect(await guest.process.exited).toBe(143);
    }
  });
});

describe("the shell", () => {
  test("may be another one", async () => {
    const bash = Bun.which("bash") ?? "";
    expect(await guestOf(["echo $BASH; [[ a < b ]]"], ["--shell", bash])).toMatchObject({
      status: 0,
      stdout: `${bash}\n`,
    });
  });

  test("that does not exist is reported before a command is read", async () => {
    const result = await vsockbox(["guest-exec", address, "--shell", "/no/sh"]);
    expect(result).toMatchObject({
      status: 78,
      stderr: expect.stringMatching(/find shell \/no\/sh: .*ENOENT[^]*hint: commands need a shell/),
    });
  });

  test("needs no variable in the environment", async () => {
    const empty = Object.fromEntries(Object.keys(process.env).map((name) => [name, undefined]));
    const result = await guestOf(["ls / > /dev/null && echo $PATH"], [], { env: empty });
    expect(result).toMatchObject({ status: 0, stderr: "" });
    expect(result.stdout).toContain("/usr/bin");
  });

  test("has guest-exec's own input", async () => {
    expect(await guestOf(["cat"], [], { stdin: "typed" })).toMatchObject({ stdout: "typed" });
  });
});

describe("a running command", () => {
  test("gets guest-exec's SIGTERM, and its status counts", async () => {
    await using guest = new Running(["guest-exec", address]);
    (await host.guest()).end(
      `trap 'exit 9' TERM; touch ${scratch.file("up")}; while :; do sleep 0.05; done`,
    );
    await eventually("it runs", () => existsSync(scratch.file("up")));
    guest.process.kill("SIGTERM");
    expect(await guest.process.exited).toBe(9);
  });

  test("a second signal ends all of it", async () => {
    await using guest = new Running(["guest-exec", address]);
    (await host.guest()).end(
      `(trap '' TERM; exec sleep 61.25) & trap 'touch ${scratch.file("caught")}' TERM; touch ${scratch.file("up")}; while :; do sleep 0.05; done`,
    );
    await eventually("it runs", () => existsSync(scratch.file("up")));
    guest.process.kill("SIGTERM");
    await eventually("the first is passed on", () => existsSync(scratch.file("caught")));
    guest.process.kill("SIGTERM");
    expect(await guest.process.exited).toBe(137);
    await eventually("nothing is left", () => processesWith("sleep 61.25").length === 0);
  });

  test("--timeout ends it with everything it started: 124", async () => {
    const words = ["--timeout", "300ms"];
    expect(await guestOf(["sleep 62.25; echo never"], words)).toMatchObject({
      status: 124,
      stdout: "",
      stderr: "vsockbox: command ran out of time\n",
    });
    await eventually("nothing is left", () => processesWith("sleep 62.25").length === 0);
    const frames = [commandFrame("sleep 62.25"), commandFrame("echo next")];
    expect(await guestOf(frames, ["persistent", ...words])).toMatchObject({
      status: 0,
      stdout: "next\n",
      stderr: "vsockbox: command 1 ran out of time\n",
    });
  });

  test("its background processes are not ended", async () => {
    const late = scratch.file("late");
    const { status } = await guestOf([`(sleep 0.5; echo late > ${late}) > /dev/null 2>&1 &`]);
    expect(status).toBe(0);
    await eventually("it goes on", () => existsSync(late) && readFileSync(late, "utf8") !== "");
  });
});

describe("--report", () => {
  const reports = (answer: Buffer) =>
    answer
      .toString()
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Record<string, unknown>);

  test("a line for each command on the same socket, and the output stays on standard output", async () => {
    const result = await guestOf(
      [commandFrame("echo out; echo err >&2"), commandFrame("exit 3"), commandFrame("kill -9 $$")],
      ["persistent", "--report"],
    );
    expect(result).toMatchObject({ status: 0, stdout: "out\n" });
    expect(result.stderr).toStartWith("err\n");
    const duration = { duration_ms: expect.any(Number) };
    expect(reports(result.answer)).toEqual([
      { exit_code: 0, signal: null, stdout: "b3V0Cg==", stderr: "ZXJyCg==", ...duration },
      { exit_code: 3, signal: null, stdout: "", stderr: "", ...duration },
      { exit_code: 137, signal: "SIGKILL", stdout: "", stderr: "", ...duration },
    ]);
  });

  test("is sent by a disposable guest too, whose host keeps its end open", async () => {
    const result = vsockbox(["guest-exec", address, "--report"]);
    const socket = await host.guest();
    const answer = received(socket);
    socket.write("echo hi; exit 4");
    expect(reports(await answer)).toMatchObject([{ exit_code: 4, stdout: "aGkK" }]);
    expect((await result).status).toBe(4);
  });

  test("carries 4 MiB of each stream and reports the number of missing bytes; the local output is whole", async () => {
    const result = await guestOf(
      ["head -c 5000000 /dev/zero | tr '\\0' x; head -c 4194304 /dev/zero >&2"],
      ["--report"],
    );
    const [report] = reports(result.answer);
    expect(Buffer.from(String(report?.["stdout"]), "base64").length).toBe(4_194_304);
    expect(Buffer.from(String(report?.["stderr"]), "base64").length).toBe(4_194_304);
    expect(report?.["dropped_bytes"]).toBe(5_000_000 - 4_194_304);
    expect([result.stdout.length, result.stderr.length]).toEqual([5_000_000, 4_194_304]);
  });

  test("a process that keeps the output open does not hold it up", async () => {
    const result = await guestOf(["sleep 63.25 & echo started"], ["--report"]);
    expect(reports(result.answer)).toMatchObject([{ exit_code: 0, stdout: "c3RhcnRlZAo=" }]);
    for (const pid of processesWith("sleep 63.25")) process.kill(pid);
  });

  test("a host that does not wait for it changes nothing", async () => {
    const result = vsockbox(["guest-exec", address, "persistent", "--report"]);
    const socket = await host.guest();
    const [up, go] = [scratch.file("up"), scratch.file("go")];
    const first = `touch ${up}; until [ -e ${go} ]; do sleep 0.05; done; echo a`;
    socket.end(Buffer.concat([commandFrame(first), commandFrame("echo b")]));
    await eventually("it runs", () => existsSync(up));
    socket.destroy();
    await eventually("it is gone", () => socket.closed);
    writeFileSync(go, "");
    const { stdout, stderr } = await result;
    expect(stdout).toBe("a\nb\n");
    expect(stderr.match(/the host receives no report/g)?.length).toBe(1);
  });
});

describe("--json", () => {
  test("prints output and status, an object a line", async () => {
    const frames = [commandFrame("echo hi"), commandFrame("echo no >&2; exit 2")];
    const { stdout } = await guestOf(frames, ["persistent", "--json", "-q"]);
    const lines = stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as object);
    expect(lines).toMatchObject([
      { command: 1, event: "stdout", text: "hi\n" },
      { command: 1, event: "exit", exit_code: 0, signal: null, timed_out: false },
      { command: 2, event: "stderr", text: "no\n" },
      { command: 2, event: "exit", exit_code: 2 },
    ]);
  });

  test("prints errors as well", async () => {
    const { status, stdout } = await guestOf([], ["--json"]);
    expect(status).toBe(65);
    expect(JSON.parse(stdout)).toMatchObject({ event: "error", error: { code: "BAD_DATA" } });
  });
});

describe.if(process.getuid?.() === 0)("in an init's world", () => {
  test("a missing shell is reported with its reason", async () => {
    const line = `mount --bind /dev/null "$(readlink -f /bin/sh)" && PATH=/none exec ${BINARY} guest-exec ${address}`;
    const { status, stderr } = await shell(`unshare -m bash -c '${line}'`);
    expect([status, stderr]).toEqual([78, expect.stringMatching(/find shell \/bin\/sh: .*ENOENT/)]);
  });

  test("a child of process 1 hands the command's status on", async () => {
    const line = `mount -t proc proc /proc; ${BINARY} guest-exec ${address}; echo "got $? of $$"`;
    const result = shell(`unshare -m -p -f sh -c '${line}'`);
    (await host.guest()).end("exit 6");
    expect((await result).stdout).toBe("got 6 of 1\n");
  });
});
