/** Every command's JSON output has exactly the keys and types that docs/json.md lists. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expectShape, shapeOf } from "../support/json-shapes.ts";
import { eventually, type RunResult, Running, TestAgent, vsockbox } from "../support/binary.ts";
import { packetBytes, pcapBytes } from "../support/vsock-packets.ts";

const objects = ({ stdout }: Pick<RunResult, "stdout">) =>
  stdout
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>);

let agent: TestAgent;
let directory: string;
beforeAll(async () => {
  agent = await TestAgent.start();
  directory = agent.scratch.path;
  writeFileSync(join(directory, "file"), "content");
});
afterAll(() => agent[Symbol.asyncDispose]());

const guestPath = (name: string) => `${agent.address}:${join(directory, name)}`;

describe("the object of", () => {
  test("ps and kill, of sessions that run and that have ended", async () => {
    const start = [
      "exec",
      "--json",
      "--detach",
      "--name",
      "kept",
      agent.address,
      "--",
      "sleep",
      "99",
    ];
    expectShape(objects(await vsockbox(start))[0], shapeOf("exec --detach"));
    const ps = await vsockbox(["ps", "--json", agent.address]);
    for (const session of objects(ps)) expectShape(session, shapeOf("ps"));
    expectShape(
      objects(await vsockbox(["kill", "--json", agent.address, "kept"]))[0],
      new Map([...shapeOf("ps"), ...shapeOf("kill")]),
    );
    const [ended] = objects(await vsockbox(["ps", "--json", agent.address]));
    expectShape(ended, shapeOf("ps"));
    expect(ended).toMatchObject({
      state: "ended",
      signal: "SIGTERM",
      exit_code: 143,
      name: "kept",
    });
    expectShape(
      objects(await vsockbox(["logs", "--json", agent.address, "kept"]))[0],
      shapeOf("logs"),
    );
  });

  test("exec, for each of its events", async () => {
    const line = "echo out; printf '\\377' >&2; exit 3";
    const events = objects(
      await vsockbox(["exec", "--json", agent.address, "--", "sh", "-c", line]),
    );
    const shape = shapeOf("exec");
    const only = (...keys: string[]) =>
      new Map(["event", ...keys].map((key) => [key, shape.get(key) ?? "string"]));
    const of = (name: string) => events.find(({ event }) => event === name);
    expectShape(of("stdout"), only("text"));
    expectShape(of("stderr"), only("base64"));
    expectShape(of("exit"), only("exit_code", "signal", "timed_out", "duration_ms"));
    const failed = await vsockbox(["exec", "--json", agent.address, "--", "no-such-program"]);
    expect(objects(failed)).toHaveLength(1);
    const [{ event, ...error } = {}] = objects(failed);
    expect(event).toBe("error");
    expectShape(error, shapeOf("Errors"));
    expect(error).toMatchObject({
      error: { code: "NOT_STARTED", kind: "not_found", stage: "program", errno: "ENOENT" },
    });
  });

  test.each([
    ["info", () => ["info", agent.address]],
    ["stat", () => ["stat", guestPath("file")]],
    ["cp", () => ["cp", join(directory, "file"), guestPath("copy")]],
    ["rm", () => ["rm", guestPath("copy")]],
    ["wait", () => ["wait", agent.address]],
    ["smoke", () => ["smoke", "--target", agent.address]],
    ["doctor", () => ["doctor", agent.address]],
    ["initramfs", () => ["initramfs", "-o", join(directory, "image.cpio")]],
  ] as const)("%s", async (section, words) => {
    const result = await vsockbox([...words(), "--json"]);
    expect(result.status).toBe(0);
    expectShape(objects(result)[0], shapeOf(section));
  });

  test("stat and ls, with the mode in octal and the target of a link", async () => {
    const path = join(directory, "modes");
    await vsockbox([
      "exec",
      agent.address,
      "--",
      "sh",
      "-c",
      `mkdir ${path}; cd ${path}; echo 1 >a; chmod 4640 a; ln -s a b`,
    ]);
    const entries = objects(await vsockbox(["ls", "--json", `${agent.address}:${path}`]));
    for (const entry of entries)
      expectShape(entry, new Map([...shapeOf("stat"), ...shapeOf("ls")]));
    expect(entries).toMatchObject([
      { name: "a", mode: "4640", size_bytes: 2, link_target: null },
      { name: "b", type: "link", link_target: "a" },
    ]);
  });

  test("ping, and its summary", async () => {
    const lines = objects(await vsockbox(["ping", "--json", "--count", "2", agent.address]));
    expect(lines).toHaveLength(3);
    for (const line of lines.slice(0, 2)) expectShape(line, shapeOf("ping"));
    expect(Object.keys(lines[2] ?? {})).toEqual(["summary"]);
  });

  test("forward, as soon as it listens", async () => {
    await using forward = new Running(["forward", "--json", "-L", "0:localhost:1", agent.address]);
    for await (const chunk of forward.process.stdout) {
      expectShape(objects({ stdout: Buffer.from(chunk).toString() })[0], shapeOf("forward"));
      break;
    }
  });

  test("install, with and without an installation", async () => {
    await vsockbox(["exec", agent.address, "--", "mkdir", "-p", join(directory, "root/etc")]);
    const install = ["install", "--json", "--dry-run", "--root", join(directory, "root")];
    const result = await vsockbox([...install, "--service", "none"]);
    expect(result).toMatchObject({ status: 0 });
    expectShape(objects(result)[0], shapeOf("install"));
  });

  test("monitor, of each packet, and its summary", async () => {
    const file = join(directory, "x.pcap");
    const packets = [{ payload: "hello" }, { transport: 1, monitorOp: 9 }, { op: 77, type: 9 }];
    writeFileSync(file, pcapBytes(packets.map((fields) => ({ bytes: packetBytes(fields) }))));
    const lines = objects(
      await vsockbox(["monitor", "--read", file, "--json", "--payload", "text"]),
    );
    expect(lines).toHaveLength(4);
    for (const line of lines.slice(0, 3)) expectShape(line, shapeOf("monitor"));
    expect(lines[0]).toMatchObject({ op: "rw", payload_base64: "aGVsbG8=" });
    expect(lines.at(-1)).toEqual({ summary: { packets: 3, matched: 3, packets_lost: 0 } });
  });

  test("hybrid-proxy status", async () => {
    const socket = join(directory, "vmm.socket");
    const words = [
      "--socket",
      socket,
      "--uds-path",
      join(directory, "vm.vsock"),
      "--guest-cid",
      "9",
    ];
    await using _device = new Running(["hybrid-proxy", ...words]);
    const status = () => vsockbox(["hybrid-proxy", "status", "--json", socket]);
    await eventually("it has a status", async () => (await status()).stdout.includes("guest_cid"));
    expectShape(objects(await status())[0], shapeOf("hybrid-proxy status"));
  });
});

describe("an error", () => {
  test.each([
    ["kill", () => ["kill", agent.address, "no-such-session"]],
    ["logs", () => ["logs", agent.address, "no-such-session"]],
    ["stat", () => ["stat", guestPath("missing")]],
    ["cp", () => ["cp", join(directory, "missing"), guestPath("copy")]],
    ["rm", () => ["rm", guestPath("missing")]],
    ["info", () => ["info", "unix:/no/such/socket"]],
    ["exec --detach", () => ["exec", "--detach", agent.address, "no-such-program"]],
    ["an unknown option", () => ["info", agent.address, "--no-such-option"]],
  ] as const)("of %s is the last line, in the one shape", async (_, words) => {
    const [command = "", ...others] = words();
    const result = await vsockbox([command, "--json", ...others]);
    expect(result.status).toBeGreaterThan(0);
    expectShape(objects(result).at(-1), shapeOf("Errors"));
    const { error } = objects(result).at(-1) as { error: { message: string } };
    expect(result.stderr).toContain(error.message);
  });

  test("of each operand that fails is a line", async () => {
    const result = await vsockbox([
      "stat",
      "--json",
      guestPath("m1"),
      guestPath("file"),
      guestPath("m2"),
    ]);
    expect(objects(result).map((object) => Object.keys(object)[0])).toEqual([
      "error",
      "path",
      "error",
    ]);
  });

  test("of a remote command's own --json is not printed as JSON", async () => {
    const result = await vsockbox(["exec", "unix:/no/such/socket", "jq", "--json"]);
    expect(result).toMatchObject({ status: 69, stdout: "" });
  });
});
