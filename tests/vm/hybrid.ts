/** The vhost-user device in front of a guest of its own: host and guest talk without a kernel module. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { dial } from "../../src/net/dial.ts";
import { ERRNO } from "../../src/ffi/errno.ts";
import { closeDescriptor, writeDescriptor } from "../../src/ffi/socket.ts";
import { listen } from "../../src/net/listen.ts";
import type { Kernel } from "../../src/vm/kernel.ts";
import { eventually, processesWith, Running, vsockbox } from "../support/binary.ts";
import { connectHybrid, readAll, writeAll } from "../support/hybrid-client.ts";
import { acceptFrom, readAll as readNow } from "../support/local-device.ts";
import { connectUnix } from "../support/raw-vmm.ts";
import { KnownBytes, KnownHash } from "../support/known-bytes.ts";
import { standsStill } from "../support/process-state.ts";
import { qemuMonitor } from "../support/qemu-monitor.ts";
import { DeviceFixture, type Vmm, type VmStatus } from "./device-fixture.ts";
import { sharedDirectoryTests } from "./vfs.ts";
import { describeNewerKernel, describeUml, describeVm, findNewerKernel } from "./support.ts";

const MIB = 1024 * 1024;

describeUml("hybrid-proxy with User-mode Linux", () => deviceTests({ name: "uml", bulkMib: 1024 }));
describeUml("hybrid-proxy --sandbox with User-mode Linux", () =>
  deviceTests({ name: "uml", bulkMib: 256, options: ["--sandbox"] }),
);
// The emulated guests carry less: nothing of the device depends on the VMM's speed or on an amount beyond this.
describeVm("hybrid-proxy with QEMU", () => deviceTests({ name: "qemu", bulkMib: 256 }));
describeNewerKernel("hybrid-proxy with QEMU and a newer kernel", () =>
  deviceTests({ name: "qemu", bulkMib: 128, findKernel: findNewerKernel }),
);

/** Whether a kernel's buffers have header and payload in one descriptor: those from Linux 6.2 on. */
function hasSingleDescriptors({ version }: Kernel): boolean {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  return major > 6 || (major === 6 && minor >= 2);
}

/** A connection whose guest has closed before anything was read of it. */
interface LeftConnection {
  /** The host's end, which the test closes. */
  service: number;
  /** What the guest has sent. */
  bytes: Buffer;
}

/** Sends so many messages from the guest to a service of the host that reads none of them, and closes. */
async function leave(
  on: DeviceFixture,
  port: number,
  { records, count, size }: { records: boolean; count: number; size: number },
): Promise<LeftConnection> {
  using listener = on.listenUnread(port, records);
  const known = new KnownBytes();
  const bytes = Buffer.concat(Array.from({ length: count }, () => known.next(size)));
  const command = records ? "leave-records" : "leave";
  expect(await on.run(`guest-vsock ${command} 2 ${port} ${count} ${size}`)).toBe(known.report);
  const service = acceptFrom(listener) ?? -1;
  const own = (await on.vmStatus()).connections.find(({ host_port }) => host_port === port);
  expect(own?.waiting_bytes).toBeGreaterThan(0);
  return { service, bytes };
}

/** Reads a socket of the host to its end, as its bytes arrive. */
async function readToEnd(service: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for (;;) {
    const chunk = readNow(service);
    if (chunk === undefined) return Buffer.concat(chunks);
    if (chunk.length === 0) await Bun.sleep(1);
    else chunks.push(chunk);
  }
}

/** Returns the number of bytes that a socket has handed to the kernel. */
const writtenBytes = (client: Socket) => client.bytesWritten - client.writableLength;

/** Defines the tests of the device with one VMM, in an order: the last ones end the guest. */
function deviceTests(vmm: Vmm): void {
  const fixture = new DeviceFixture(vmm);
  const left: LeftConnection[] = [];
  beforeAll(async () => {
    await fixture.start();
    // Their RST comes while the transfers run.
    left.push(await leave(fixture, 7002, { records: false, count: 44, size: 5000 }));
    left.push(await leave(fixture, 7006, { records: true, count: 40, size: 3000 }));
  });
  afterAll(() => fixture[Symbol.asyncDispose]());

  transferTests(fixture);
  closeTests(fixture, left);
  socketTests(fixture);
  loadTests(fixture);
  readerTests(fixture);
  serviceTests(fixture);
  if (vmm.name === "qemu") {
    sharedDirectoryTests(fixture);
    stoppedVmmTests(fixture);
  }
  killedVmmTests(fixture);
  if (vmm.name === "qemu") rebootTests(fixture);
}

