import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { createHash, randomBytes } from "node:crypto";
import { chmodSync, existsSync, lstatSync, readFileSync, writeFileSync } from "node:fs";
import { createServer, connect as netConnect } from "node:net";
import {
  eventually,
  Running,
  shell,
  ScratchDirectory,
  vsockbox,
  processesWith,
} from "../support/binary.ts";
import { catches } from "../support/process-state.ts";
import { findTool } from "../support/tools.ts";

let scratch: ScratchDirectory;
let address: string;
let path: string;
beforeEach(() => {
  scratch = new ScratchDirectory();
  path = scratch.file("x.sock");
  address = `unix:${path}`;
});
afterEach(() => scratch[Symbol.dispose]());

async function listening(...args: string[]): Promise<Running> {
  const listener = new Running(["listen", address, ...args]);
  await listener.says("listening on");
  return listener;
}

/** The words that run a command whose kernel refuses these system calls. */
const refusing = (calls: string) =>
  `strace -f --seccomp-bpf -o /dev/null -e trace=${calls} -e inject=${calls}:error=EPERM`;

const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

describe("connect and listen", () => {
  test("send 64 MiB unchanged, and the end of input ends both", async () => {
    const input = scratch.file("input");
    const data = randomBytes(64 * 1024 * 1024);
    writeFileSync(input, data);
    const { stdout, status } = await shell(
      `vsockbox listen ${address} -n 2>/dev/null | sha256sum & until [ -S ${path} ]; do sleep 0.01; done; vsockbox connect ${address} < ${input} && wait`,
    );
    expect([status, stdout.slice(0, 64)]).toEqual([0, sha256(data)]);
  });

  /** What each of them is run by: a program, or an assignment. */
  const RUN_BY = [
    "VSOCKBOX_RUNTIME_SOCKETS=",
    "VSOCKBOX_RUNTIME_SOCKETS=1",
    ...(findTool("strace") === undefined
      ? []
      : [refusing("io_uring_setup"), refusing("io_uring_setup,io_setup")]),
  ];

  test.each(RUN_BY)("from pipe to pipe, run by %p", async (runBy) => {
    const input = scratch.file("input");
    const data = randomBytes(16 * 1024 * 1024);
    writeFileSync(input, data);
    const { stdout, status } = await shell(
      `vsockbox() { env ${runBy} "$VSOCKBOX" "$@"; }
        vsockbox listen ${address} 2>/dev/null < ${input} | sha256sum & until [ -S ${path} ]; do sleep 0.01; done
        cat ${input} | vsockbox connect ${address} | sha256sum && wait`,
    );
    expect([status, ...(stdout.match(/[0-9a-f]{64}/g) ?? [])]).toEqual([
      0,
      sha256(data),
      sha256(data),
    ]);
  });

  test("a signal ends a listener however fast its peer sends", async () => {
    const { stdout } = await shell(
      `vsockbox listen ${address} -nq > /dev/null & pid=$!
      until [ -S ${path} ]; do sleep 0.01; done
      yes | vsockbox connect ${address} 2>/dev/null &
      until [ "$(sed -n 's/^rchar: //p' /proc/$pid/io)" -gt 50000000 ]; do sleep 0.01; done
      kill -TERM $pid; wait $pid; echo $?`,
    );
    expect(stdout).toBe("143\n");
  });

  test("an answer after the end of input comes through", async () => {
    await using _listener = await listening("--exec", "wc -c");
    expect(await vsockbox(["connect", address], { stdin: "12345" })).toEqual({
      status: 0,
      stdout: "5\n",
      stderr: "",
    });
  });

  test("the listener may end its output first and still receive", async () => {
    await using listener = await listening();
    await listener.process.stdin.end();
    const data = randomBytes(3_000_000);
    const received = new Response(listener.process.stdout).bytes();
    expect((await vsockbox(["connect", address], { stdin: new Uint8Array(data) })).status).toBe(0);
    expect(sha256(await received)).toBe(sha256(data));
    expect(await listener.process.exited).toBe(0);
  });

  test("a peer that closes ends a connect whose input is still open", async () => {
    await using _listener = await listening("--exec", "echo bye");
    await using client = new Running(["connect", address]);
    expect(await client.process.exited).toBe(0);
    expect(await new Response(client.process.stdout).text()).toBe("bye\n");
  });

  test("a listener without --keep-open serves one connection and removes its socket", async () => {
    await using listener = await listening("--exec", "exit 3");
    await vsockbox(["connect", address]);
    expect(await listener.process.exited).toBe(3);
    expect(existsSync(path)).toBe(false);
  });

  test("--keep-open --exec serves many at once, each with a command of its own", async () => {
    await using listener = await listening("-k", "--exec", "tr a-z A-Z");
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, index) =>
        vsockbox(["connect", address], { stdin: `hello ${index}` }),
      ),
    );
    expect(answers.map(({ stdout }) => stdout)).toEqual(
      Array.from({ length: 20 }, (_, index) => `HELLO ${index}`),
    );
    listener.process.kill("SIGTERM");
    expect(await listener.process.exited).toBe(143);
    expect(existsSync(path)).toBe(false);
  });

  test("--keep-open without --exec prints one connection after the other", async () => {
    await using listener = await listening("--keep-open");
    for (const word of ["one", "two"]) await vsockbox(["connect", address], { stdin: `${word}\n` });
    const reader = listener.process.stdout.getReader();
    const { value } = await reader.read();
    const first = new TextDecoder().decode(value);
    const rest = first.includes("two") ? "" : new TextDecoder().decode((await reader.read()).value);
    expect(first + rest).toBe("one\ntwo\n");
  });

  test("--exec passes the peer's address to the command", async () => {
    await using _listener = await listening("--exec", "echo $VSOCKBOX_PEER");
    expect((await vsockbox(["connect", address])).stdout).toBe("unix\n");
  });

  test("a client that vanishes ends the command", async () => {
    await using listener = await listening("-k", "--exec", "while :; do echo y; done");
    const client = new Running(["connect", address]);
    await client.process.stdout.getReader().read();
    await client[Symbol.asyncDispose]();
    // The listener's other child ends commands if the listener itself is killed.
    const commands = () =>
      readFileSync(`/proc/${listener.pid}/task/${listener.pid}/children`, "utf8")
        .split(" ")
        .filter((pid) => processesWith("while :; do echo y; done").includes(Number(pid)));
    await eventually("no command left", () => commands().length === 0);
  });

  /** Sends what a shell line prints, or a redirection contains, by packets; returns what arrived. */
  const inPackets = (client: string) =>
    shell(
      `vsockbox listen -q --seqpacket ${address} < /dev/null & until [ -S ${path} ]; do sleep 0.01; done
        ${client} || exit; wait`,
    );

  test("--seqpacket goes on to send after the other end has ended its input", async () => {
    const client = `{ for i in 1 2 3; do echo $i; sleep 0.5; done; } | vsockbox connect --seqpacket ${address}`;
    expect(await inPackets(client)).toMatchObject({ status: 0, stdout: "1\n2\n3\n" });
  });

  test.each(["a file", "a pipe"])(
    "--seqpacket sends long input from %s in packets",
    async (kind) => {
      const input = scratch.file("input");
      const data = Buffer.alloc(3_000_001, "0123456789");
      writeFileSync(input, data);
      const connect = `vsockbox connect --seqpacket ${address}`;
      const client = kind === "a file" ? `${connect} < ${input}` : `cat ${input} | ${connect}`;
      const { status, stdout } = await inPackets(client);
      expect([status, sha256(Buffer.from(stdout))]).toEqual([0, sha256(data)]);
    },
  );

  test("--seqpacket keeps packets apart", async () => {
    await using _listener = await listening("--seqpacket", "--exec", "cat");
    const result = await vsockbox(["connect", address, "--seqpacket"], { stdin: "packet" });
    expect(result.stdout).toBe("packet");
  });
});

