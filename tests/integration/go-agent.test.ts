/** The commands against an agent that behaves on the wire as the Go agent does. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import {
  eventually,
  processesWith,
  Running,
  shell,
  ScratchDirectory,
  vsockbox,
} from "../support/binary.ts";
import { GoAgent } from "../support/go-agent.ts";
import { SocketPeer, SocketPeerListener } from "../support/socket-peer.ts";

let agent: GoAgent;
let address: string;
let scratch: ScratchDirectory;
beforeAll(async () => {
  agent = await GoAgent.start();
  ({ address, scratch } = agent);
});
afterAll(() => agent[Symbol.asyncDispose]());

describe("exec drives the Go agent's wire", () => {
  test.each([[[]], [["-n"]]])("streams and exit status, with %j", async (options) => {
    const result = await vsockbox(
      ["exec", address, ...options, "--", "sh", "-c", "cat; echo out; echo err >&2; exit 7"],
      { stdin: "in " },
    );
    const input = options.length === 0 ? "in " : "";
    expect(result).toEqual({ status: 7, stdout: `${input}out\n`, stderr: "err\n" });
  });

  test("arguments come through its shell unchanged", async () => {
    const { stdout } = await vsockbox([
      "exec",
      address,
      "--",
      "printf",
      "%s|",
      "a b",
      "",
      "$HOME",
      "it's",
    ]);
    expect(stdout).toBe("a b||$HOME|it's|");
  });

  test("environment and directory", async () => {
    const { stdout } = await vsockbox([
      "exec",
      address,
      "-e",
      "A=b",
      "-w",
      "/usr",
      "-c",
      "echo $A; pwd",
    ]);
    expect(stdout).toBe("b\n/usr\n");
  });

  test("-1 for a signal is status 128", async () => {
    for (const options of [[], ["-n"]]) {
      expect((await vsockbox(["exec", address, ...options, "-c", "kill -9 $$"])).status).toBe(128);
    }
  });

  test("a failed start is reported with its reason", async () => {
    const run = (...options: string[]) =>
      vsockbox(["exec", address, ...options, "-w", "/no/dir", "--", "ls"]);
    const stderr = expect.stringContaining("ENOENT");
    // With input that agent answers as a command that wrote to standard error and exited with 1.
    expect(await run()).toMatchObject({ status: 1, stderr });
    expect(await run("-n")).toMatchObject({ status: 125, stderr });
  });

  test("names the variables that its shell cannot carry, and sends the others", async () => {
    const options = ["-e", "a.b=1", "-e", "OPTIND=1", "-e", "GOOD=2"];
    const result = await vsockbox(["exec", address, ...options, "--", "printenv", "GOOD"]);
    expect(result).toMatchObject({ status: 0, stdout: "2\n" });
    expect(result.stderr).toBe(
      'vsockbox: the agent runs commands by a shell, which may drop or change "a.b", "OPTIND"\n',
    );
  });

  test("8 MiB there and back", async () => {
    const { stdout } = await shell(
      `head -c 8388608 /dev/urandom > ${scratch.file("d")}; vsockbox exec ${address} -- cat < ${scratch.file("d")} | cmp - ${scratch.file("d")} && echo equal`,
    );
    expect(stdout).toBe("equal\n");
  });

  test("--timeout ends a command, also one whose input has ended", async () => {
    const { status } = await vsockbox([
      "exec",
      address,
      "-n",
      "--timeout",
      "500ms",
      "--",
      "sleep",
      "71.5",
    ]);
    expect(status).toBe(124);
    await eventually("gone", () => processesWith("sleep 71.5").length === 0);
  });
});

describe("the commands for files drive the Go agent's wire", () => {
  test("cp of a file there and back, into a directory and to a name", async () => {
    const local = scratch.file("local");
    writeFileSync(local, "content\n", { mode: 0o640 });
    const there = scratch.file("a/b/there");
    expect(await vsockbox(["cp", local, `${address}:${there}`])).toMatchObject({ status: 0 });
    expect(readFileSync(there, "utf8")).toBe("content\n");
    const back = scratch.file("back");
    expect(await vsockbox(["cp", `${address}:${there}`, back])).toMatchObject({ status: 0 });
    expect(readFileSync(back, "utf8")).toBe("content\n");
    await vsockbox(["cp", local, `${address}:${scratch.file("a")}`]);
    expect((await vsockbox(["cat", `${address}:${scratch.file("a/local")}`])).stdout).toBe(
      "content\n",
    );
  });

  test.each(["--no-clobber", "--checksum", "--resume", "--preserve", "--recursive"])(
    "cp refuses %s, which these frames cannot carry, and replaces nothing",
    async (option) => {
      const [from, to] = [scratch.file("new"), scratch.file("old")];
      writeFileSync(from, "new");
      writeFileSync(to, "old");
      const result = await vsockbox(["cp", option, from, `${address}:${to}`]);
      expect(result).toMatchObject({ status: 69, stderr: expect.stringContaining(option) });
      expect(readFileSync(to, "utf8")).toBe("old");
    },
  );

  test("with a token no file goes to an agent that cannot prove it", async () => {
    const token = scratch.file("token");
    writeFileSync(token, "a-secret-of-the-test", { mode: 0o600 });
    const [from, to] = [scratch.file("own"), scratch.file("sent")];
    writeFileSync(from, "own");
    for (const command of [
      ["cp", from, `${address}:${to}`],
      ["cp", `${address}:${from}`, to],
      ["cat", `${address}:${from}`],
      ["ls", `${address}:/`],
      ["exec", address, "--", "touch", to],
    ]) {
      const [name = "", ...rest] = command;
      const result = await vsockbox([name, "--token-file", token, ...rest]);
      expect(result).toMatchObject({ status: 69, stdout: "" });
      expect(existsSync(to)).toBe(false);
    }
  });

  test("cp --max-size refuses a larger file", async () => {
    writeFileSync(scratch.file("large"), "12345");
    const source = `${address}:${scratch.file("large")}`;
    const result = await vsockbox(["cp", "--max-size", "4", source, scratch.file("none")]);
    expect(result).toMatchObject({ status: 74, stderr: expect.stringContaining("EFBIG") });
  });

  test("ls has the kinds of files", async () => {
    const directory = scratch.file("kinds");
    await shell(`mkdir -p ${directory}/d && echo x > ${directory}/f`);
    symlinkSync("f", `${directory}/l`);
    const { stdout } = await vsockbox(["ls", "--json", `${address}:${directory}`]);
    const entries = stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as object);
    expect(entries).toMatchObject([
      { name: "d", type: "directory" },
      { name: "f", type: "file", size_bytes: 2 },
      { name: "l", type: "link" },
    ]);
  });
});

test("forward -L carries TCP connections with half-close, and its client's reset as an end", async () => {
  using target = new SocketPeerListener(0);
  const path = scratch.file("forward.sock");
  await using running = new Running([
    "forward",
    address,
    "-L",
    `${path}:127.0.0.1:${target.address}`,
  ]);
  await running.says("forwarding");
  for (const size of [1, 300_000]) {
    using client = await SocketPeer.connect(path);
    await client.write(size);
    client.end();
    using server = await target.accept();
    expect(await server.readAll()).toEqual({ bytes: size, end: "end" });
    await server.write(size);
    server.end();
    expect(await client.readAll()).toEqual({ bytes: size, end: "end" });
  }
  using client = await SocketPeer.connect(path);
  using server = await target.accept();
  await server.write(1);
  await eventually("unread bytes", () => client.hasInput);
  await client.write(5);
  client.reset();
  expect(await server.readAll()).toMatchObject({ bytes: 5 });
  await running.says("ECONNRESET");
});