/** Commands, files and plain bytes in both directions. */
function transferTests(on: DeviceFixture): void {
  const { bulkMib } = on.vmm;
  test("sets the guest's CID, and exec runs there", async () => {
    expect(await on.run("vsockbox cid")).toBe("4\n");
    const result = await vsockbox(["exec", on.address, "--", "uname", "-s"]);
    expect(result).toMatchObject({ status: 0, stdout: "Linux\n" });
    expect((await vsockbox(["exec", on.address, "--", "sh", "-c", "exit 7"])).status).toBe(7);
  });

  test("carries a file each way with equal hashes", async () => {
    const source = on.scratch.file("source");
    const data = Buffer.alloc(16 * MIB);
    for (let at = 0; at < data.length; at += 65_536) {
      crypto.getRandomValues(data.subarray(at, at + 65_536));
    }
    writeFileSync(source, data);
    const up = await vsockbox(["cp", source, `${on.address}:/tmp/up`]);
    expect(up).toMatchObject({ status: 0, stderr: "" });
    const hash = createHash("sha256").update(data).digest("hex");
    expect(await on.run("sha256sum < /tmp/up")).toStartWith(hash);
    const down = await vsockbox(["cp", `${on.address}:/tmp/up`, on.scratch.file("down")]);
    expect(down).toMatchObject({ status: 0, stderr: "" });
    const back = new Uint8Array(await Bun.file(on.scratch.file("down")).arrayBuffer());
    expect(createHash("sha256").update(back).digest("hex")).toBe(hash);
    await on.run("rm /tmp/up");
  });

  test(`carries ${bulkMib} MiB from the host to the guest with equal hashes`, async () => {
    const result = await on.runListener("guest-vsock receive 7400");
    const known = new KnownBytes();
    const client = await connectHybrid(on.uds, 7400);
    await writeAll(client, chunksOf(known, bulkMib));
    expect(await result()).toBe(known.report);
    client.destroy();
  });

  test("fills many of the guest's buffers with one system call", async () => {
    const result = await on.runListener("guest-vsock receive 7402");
    const client = await connectHybrid(on.uds, 7402);
    const before = on.readCalls();
    await writeAll(client, chunksOf(new KnownBytes(), 64));
    await result();
    client.destroy();
    // Linux offers buffers of 4 KiB.
    expect(on.readCalls() - before).toBeLessThan((64 * MIB) / 4096 / 2);
  });

  test(`carries ${bulkMib} MiB from the guest to the host with equal hashes`, async () => {
    const hash = new KnownHash();
    const server = await on.serve(7401, (client) => {
      void readAll(client, (chunk) => hash.push(chunk)).then(() => client.end());
    });
    expect(await on.run(`guest-vsock transmit 2 7401 ${bulkMib}`)).toBe(hash.report);
    expect(hash.report).toStartWith(`${bulkMib * MIB} bytes`);
    server.close();
  });
}

/** Each way in which a connection ends. */
function closeTests(on: DeviceFixture, left: readonly LeftConnection[]): void {
  test("bytes and records of a guest that has closed reach a slow reader after Linux's RST", async () => {
    // Linux waits eight seconds for the device.
    const areReset = async () => (await on.vmStatus()).connections_draining === left.length;
    await eventually("the guest has sent an RST for each", areReset);
    for (const { service, bytes } of left) {
      expect((await readToEnd(service)).equals(bytes)).toBe(true);
      closeDescriptor(service);
    }
    const { connections_draining: draining, counters } = await on.vmStatus();
    expect([draining, counters.bytes_lost]).toEqual([0, 0]);
  });

  test("a guest that shuts down reading ends the writing of the host", async () => {
    const result = await on.runListener("guest-vsock deaf 7003");
    const client = connectUnix(on.uds);
    writeDescriptor(client, Buffer.from("CONNECT 7003\n"));
    const chunk = new Uint8Array(4096);
    const isRefused = () => writeDescriptor(client, chunk) === -ERRNO.EPIPE;
    await eventually("the host's write fails with EPIPE", isRefused);
    closeDescriptor(client);
    expect(await result()).toBe("");
  });

  test("the data of a client that closes right after it is delivered", async () => {
    const result = await on.runListener("guest-vsock receive 7004");
    const known = new KnownBytes();
    const client = connectUnix(on.uds);
    writeDescriptor(client, Buffer.concat([Buffer.from("CONNECT 7004\n"), known.next(100_000)]));
    closeDescriptor(client);
    expect(await result()).toBe(known.report);
  });

  if (on.vmm.name === "qemu") {
    test("header and payload are in one descriptor with a kernel from 6.2 on", async () => {
      const { counters } = await on.vmStatus();
      // Late releases of 6.1 have it as well.
      if (hasSingleDescriptors(on.kernel())) {
        expect(counters.single_descriptor_to_guest).toBeGreaterThan(0);
      }
      if (on.vmm.findKernel === findNewerKernel)
        expect(hasSingleDescriptors(on.kernel())).toBe(true);
    });
  }
}