describe.if(process.getuid?.() === 0)("the socket of another user", () => {
  test("is refused with status 77 and the reason", async () => {
    await using _listener = await listening("-k", "-n");
    chmodSync(scratch.path, 0o755);
    const { stdout, stderr } = await shell(
      `setpriv --reuid 65534 --clear-groups -- vsockbox connect -n ${address}; echo $?`,
    );
    expect([stdout, stderr]).toEqual(["77\n", expect.stringContaining("belongs to another user")]);
  });
});

describe("the socket file", () => {
  test("is its owner's alone", async () => {
    await using _listener = await listening();
    expect((lstatSync(path).mode & 0o777).toString(8)).toBe("600");
  });

  test("without a listener is replaced", async () => {
    const dead = await listening();
    await dead[Symbol.asyncDispose]();
    expect(existsSync(path)).toBe(true);
    await using _listener = await listening("--exec", "echo alive");
    expect((await vsockbox(["connect", address])).stdout).toBe("alive\n");
  });

  test("with a listener is kept", async () => {
    await using _listener = await listening("-k", "--exec", "echo first");
    expect(await vsockbox(["listen", address])).toMatchObject({
      status: 73,
      stderr: expect.stringContaining("EADDRINUSE"),
    });
    expect((await vsockbox(["connect", address])).stdout).toBe("first\n");
  });

  test("is never put over another file", async () => {
    writeFileSync(path, "precious");
    expect(await vsockbox(["listen", address])).toMatchObject({
      status: 73,
      stderr: expect.stringContaining("is not a socket"),
    });
    expect(readFileSync(path, "utf8")).toBe("precious");
  });

  test("may be missing, deserted or too long: each has its own message", async () => {
    expect(await vsockbox(["connect", address])).toMatchObject({
      status: 69,
      stderr: expect.stringContaining("ENOENT"),
    });
    const dead = await listening();
    await dead[Symbol.asyncDispose]();
    expect(await vsockbox(["connect", address])).toMatchObject({
      status: 69,
      stderr: expect.stringContaining("no process listens on it"),
    });
    for (const [other, kind] of [
      [import.meta.path, "a regular file"],
      [import.meta.dir, "a directory"],
    ]) {
      for (const form of ["unix", "hybrid"]) {
        const run = await vsockbox(["info", `${form}:${other}`]);
        expect(run).toMatchObject({ status: 69 });
        expect(run.stderr).toContain(`the path leads to ${kind}, not to a socket (ECONNREFUSED)`);
        expect(run.stderr).not.toContain("listens");
      }
    }
    expect(await vsockbox(["connect", `unix:/${"x".repeat(200)}`])).toMatchObject({
      status: 64,
      stderr: expect.stringContaining("201 bytes long"),
    });
  });
});

