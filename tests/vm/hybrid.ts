/** The vhost-user device in front of a guest of its own: host and guest talk without a kernel module. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { bootGuest, type Guest } from "../../src/vm/guest.ts";
import { BINARY, eventually, Running, TemporaryFolder, vsockbox } from "../support/binary.ts";
import { describeVm } from "./support.ts";

describeVm("hybrid-proxy", () => {
  let folder: TemporaryFolder;
  let device: Running;
  let guest: Guest;
  let uds: string;
  let address: string;

  beforeAll(async () => {
    folder = new TemporaryFolder();
    uds = folder.file("vm4.vsock");
    address = `hybrid:${uds}`;
    const socket = folder.file("vhost.sock");
    device = new Running([
      "hybrid-proxy",
      "--guest-cid",
      "4",
      "--socket",
      socket,
      "--uds-path",
      uds,
    ]);
    await device.says("waiting for its VMM");
    guest = await bootGuest({
      binary: BINARY,
      environment: { VSOCKBOX_TEST_VM: "1", NO_COLOR: "1" },
      memoryMib: 1024,
      vsockDevices: [socket],
    });
    await run("(vsockbox agent -q > /tmp/agent.log 2>&1 &)");
    expect((await vsockbox(["wait", address, "--timeout", "60"])).status).toBe(0);
  });
  afterAll(async () => {
    await guest?.stop();
    await device?.[Symbol.asyncDispose]();
    folder?.[Symbol.dispose]();
  });

  async function run(line: string): Promise<string> {
    const { status, stdout, stderr } = await guest.run(line, { timeoutMs: 120_000 });
    const output = Buffer.from(stdout).toString();
    if (status === 0) return output;
    throw new Error(`status ${status} from: ${line}\n${output}${Buffer.from(stderr).toString()}`);
  }

  const descriptors = () => readdirSync(`/proc/${device.pid}/fd`).length;

  test("gives the guest its CID, and exec runs there", async () => {
    expect(await run("vsockbox cid")).toBe("4\n");
    const result = await vsockbox(["exec", address, "--", "uname", "-s"]);
    expect(result).toMatchObject({ status: 0, stdout: "Linux\n" });
    expect((await vsockbox(["exec", address, "--", "sh", "-c", "exit 7"])).status).toBe(7);
  });

  test("carries 64 MiB each way with equal hashes", async () => {
    const source = folder.file("source");
    const data = Buffer.alloc(64 * 1024 * 1024);
    for (let at = 0; at < data.length; at += 65_536) {
      crypto.getRandomValues(data.subarray(at, at + 65_536));
    }
    writeFileSync(source, data);
    const up = await vsockbox(["cp", source, `${address}:/tmp/up`]);
    expect(up).toMatchObject({ status: 0, stderr: "" });
    const hash = createHash("sha256").update(data).digest("hex");
    expect(await run("sha256sum < /tmp/up")).toStartWith(hash);
    const down = await vsockbox(["cp", `${address}:/tmp/up`, folder.file("down")]);
    expect(down).toMatchObject({ status: 0, stderr: "" });
    const back = new Uint8Array(await Bun.file(folder.file("down")).arrayBuffer());
    expect(createHash("sha256").update(back).digest("hex")).toBe(hash);
    await run("rm /tmp/up");
  });

  test("guest to host through PATH_PORT, with half-close; a port without a listener is refused", async () => {
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      let count = 0;
      socket.on("data", (chunk) => (count += chunk.length));
      socket.on("end", () => socket.end(`got ${count}`));
    });
    await new Promise<void>((resolve) => server.listen(`${uds}_7000`, resolve));
    expect(await run("head -c 5000000 /dev/zero | vsockbox connect host:7000")).toBe("got 5000000");
    server.close();
    const refused = await guest.run("vsockbox connect host:7001 < /dev/null; echo $?");
    expect(Buffer.from(refused.stdout).toString()).toBe("69\n");
  });

  test("host to guest with half-close, and bytes right behind the CONNECT line", async () => {
    await run(
      "(vsockbox listen vsock::7100 -q --keep-open --exec 'wc -c' > /dev/null 2>&1 &); sleep 1",
    );
    const answer = await new Promise<string>((resolve, reject) => {
      let text = "";
      const socket = connect({ path: uds, allowHalfOpen: true });
      socket.on("data", (chunk) => (text += chunk.toString()));
      socket.on("end", () => resolve(text));
      socket.on("error", reject);
      socket.end(Buffer.concat([Buffer.from("connect 7100\n"), new Uint8Array(300_000)]));
    });
    expect(answer).toMatch(/^OK 10737418\d\d\n300000\n$/);
  });

  test("a dead port of the guest, and nonsense, are closed without an answer", async () => {
    for (const line of ["CONNECT 7999\n", "HELLO\n", `${"x".repeat(100)}\n`, "CONNECT\n"]) {
      const answer = await new Promise<string>((resolve) => {
        let text = "";
        const socket = connect(uds);
        socket.on("data", (chunk) => (text += chunk.toString()));
        socket.on("close", () => resolve(text));
        socket.on("error", () => undefined);
        socket.write(line);
      });
      expect([line, answer]).toEqual([line, ""]);
    }
  });

  test("200 connections at once, and clients that vanish, leave nothing behind", async () => {
    const before = descriptors();
    const results = await Promise.all(
      Array.from({ length: 20 }, (_, index) =>
        vsockbox(["exec", address, "-n", "--", "echo", String(index)]),
      ),
    );
    expect(results.map(({ stdout }) => stdout)).toEqual(results.map((_, index) => `${index}\n`));
    const sockets = Array.from({ length: 200 }, (_, index) => {
      const socket = connect(uds);
      socket.on("error", () => undefined);
      if (index % 2 === 0) socket.write(index % 4 === 0 ? "CONNECT 5000\n" : "CONN");
      return socket;
    });
    await eventually("they are connected", () => descriptors() > before + 100);
    for (const socket of sockets) socket.destroy();
    await eventually("all descriptors are closed", () => descriptors() <= before);
  });

  test("the end of the guest leaves the device ready for the next", async () => {
    await guest.stop();
    await device.says("the VMM has disconnected");
    expect(existsSync(uds)).toBe(true);
    const nobody = await vsockbox(["exec", address, "--", "true"]);
    expect(nobody.status).toBe(69);
    expect(device.process.exitCode).toBe(null);
  });
});