/** The Unix sockets of the host: PATH_PORT, and CONNECT lines. */
function socketTests(on: DeviceFixture): void {
  test("guest to host through PATH_PORT, with half-close; a port without a listener is refused", async () => {
    const server = await on.serve(7000, (client) => {
      let count = 0;
      client.on("data", (chunk) => (count += chunk.length));
      client.on("end", () => client.end(`got ${count}`));
    });
    expect(await on.run("head -c 5000000 /dev/zero | vsockbox connect host:7000")).toBe(
      "got 5000000",
    );
    server.close();
    expect(await on.run("guest-vsock refused 2 7001")).toBe("ECONNRESET\n");
  });

  test("host to guest with half-close, and bytes right after the CONNECT line", async () => {
    await on.run("(vsockbox listen vsock::7100 -q -k --exec 'wc -c' > /dev/null 2>&1 &)");
    const isListening = async () => {
      const client = await connectHybrid(on.uds, 7100).catch(() => undefined);
      client?.destroy();
      return client !== undefined;
    };
    await eventually("it listens", isListening);
    const answer = await new Promise<string>((resolve, reject) => {
      let text = "";
      const client = connect({ path: on.uds, allowHalfOpen: true });
      client.on("data", (chunk) => (text += chunk.toString()));
      client.on("end", () => resolve(text));
      client.on("error", reject);
      client.end(Buffer.concat([Buffer.from("connect 7100\n"), new Uint8Array(300_000)]));
    });
    expect(answer).toMatch(/^OK 1073\d{6}\n300000\n$/);
  });

  test("a dead port of the guest, and nonsense, are closed without an answer", async () => {
    for (const line of ["CONNECT 7999\n", "HELLO\n", `${"x".repeat(100)}\n`, "CONNECT\n"]) {
      const answer = await new Promise<string>((resolve) => {
        let text = "";
        const client = connect(on.uds);
        client.on("data", (chunk) => (text += chunk.toString()));
        client.on("close", () => resolve(text));
        client.on("error", () => undefined);
        client.write(line);
      });
      expect([line, answer]).toEqual([line, ""]);
    }
  });
}

/** Many connections at once. */
function loadTests(on: DeviceFixture): void {
  test("1,000 connections of the guest, 500 at once", async () => {
    const before = on.descriptors();
    const server = await on.serve(7500, (client) => client.pipe(client));
    expect(await on.run("guest-vsock many 2 7500 1000 500")).toBe(
      "1000 connections, 500 at once\n",
    );
    server.close();
    await eventually("all descriptors are closed", () => on.descriptors() <= before);
  });

  test("1,000 connections of the host, 500 at once", async () => {
    const before = on.descriptors();
    await on.runListener("guest-vsock echo 7600");
    for (let round = 0; round < 2; round++) {
      const clients = await Promise.all(
        Array.from({ length: 500 }, () => connectHybrid(on.uds, 7600)),
      );
      const answers = await Promise.all(
        clients.map(async (client, index) => {
          client.end(`client ${index}`);
          let text = "";
          await readAll(client, (chunk) => (text += Buffer.from(chunk).toString()));
          return text;
        }),
      );
      expect(answers).toEqual(clients.map((_, index) => `client ${index}`));
      for (const client of clients) client.destroy();
    }
    await eventually("all descriptors are closed", () => on.descriptors() <= before);
  });
}

