/** A command at the address of a service of another kind: the hint leads to the right one. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { Running, ScratchDirectory, TestAgent, vsockbox } from "../support/binary.ts";

let scratch: ScratchDirectory;
let agent: TestAgent;
let shellServer: Running;
let bridge: Running;
const servers: Server[] = [];
let shellPath: string;
let hybridPath: string;
beforeAll(async () => {
  scratch = new ScratchDirectory();
  agent = await TestAgent.start();
  shellPath = scratch.file("shell");
  shellServer = await listening(["shell-server"], shellPath);
  hybridPath = scratch.file("vm");
  bridge = new Running(["bridge", "--uds-path", hybridPath, "--to", `unix:${agent.path}`]);
  await bridge.says("listening on");
});
afterAll(async () => {
  for (const server of servers) server.close();
  await bridge[Symbol.asyncDispose]();
  await shellServer[Symbol.asyncDispose]();
  await agent[Symbol.asyncDispose]();
  scratch[Symbol.dispose]();
});

/** A server that sends `banner` at once, or for the first bytes of the client. */
async function serve(name: string, banner: string, atOnce: boolean): Promise<string> {
  const path = scratch.file(name);
  const server = createServer((socket) => {
    socket.on("error", () => undefined);
    if (atOnce) socket.write(banner);
    socket.once("data", () => (atOnce ? undefined : socket.end(banner)));
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return path;
}

/** Each command that greets an agent first. */
const AGENT_COMMANDS: [string, (target: string) => string[]][] = [
  ["info", (target) => ["info", target]],
  ["ps", (target) => ["ps", target]],
  ["exec", (target) => ["exec", target, "--", "true"]],
  ["exec -d", (target) => ["exec", "-d", target, "--", "true"]],
  ["cp", (target) => ["cp", "-r", "/etc/hostname", `${target}:/tmp/x`]],
  ["forward", (target) => ["forward", target, "-R", "0:localhost:1"]],
];

describe("a command for agents", () => {
  test.each(AGENT_COMMANDS)("%s knows a vsock-shell server", async (_name, words) => {
    const { status, stderr } = await vsockbox(words(`unix:${shellPath}`));
    expect({ status, stderr }).toMatchObject({ status: 65 });
    expect(stderr).toContain("a vsock-shell server answers there, not a vsockbox agent");
    expect(stderr).toContain(`hint: \`vsockbox shell-client unix:${shellPath}\``);
  });

  test.each([
    [
      "ssh",
      "SSH-2.0-OpenSSH_9.2p1\r\n",
      true,
      "an SSH server",
      "ssh -o ProxyCommand='vsockbox connect unix:",
    ],
    ["http", "HTTP/1.1 400 Bad Request\r\n\r\n", false, "a web server", "port 5000"],
    ["guest-exec-host", "hostname", true, "a service that sends text", "vsockbox connect unix:"],
  ])("knows %s", async (name, banner, atOnce, what, hint) => {
    const path = await serve(name, banner, atOnce);
    const words = ["info", `unix:${path}`, "--connect-timeout", "2"];
    const { status, stderr } = await vsockbox(words);
    expect({ status, stderr }).toMatchObject({ status: 65 });
    expect(stderr).toContain(`${what} answers there, not a vsockbox agent`);
    expect(stderr).toContain(hint);
  });

  test("names the agent's port for the ready port", async () => {
    await using ready = new Running([
      ...["agent", "--listen", `unix:${hybridPath}.agent`],
      ...["--ready-listen", `unix:${agent.path}_5002`],
    ]);
    await ready.says("listening on");
    const { status, stderr } = await vsockbox(["info", `hybrid:${hybridPath}:5002`]);
    expect({ status, stderr }).toMatchObject({ status: 69 });
    expect(stderr).toContain(`it is at hybrid:${hybridPath}:5000`);
  });
});

/** Commands that connect to an agent or a vsock-shell server, given the address and a directory. */
const CONNECTING: [string, (target: string, directory: string) => string[]][] = [
  ["info", (target) => ["info", target]],
  ["ping", (target) => ["ping", "--count", "1", target]],
  ["wait", (target) => ["wait", "--timeout", "2", target]],
  ["exec", (target) => ["exec", target, "--", "true"]],
  ["exec -d", (target) => ["exec", "-d", target, "--", "true"]],
  ["ls", (target) => ["ls", `${target}:/`]],
  ["cat", (target) => ["cat", `${target}:/etc/hostname`]],
  ["cp", (target, directory) => ["cp", `${target}:/etc/hostname`, directory]],
  ["forward -L", (target) => ["forward", target, "-L", "0:localhost:1"]],
  ["shell-client", (target) => ["shell-client", target, "true"]],
  [
    "shell-client -d",
    (target, directory) => {
      return ["shell-client", target, "-d", "/etc/hostname", "-l", directory];
    },
  ],
];

describe("an echo service", () => {
  /** Sends everything back, in pieces of at most `pieceBytes`; collects it in `seen`. */
  async function echo(name: string, seen: Buffer[], pieceBytes = Infinity): Promise<string> {
    const path = scratch.file(name);
    const server = createServer((socket) => {
      socket.on("error", () => undefined);
      socket.on("data", (chunk: Buffer) => {
        seen.push(chunk);
        for (let at = 0; at < chunk.length; at += pieceBytes) {
          socket.write(chunk.subarray(at, at + Math.min(pieceBytes, chunk.length)));
        }
      });
    });
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(path, resolve));
    return `unix:${path}`;
  }

  const expectKnown = ({ status, stderr }: { status: number; stderr: string }, target: string) => {
    expect({ status, stderr }).toMatchObject({ status: 65 });
    expect(stderr).toContain("an echo service answers there, not a vsockbox agent");
    expect(stderr).toContain(`hint: \`vsockbox connect ${target}\``);
  };

  test.each(CONNECTING.filter(([name]) => !name.startsWith("shell-client")))(
    "is not an agent for %s",
    async (name, words) => {
      const target = await echo(`echo ${name}`, []);
      expectKnown(await vsockbox(words(target, scratch.path)), target);
    },
  );

  test("is recognised although its answer comes in pieces", async () => {
    const target = await echo("pieces", [], 100);
    expectKnown(await vsockbox(["wait", "--timeout", "2", target]), target);
    expectKnown(await vsockbox(["ping", target]), target);
  });

  test("is recognised if it is cat(1) for each connection", async () => {
    await using listener = new Running(["listen", `unix:${scratch.file("cat")}`, "--exec", "cat"]);
    await listener.says("listening on");
    const target = `unix:${scratch.file("cat")}`;
    expectKnown(await vsockbox(["ping", target]), target);
  });

  test("is never sent the token, not even with --allow-clear-token", async () => {
    const token = "a-token-of-enough-characters";
    const file = scratch.file("token");
    writeFileSync(file, `${token}\n`, { mode: 0o600 });
    const seen: Buffer[] = [];
    const target = await echo("echo-token", seen);
    for (const more of [[], ["--allow-clear-token"]]) {
      const words = ["--token-file", file, ...more];
      expectKnown(await vsockbox(["ping", target, ...words]), target);
      expectKnown(await vsockbox(["exec", target, ...words, "--", "true"]), target);
    }
    const text = Buffer.concat(seen).toString("latin1");
    expect(text).toContain("connection_id");
    expect(text).not.toContain(token);
    expect(text).not.toContain('"proof"');
  });
});

describe("the plain address of a hybrid socket", () => {
  test.each(CONNECTING)("leads %s to the hybrid one", async (_name, words) => {
    await using _agent = await listening(["agent"], `${agent.path}_5000`);
    const { status, stderr } = await vsockbox(words(`unix:${hybridPath}`, scratch.path));
    expect({ status, stderr }).toMatchObject({ status: 65 });
    expect(stderr).toContain("a VMM's vsock socket answers there");
    expect(stderr).toContain(`hint: its address is hybrid:${hybridPath}:5000`);
  });

  test.each(CONNECTING)("may be meant by %s if no guest answers", async (name, words) => {
    await using proxy = new Running([
      ...["hybrid-proxy", "--socket", scratch.file("vhost"), "--uds-path", scratch.file("proxy")],
    ]);
    await proxy.says("waiting for its VMM");
    for (const path of [hybridPath, scratch.file("proxy")]) {
      const { status, stderr } = await vsockbox(words(`unix:${path}`, scratch.path));
      // A command of shell-client may have run before its server closed the connection.
      const expected = name === "wait" ? 75 : name.startsWith("shell-client") ? 255 : 69;
      expect({ status, stderr }).toMatchObject({ status: expected });
      expect(stderr).toContain(`its address is hybrid:${path}`);
    }
  });
});

async function listening(words: string[], path: string): Promise<Running> {
  const service = new Running([...words, "--listen", `unix:${path}`]);
  await service.says("listening on");
  return service;
}

describe("shell-client", () => {
  test("knows an agent", async () => {
    const { status, stderr } = await vsockbox(["shell-client", agent.address, "true"]);
    expect({ status, stderr }).toMatchObject({ status: 65 });
    expect(stderr).toContain("a vsockbox agent answers there, not a vsock-shell server");
    expect(stderr).toContain(`\`vsockbox shell ${agent.address}\``);
  });

  test("knows an SSH server", async () => {
    const path = await serve("ssh-2", "SSH-2.0-OpenSSH_9.2p1\r\n", true);
    const { status, stderr } = await vsockbox(["shell-client", `unix:${path}`, "true"]);
    expect({ status, stderr }).toMatchObject({ status: 65 });
    expect(stderr).toContain("an SSH server answers there, not a vsock-shell server");
  });
});

describe("a hybrid address", () => {
  test("of an agent's plain socket names the right one", async () => {
    const { status, stderr } = await vsockbox(["info", `hybrid:${agent.path}`]);
    expect({ status, stderr }).toMatchObject({ status: 65 });
    expect(stderr).toContain("a vsockbox agent answers there, not a VMM's vsock socket");
    expect(stderr).toContain(`unix:${agent.path}`);
  });
});