/**
 * The host side of a hybrid-vsock VMM as Firecracker's documentation has it: reads the CONNECT line
 * and gives `answer`, in which the request's port stands for PORT.
 */
function startVmm(socket: string, answer: ((line: string) => string | undefined) | "silent") {
  const server = createServer({ allowHalfOpen: true }, (connection) => {
    let text = "";
    connection.on("error", () => undefined);
    connection.on("data", (chunk) => {
      if (answer === "silent") return;
      text += chunk.toString("latin1");
      const newline = text.indexOf("\n");
      if (newline === -1) return;
      connection.removeAllListeners("data");
      const reply = answer(text.slice(0, newline));
      if (reply === undefined) return void connection.destroy();
      connection.write(reply);
      connection.write(text.slice(newline + 1));
      connection.on("data", (more) => connection.write(more));
      connection.on("end", () => connection.end());
    });
    connection.on("end", () => text.includes("\n") && connection.end());
  });
  server.listen(socket);
  return { [Symbol.dispose]: () => void server.close() };
}

describe("hybrid: addresses", () => {
  test("speak CONNECT and keep the bytes after the OK line", async () => {
    const lines: string[] = [];
    using _vmm = startVmm(path, (line) => {
      lines.push(line);
      return "OK 1073741824\nwelcome ";
    });
    for (const form of [`hybrid:${path}:5000`, `vsock-mux${path}`]) {
      const result = await vsockbox(["connect", form, "5000"], { stdin: "echo" });
      expect(result).toEqual({ status: 0, stdout: "welcome echo", stderr: "" });
    }
    expect(lines).toEqual(["CONNECT 5000", "CONNECT 5000"]);
  });

  test("report that no process listens in the guest if the VMM closes the connection", async () => {
    using _vmm = startVmm(path, () => undefined);
    expect(await vsockbox(["connect", `hybrid:${path}:1`])).toMatchObject({
      status: 69,
      stderr: expect.stringContaining("nothing listens on that port in the guest"),
    });
  });

  test("time out on a VMM that does not answer", async () => {
    using _vmm = startVmm(path, "silent");
    const result = await vsockbox(["connect", `hybrid:${path}:1`, "--connect-timeout", "200ms"]);
    expect(result).toMatchObject({
      status: 75,
      stderr: expect.stringContaining("no answer in time"),
    });
  });

  test("refuse an answer that is not one of the protocol", async () => {
    using _vmm = startVmm(path, () => "SSH-2.0-nonsense\n");
    expect(await vsockbox(["connect", `hybrid:${path}:1`])).toMatchObject({ status: 65 });
  });

  test("listen at the path to which a VMM connects for a port of the host: <path>_<port>", async () => {
    await using listener = new Running(["listen", `hybrid:${path}:9000`, "--exec", "cat"]);
    await listener.says("listening on");
    const answer = await new Promise<string>((resolve) => {
      const client = netConnect(`${path}_9000`, () => client.end("from the guest"));
      let text = "";
      client.on("data", (chunk) => (text += chunk.toString()));
      client.on("end", () => resolve(text));
    });
    expect(answer).toBe("from the guest");
  });
});