/** Slow readers, and the borders of records. */
function readerTests(on: DeviceFixture): void {
  test("a reader in the guest that stops until nothing moves and goes on misses nothing", async () => {
    const result = await on.runListener("guest-vsock receive 7700 /tmp/go-on");
    const known = new KnownBytes();
    const client = await connectHybrid(on.uds, 7700);
    const written = writeAll(client, chunksOf(known, 32));
    await standsStill("the device accepts no more", () => writtenBytes(client));
    expect(writtenBytes(client)).toBeLessThan(32 * MIB);
    // The others go on meanwhile.
    expect((await vsockbox(["exec", on.address, "--", "echo", "on"])).stdout).toBe("on\n");
    await on.run("touch /tmp/go-on");
    await written;
    expect(await result()).toBe(known.report);
    client.destroy();
    await on.run("rm /tmp/go-on");
  });

  test("a reader on the host that stops until nothing moves and goes on misses nothing", async () => {
    const hash = new KnownHash();
    const accepted = Promise.withResolvers<Socket>();
    const server = await on.serve(7701, (client) => {
      client.pause();
      accepted.resolve(client);
    });
    const sent = on.run("guest-vsock transmit 2 7701 32");
    const client = await accepted.promise;
    const sentBytes = async () => {
      const { connections } = await on.vmStatus();
      return connections.find(({ host_port }) => host_port === 7701)?.bytes_from_guest;
    };
    expect(await standsStill("the guest sends no more", sentBytes)).toBeLessThan(32 * MIB);
    expect((await vsockbox(["exec", on.address, "--", "echo", "on"])).stdout).toBe("on\n");
    void readAll(client, (chunk) => hash.push(chunk)).then(() => client.end());
    expect(await sent).toBe(hash.report);
    server.close();
  });

  test("records of a seqpacket keep their borders, both ways", async () => {
    const sizes = [1, 10, 60_000, 4096, 4052, 65_000, 3];
    const seen: number[] = [];
    const listener = listen(
      { kind: "unix", path: `${on.uds}_7200` },
      {
        allowed: "any",
        seqpacket: true,
        async onConnection(stream) {
          for await (const record of stream) {
            seen.push(record.length);
            await stream.write(record);
          }
          await stream.end();
        },
      },
    );
    const shown = sizes.map((size, index) => `${size}${String.fromCharCode(97 + index)} `);
    expect(await on.run(`guest-vsock records 2 7200 ${sizes.join(" ")}`)).toBe(
      `${shown.join("")}end\n`,
    );
    expect(seen).toEqual(sizes);
    listener.close();

    const result = await on.runListener("guest-vsock echo-records 7300");
    const target = { kind: "hybrid", path: on.scratch.file("seqpacket"), port: 7300 } as const;
    const stream = await dial(target, { seqpacket: true });
    for (const size of sizes) {
      await stream.write(new Uint8Array(size).fill(size));
      expect(await stream.read()).toEqual(new Uint8Array(size).fill(size));
    }
    await stream.end();
    expect(await stream.read()).toBe(undefined);
    await stream.close();
    expect(await result()).toBe("");
  });

  test("many clients at once, and clients that vanish, leave no connection", async () => {
    const before = on.descriptors();
    const results = await Promise.all(
      Array.from({ length: 20 }, (_, index) =>
        vsockbox(["exec", on.address, "-n", "--", "echo", String(index)]),
      ),
    );
    expect(results.map(({ stdout }) => stdout)).toEqual(results.map((_, index) => `${index}\n`));
    const clients = Array.from({ length: 200 }, (_, index) => {
      const client = connect(on.uds);
      client.on("error", () => undefined);
      if (index % 2 === 0) client.write(index % 4 === 0 ? "CONNECT 5000\n" : "CONN");
      return client;
    });
    await eventually("they are connected", () => on.descriptors() > before + 100);
    for (const client of clients) client.destroy();
    await eventually("all descriptors are closed", () => on.descriptors() <= before);
    expect((await vsockbox(["exec", on.address, "--", "echo", "on"])).stdout).toBe("on\n");
  });
}

