/** Unix sockets on which another user listens. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chownSync, existsSync, mkdirSync } from "node:fs";
import { Op } from "../../src/protocols/virtio-vsock/packet.ts";
import { eventually, Running, ScratchDirectory, vsockbox } from "../support/binary.ts";
import { LocalDevice } from "../support/local-device.ts";

/** A user without an entry in /etc/passwd. */
const OTHER = 12_345;

/** Another user's processes need root to be started. */
const isRoot = process.getuid?.() === 0;

/** A directory in which the other user may make sockets. */
function othersDirectory(scratch: ScratchDirectory): string {
  const path = scratch.file("others");
  mkdirSync(path, { mode: 0o755 });
  chownSync(scratch.path, OTHER, OTHER);
  chownSync(path, OTHER, OTHER);
  return path;
}

const asOther = {
  through: ["setpriv", `--reuid=${OTHER}`, `--regid=${OTHER}`, "--clear-groups"],
};

describe.if(isRoot)("a client", () => {
  let scratch: ScratchDirectory;
  let agent: Running;
  let directory: string;
  let address: string;
  beforeAll(async () => {
    scratch = new ScratchDirectory();
    directory = othersDirectory(scratch);
    address = `unix:${directory}/s`;
    agent = new Running(["agent", "--listen", address], asOther);
    await agent.says("listening on");
    // The file's owner proves nothing: a squatter may have root's own file in the way.
    chownSync(`${directory}/s`, 0, 0);
    await Bun.write(
      scratch.file("config/vsockbox/config.yaml"),
      `vms:\n  theirs:\n    address: ${address}\n    socket_owner: ${OTHER}\n`,
    );
  });
  afterAll(async () => {
    await agent[Symbol.asyncDispose]();
    scratch[Symbol.dispose]();
  });

  const COMMANDS: [string, (target: string) => string[]][] = [
    ["info", (target) => ["info", target]],
    ["exec", (target) => ["exec", target, "--", "true"]],
    ["cp", (target) => ["cp", "/etc/hostname", `${target}:/tmp/`]],
    ["wait", (target) => ["wait", target, "--timeout", "5"]],
    ["forward", (target) => ["forward", target, "-L", "0:localhost:1"]],
    ["connect", (target) => ["connect", target, "-n"]],
    ["connect --fdpass", (target) => ["connect", "--fdpass", target]],
    ["shell-client", (target) => ["shell-client", target, "true"]],
    ["guest-exec", (target) => ["guest-exec", "-q", target]],
  ];

  test.each(COMMANDS)(
    "%s does not connect to it and names the option that allows it",
    async (_name, words) => {
      const { status, stderr } = await vsockbox(words(address));
      expect({ status, stderr }).toMatchObject({ status: 77 });
      expect(stderr).toContain(`user ${OTHER} listens there`);
      expect(stderr).toContain(`\`--allow-socket-owner ${OTHER}\` connects to it`);
    },
  );

  test("nothing has reached the one who listens", () => {
    expect(agent.stderr.trim().split("\n")).toHaveLength(1);
  });

  test.each([
    ["the option", ["--allow-socket-owner", String(OTHER)], {}],
    ["any", ["--allow-socket-owner", "any"], {}],
    ["one of several", ["--allow-socket-owner", `root,${OTHER}`], {}],
    ["the variable", [], { VSOCKBOX_ALLOW_SOCKET_OWNER: String(OTHER) }],
  ] as [string, string[], Record<string, string>][])("%s allows it", async (_name, words, env) => {
    expect(await vsockbox(["info", address, ...words], { env })).toMatchObject({ status: 0 });
  });

  test("a profile allows it", async () => {
    const env = { XDG_CONFIG_HOME: scratch.file("config") };
    expect(await vsockbox(["info", "theirs"], { env })).toMatchObject({ status: 0 });
    expect((await vsockbox(["vms"], { env })).stdout).toMatch(/theirs .* ready /);
  });

  test("another user's name or number does not", async () => {
    const words = ["info", address, "--allow-socket-owner", "nobody,4"];
    expect(await vsockbox(words)).toMatchObject({ status: 77 });
    const unknown = await vsockbox(["info", address, "--allow-socket-owner", "no-such-user"]);
    expect(unknown).toMatchObject({ status: 78 });
  });

  test("an abstract name serves its own user and root alone, and is trusted like a path", async () => {
    const name = `unix:@vsockbox-test-owner-${process.pid}`;
    await using own = new Running(["listen", name, "--keep-open", "--exec", "echo served"]);
    await own.says("listening");
    expect((await vsockbox(["connect", name])).stdout).toBe("served\n");
    await using stranger = new Running(["connect", name], asOther);
    expect(await new Response(stranger.process.stdout).text()).toBe("");
    await using theirs = new Running(["listen", `${name}-2`, "--exec", "echo theirs"], asOther);
    await theirs.says("listening");
    expect(await vsockbox(["connect", `${name}-2`])).toMatchObject({ status: 77, stdout: "" });
  });

  test("a user reaches root's socket and its own", async () => {
    await using root = new Running(["agent", "--listen", `unix:${scratch.file("root")}`]);
    await root.says("listening on");
    chownSync(scratch.file("root"), OTHER, OTHER);
    await using own = new Running(["agent", "--listen", `unix:${directory}/own`], asOther);
    await own.says("listening on");
    for (const target of [`unix:${scratch.file("root")}`, `unix:${directory}/own`]) {
      await using run = new Running(["info", target], asOther);
      expect([target, await run.process.exited]).toEqual([target, 0]);
    }
  });
});

describe.if(isRoot)("a guest of the device is reached", () => {
  const PORT = 1234;

  async function connectTo(
    owners: readonly number[],
  ): Promise<[op: number | undefined, log: string]> {
    using scratch = new ScratchDirectory();
    const udsPath = `${othersDirectory(scratch)}/uds`;
    using local = new LocalDevice({ udsPath, socketOwners: owners });
    await using _service = new Running(["listen", "-k", `unix:${udsPath}_${PORT}`], asOther);
    const path = `${udsPath}_${PORT}`;
    await eventually("the service listens", () => existsSync(path));
    const driver = local.startGuest();
    driver.post();
    for (let count = 0; count < 3; count++) {
      driver.send({ op: Op.Request, srcPort: 1 + count, dstPort: PORT });
      local.turn();
    }
    const op = driver.receive()?.header.op;
    driver.guest.close();
    return [op, local.log.filter((line) => line.includes("listens there")).join("\n")];
  }

  test("does not reach a service of another user, which is logged once", async () => {
    const [op, log] = await connectTo([]);
    expect(op).toBe(Op.Rst);
    expect(log.split("\n")).toHaveLength(1);
    expect(log).toContain(`user ${OTHER} listens there; --allow-socket-owner ${OTHER} allows it`);
  });

  test("reaches it if that user is allowed", async () => {
    const [op, log] = await connectTo([OTHER]);
    expect(op).toBe(Op.Response);
    expect(log).toBe("");
  });
});