test("listen --verbose prints each connection, and not the bytes", async () => {
  await using listener = new Running(["listen", "-k", "-v", "--exec", "cat", address]);
  await listener.says("listening on");
  for (let count = 1; count <= 2; count++) {
    expect(await vsockbox(["connect", address], { stdin: "text" })).toMatchObject({
      stdout: "text",
    });
    await eventually("it is printed", () => {
      return listener.stderr.match(/^vsockbox: .* has connected$/gm)?.length === count;
    });
  }
  expect((await vsockbox(["listen", "-v", "-q", address])).status).toBe(64);
  expect((await vsockbox(["listen", "--json", address])).status).toBe(64);
});

describe("wait", () => {
  test("returns as soon as the port has a listener", async () => {
    await using waiting = new Running([
      "wait",
      address,
      "--connect-only",
      "--timeout",
      "30",
      "--json",
    ]);
    await catches(waiting.pid, "SIGINT");
    await using _listener = await listening("-k", "-n");
    expect(await waiting.process.exited).toBe(0);
    expect(JSON.parse(await new Response(waiting.process.stdout).text())).toMatchObject({
      ready: true,
      address,
    });
  });

  test("times out with status 75 and the last failure", async () => {
    expect(await vsockbox(["wait", address, "--timeout", "300ms"])).toMatchObject({
      status: 75,
      stderr: expect.stringMatching(/not ready after 0\.3 s and \d+ tries.*ENOENT/),
    });
  });

  test("--verbose prints each attempt with its reason, and the end", async () => {
    const failed = await vsockbox(["wait", "-v", address, "--timeout", "300ms"]);
    const failures = failed.stderr.match(/^vsockbox: [0-9.]+ ms: not ready: .*ENOENT/gm) ?? [];
    expect([failed.status, failures.length > 1]).toEqual([75, true]);
    await using _listener = await listening("-k", "-n");
    const { status, stdout, stderr } = await vsockbox(["wait", "-v", "--connect-only", address]);
    expect([status, stdout]).toEqual([0, ""]);
    expect(stderr).toContain(`connecting to ${address}`);
    expect(stderr).toEndWith("ms: ready after 1 try\n");
  });

  test("is ready on the agent's ready port", async () => {
    const [exec, ready] = [scratch.file("a.sock"), scratch.file("r.sock")];
    await using agent = new Running([
      "agent",
      "--listen",
      `unix:${exec}`,
      "--ready-listen",
      `unix:${ready}`,
    ]);
    await agent.says("ready on");
    expect((await vsockbox(["wait", `unix:${ready}`])).status).toBe(0);
  });

  test("is ended by Ctrl-C", async () => {
    await using waiting = new Running(["wait", address, "--timeout", "120"]);
    await catches(waiting.pid, "SIGINT");
    waiting.process.kill("SIGINT");
    expect(await waiting.process.exited).toBe(130);
  });
});
