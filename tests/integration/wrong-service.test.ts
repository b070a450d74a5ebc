/** A command at the address of a service of another kind: the hint leads to the right one. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createServer, type Server } from "node:net";
import { Running, TemporaryFolder, TestAgent, vsockbox } from "../support/binary.ts";

let folder: TemporaryFolder;
let agent: TestAgent;
let shellServer: Running;
let bridge: Running;
const servers: Server[] = [];
let shellPath: string;
let hybridPath: string;
beforeAll(async () => {
  folder = new TemporaryFolder();
  agent = await TestAgent.start();
  shellPath = folder.file("shell");
  shellServer = new Running(["shell-server", "--listen", `unix:${shellPath}`]);
  await shellServer.says("listening on");
  hybridPath = folder.file("vm");
  bridge = new Running(["bridge", "--uds-path", hybridPath, "--to", `unix:${agent.path}`]);
  await bridge.says("listening on");
});
afterAll(async () => {
  for (const server of servers) server.close();
  await bridge[Symbol.asyncDispose]();
  await shellServer[Symbol.asyncDispose]();
  await agent[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
});

/** A server that sends `banner` at once, or for the first bytes of the client. */
async function serve(name: string, banner: string, atOnce: boolean): Promise<string> {
  const path = folder.file(name);
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

  test("names the hybrid address of a VMM's socket", async () => {
    const { status, stderr } = await vsockbox(["info", `unix:${hybridPath}`]);
    expect({ status, stderr }).toMatchObject({ status: 69 });
    expect(stderr).toContain(`its address is hybrid:${hybridPath}`);
    const run = await vsockbox(["exec", `unix:${hybridPath}`, "--", "true"]);
    expect(run).toMatchObject({ status: 255 });
    expect(run.stderr).toContain(`its address is hybrid:${hybridPath}`);
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