/** Other services of vsockbox over the device. */
function serviceTests(on: DeviceFixture): void {
  test("a shell-server in the guest serves a shell-client of the host: commands and files", async () => {
    await on.run("(vsockbox shell-server -p 5400 > /tmp/shell.log 2>&1 &)");
    const server = `${on.address}:5400`;
    expect((await vsockbox(["wait", server, "--timeout", "120"])).status).toBe(0);
    const command = await vsockbox(["shell-client", server, "vsockbox cid; exit 3"]);
    expect([command.status, command.stdout.trim()]).toEqual([3, "4"]);
    const source = on.scratch.file("shell-source");
    writeFileSync(source, new KnownBytes().next(8 * MIB));
    const up = await vsockbox([
      "shell-client",
      server,
      "-q",
      "-u",
      source,
      "--to",
      "/tmp/shell-up",
    ]);
    expect([up.status, up.stderr]).toEqual([0, ""]);
    const back = on.scratch.file("shell-back");
    const down = await vsockbox([
      "shell-client",
      server,
      "-q",
      "-d",
      "/tmp/shell-up",
      "--to",
      back,
    ]);
    expect([down.status, down.stderr]).toEqual([0, ""]);
    expect(readFileSync(back).equals(readFileSync(source))).toBe(true);
    await on.run("rm /tmp/shell-up");
  });

  test("a guest-exec in the guest runs what a guest-exec-host of the host sends", async () => {
    const host = vsockbox([
      "guest-exec-host",
      `${on.address}:1024`,
      "-q",
      "--once",
      "--report",
      "vsockbox cid; exit 5",
    ]);
    const guestSide = await on.guest.run("vsockbox guest-exec 2:1024 --retry --report");
    expect(guestSide.status).toBe(5);
    const { status, stdout } = await host;
    expect([status, stdout]).toEqual([5, "4\n"]);
  });

  const words = ["--bytes", "4MiB", "--count", "50", "--streams", "2", "--warm-up", "0", "--json"];
  /** What these words measure, whatever the direction of the connections. */
  const expectMeasured = (stdout: string) => {
    const bytes = 2 * 4 * MIB;
    const results = stdout.trim().split("\n");
    expect(results.map((line) => JSON.parse(line) as object)).toMatchObject([
      { test: "upload", to_server_bytes: bytes },
      { test: "download", from_server_bytes: bytes },
      { test: "both", to_server_bytes: bytes, from_server_bytes: bytes },
      { test: "latency", operations: 50 },
      { test: "connects", operations: 50 },
    ]);
  };

  test("a bench serve in the guest measures with the host", async () => {
    await on.run("(vsockbox bench serve -q > /tmp/bench.log 2>&1 & echo $! > /tmp/bench.pid)");
    const server = `${on.address}:5201`;
    const wait = await vsockbox(["wait", "--connect-only", server, "--timeout", "120"]);
    expect(wait).toMatchObject({ status: 0 });
    const { status, stdout, stderr } = await vsockbox(["bench", "run", on.address, ...words]);
    await on.run("kill $(cat /tmp/bench.pid)");
    expect([status, stderr]).toEqual([0, ""]);
    expectMeasured(stdout);
  });

  test("a bench serve on the host measures with the guest", async () => {
    await using server = new Running(["bench", "serve", on.address]);
    await server.says("listening on");
    const { status, stdout } = await on.guest.run(`vsockbox bench run 2 ${words.join(" ")}`);
    expect(status).toBe(0);
    expectMeasured(stdout.toString());
  });

  test("status shows the open connections", async () => {
    await on.runListener("guest-vsock echo 7601");
    const client = await connectHybrid(on.uds, 7601);
    const { status, stdout } = await vsockbox(["hybrid-proxy", "status", on.socket, "--json"]);
    expect(status).toBe(0);
    const [vm] = stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as VmStatus);
    expect(vm?.guest_cid).toBe(4);
    const ports = vm?.connections.map(({ guest_port }) => guest_port);
    expect(ports).toEqual([7601]);
    client.destroy();
  });
}

