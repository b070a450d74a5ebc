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

/** The objects in the first output of a command that continues. */
async function firstObjects(running: Running): Promise<Record<string, unknown>[]> {
  for await (const chunk of running.process.stdout) {
    return objects({ stdout: Buffer.from(chunk).toString() });
  }
  throw new Error("it has printed nothing");
}

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
    expectShape((await firstObjects(forward))[0], shapeOf("forward"));
  });

  test.each([["none"], ["unix:ready"]])("agent, with --ready-listen %s", async (ready) => {
    const at = (word: string) => word.replace("unix:", `unix:${directory}/`);
    const words = ["--listen", at("unix:other"), "--ready-listen", at(ready), "--metrics", ":0"];
    await using other = new Running(["agent", "--json", ...words]);
    const [object] = await firstObjects(other);
    expectShape(object, shapeOf("agent"));
    expect(object).toMatchObject({
      listening: at("unix:other"),
      ready_listening: ready === "none" ? null : at(ready),
      metrics: expect.stringMatching(/^0\.0\.0\.0:\d+$/),
    });
  });

  test("listen --exec, as soon as it listens", async () => {
    const address = `unix:${directory}/listen`;
    await using listener = new Running(["listen", "--json", "--exec", "cat", address]);
    const [object] = await firstObjects(listener);
    expectShape(object, shapeOf("listen --exec"));
    expect(object).toEqual({ listening: address });
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