/** A VMM that does not run for a while: only QEMU can be paused. */
function stoppedVmmTests(on: DeviceFixture): void {
  test("clients that disconnect before the guest has answered leave no connection", async () => {
    const before = on.descriptors();
    // A VMM that stands still has its rings, and answers nothing.
    const vmm = processesWith(on.socket).filter((pid) => pid !== on.device.pid);
    for (const pid of vmm) process.kill(pid, "SIGSTOP");
    try {
      const clients = await Promise.all(
        Array.from(
          { length: 100 },
          () =>
            new Promise<Socket>((resolve) => {
              const client = connect(on.uds, () =>
                client.write("CONNECT 5000\n", () => resolve(client)),
              );
              client.on("error", () => undefined);
            }),
        ),
      );
      await eventually("the device has them", () => on.descriptors() > before + 90);
      for (const client of clients) client.destroy();
      await eventually("the device has noticed", () => on.descriptors() <= before);
    } finally {
      for (const pid of vmm) process.kill(pid, "SIGCONT");
    }
    expect((await vsockbox(["exec", on.address, "--", "echo", "on"])).stdout).toBe("on\n");
  });

  test("a paused guest keeps its connections", async () => {
    const result = await on.runListener("guest-vsock receive 7800");
    const known = new KnownBytes();
    const client = await connectHybrid(on.uds, 7800);
    for (let round = 0; round < 3; round++) {
      for (const chunk of chunksOf(known, 4)) client.write(chunk);
      await qemuMonitor(on.scratch.file("monitor"), "stop");
      // Sent while nobody is there to take it.
      for (const chunk of chunksOf(known, 4)) client.write(chunk);
      await standsStill("the device accepts no more", () => writtenBytes(client));
      await qemuMonitor(on.scratch.file("monitor"), "cont");
    }
    client.end();
    expect(await result()).toBe(known.report);
    client.destroy();
  });
}

/** A VMM that is killed; the guest is booted again. */
function killedVmmTests(on: DeviceFixture): void {
  test("a VMM that is killed in the middle of a transfer leaves the device ready for the next", async () => {
    const before = on.descriptors();
    const server = await on.serve(7900, (client) => client.resume());
    on.guest.run("guest-vsock transmit 2 7900 100000").catch(() => undefined);
    await on.runListener("guest-vsock receive 7901");
    const client = await connectHybrid(on.uds, 7901);
    client.on("error", () => undefined);
    writeAll(client, chunksOf(new KnownBytes(), 100)).catch(() => undefined);
    await eventually("bytes are on their way", () => writtenBytes(client) > 2 * MIB);
    await on.guest.stop();
    await on.device.says("the VMM has disconnected");
    server.close();
    await eventually("its connections are closed", () => on.descriptors() < before);
    const nobody = await vsockbox(["exec", on.address, "--", "true"]);
    expect(nobody.status).toBe(69);
    await on.boot();
    const result = await vsockbox(["exec", on.address, "--", "vsockbox", "cid"]);
    expect(result).toMatchObject({ status: 0, stdout: "4\n" });
    expect(on.device.process.exitCode).toBe(null);
  });
}

/** The last ones: the guest's control channel does not outlive a reboot. */
function rebootTests(on: DeviceFixture): void {
  test("a guest that reboots finds no connection of before, and a working device", async () => {
    using listener = on.listenUnread(7005);
    await on.run("guest-vsock leave 2 7005 44 5000");
    const service = acceptFrom(listener) ?? -1;
    const lost = await connectHybrid(on.uds, 5000);
    lost.on("end", () => lost.destroy());
    lost.resume();
    on.guest.run("reboot -f").catch(() => undefined);
    // Its driver begins anew. An emulated machine may hang at boot: see src/vm/qemu.ts.
    const isUp = async () => {
      const patience = performance.now() + 60_000;
      while (!lost.closed && performance.now() < patience) await Bun.sleep(100);
      if (!lost.closed) await qemuMonitor(on.scratch.file("monitor"), "system_reset");
      return lost.closed;
    };
    await eventually("the connection of before is closed", isUp, 240_000);
    // Nobody listens yet, which the new guest itself says.
    const answer = await connectHybrid(on.uds, 5000).catch((thrown: Error) => thrown.message);
    expect(answer).toBe("closed without an answer");
    const { stdout } = await vsockbox(["hybrid-proxy", "status", on.socket, "--json"]);
    expect(JSON.parse(stdout)).toMatchObject({ guest_cid: 4, driver_ready: true });
    // What the guest sent before is still there.
    expect((await readToEnd(service)).length).toBe(44 * 5000);
    closeDescriptor(service);
  });
}

function* chunksOf(known: KnownBytes, mebibytes: number): Generator<Uint8Array> {
  for (let count = 0; count < mebibytes; count++) yield known.next(MIB);
}
