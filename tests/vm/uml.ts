/** Guests under User-mode Linux: how they run and end, and the device of hybrid-proxy in front of one. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { existsSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { bootGuest, type Guest } from "../../src/vm/guest.ts";
import { findUml, umlGuestFiles } from "../../src/vm/uml.ts";
import {
  BINARY,
  eventually,
  processesWith,
  Running,
  TemporaryFolder,
  vsockbox,
} from "../support/binary.ts";
import { describeUml } from "./support.ts";

const ENVIRONMENT = { VSOCKBOX_TEST_VM: "1", NO_COLOR: "1" };

/** Runs a line that has to succeed; gives its output. */
async function run(guest: Guest, line: string): Promise<string> {
  const { status, stdout, stderr } = await guest.run(line, { timeoutMs: 120_000 });
  const output = Buffer.from(stdout).toString();
  if (status === 0) return output;
  throw new Error(`status ${status} from: ${line}\n${output}${Buffer.from(stderr).toString()}`);
}

const sha256 = (data: Uint8Array) => createHash("sha256").update(data).digest("hex");

describeUml("a guest under User-mode Linux", () => {
  test("hands on every byte of large outputs, long commands and many at once", async () => {
    await using guest = await bootGuest({ vmm: "uml", binary: BINARY, environment: ENVIRONMENT });
    expect(await run(guest, "echo $VSOCKBOX_TEST_VM; uname -r")).toBe(`1\n${findUml().version}\n`);
    await run(guest, "head -c 8000000 /dev/urandom > /tmp/random");
    const { stdout } = await guest.run("cat /tmp/random");
    expect(stdout.length).toBe(8_000_000);
    expect(await run(guest, "sha256sum < /tmp/random")).toStartWith(sha256(stdout));
    expect(await run(guest, `echo ${"x".repeat(20_000)} | wc -c`)).toBe("20001\n");
    const answers = await Promise.all(
      Array.from({ length: 10 }, (_, index) => run(guest, `sleep 0.1; echo ${index}`)),
    );
    expect(answers).toEqual(answers.map((_, index) => `${index}\n`));
  });

  test("has vsock_loopback, files and memory as asked for", async () => {
    using folder = new TemporaryFolder();
    writeFileSync(folder.file("note"), "from the host\n");
    await using guest = await bootGuest({
      vmm: "uml",
      binary: BINARY,
      environment: ENVIRONMENT,
      files: [{ path: "/etc/note", source: folder.file("note"), mode: 0o600 }],
      memoryMib: 640,
    });
    expect(await run(guest, "cat /etc/note")).toBe("from the host\n");
    const total = Number(await run(guest, "awk '/^MemTotal/ { print $2 }' /proc/meminfo"));
    expect(total).toBeGreaterThan(560 * 1024);
    const line = "vsockbox agent --allow-local -q & vsockbox wait 1; vsockbox exec 1 -- echo hi";
    expect(await run(guest, line)).toBe("hi\n");
  });

  test("leaves no process and no file when it is stopped, or ends by itself", async () => {
    for (const end of ["stop", "poweroff"]) {
      const guest = await bootGuest({ vmm: "uml", binary: BINARY });
      const { folder } = guest;
      expect(processesWith(folder).length).toBeGreaterThan(1);
      if (end === "poweroff") {
        guest.run("poweroff -f").catch(() => undefined);
        await guest.ended;
        await eventually("its processes are gone", () => processesWith(folder).length === 0);
      }
      await guest.stop();
      await eventually("its processes are gone", () => processesWith(folder).length === 0);
      expect(existsSync(folder)).toBe(false);
    }
  });

  test("dies with the process that started it", async () => {
    const parent = Bun.spawn(
      [
        ...[process.execPath, "-e"],
        `import { bootGuest } from ${JSON.stringify(join(import.meta.dir, "../../src/vm/guest.ts"))};
        const guest = await bootGuest({ vmm: "uml", binary: ${JSON.stringify(BINARY)} });
        console.log(guest.folder);
        setInterval(() => {}, 1000);`,
      ],
      { stdout: "pipe", stderr: "inherit" },
    );
    const { value } = await parent.stdout.getReader().read();
    const folder = new TextDecoder().decode(value).trim();
    expect(folder).toContain("/vsockbox-guest-");
    try {
      expect(processesWith(folder).length).toBeGreaterThan(1);
      parent.kill("SIGKILL");
      await parent.exited;
      await eventually("its processes are gone", () => processesWith(folder).length === 0);
    } finally {
      parent.kill("SIGKILL");
      // Nobody was left to remove it.
      rmSync(folder, { recursive: true });
    }
  });

  test("fits into another guest", () => {
    const paths = umlGuestFiles().map(({ path }) => path);
    expect(paths[0]).toBe("/usr/bin/linux.uml");
    const names = paths.map((path) => path.split("/").at(-1));
    expect(names).toContain("modules.dep");
    expect(names).toContain("vmw_vsock_virtio_transport.ko");
    for (const path of paths.slice(1)) {
      expect(path).toStartWith(`/usr/lib/uml/modules/${findUml().version}/`);
    }
  });
});

describeUml("hybrid-proxy in front of User-mode Linux", () => {
  let folder: TemporaryFolder;
  let device: Running;
  let guest: Guest;
  let uds: string;
  let address: string;

  beforeAll(async () => {
    folder = new TemporaryFolder();
    uds = folder.file("vm5.vsock");
    address = `hybrid:${uds}`;
    const socket = folder.file("vhost.sock");
    device = new Running([
      "hybrid-proxy",
      ...["--guest-cid", "5", "--socket", socket, "--uds-path", uds],
    ]);
    await device.says("waiting for its VMM");
    guest = await boot();
  });
  afterAll(async () => {
    await guest?.stop();
    await device?.[Symbol.asyncDispose]();
    folder?.[Symbol.dispose]();
  });

  /** A guest on the device, its agent ready. */
  async function boot(): Promise<Guest> {
    const booted = await bootGuest({
      vmm: "uml",
      binary: BINARY,
      environment: ENVIRONMENT,
      memoryMib: 768,
      vsockDevices: [folder.file("vhost.sock")],
    });
    await run(booted, "(vsockbox agent -q > /tmp/agent.log 2>&1 &)");
    expect((await vsockbox(["wait", address, "--timeout", "60"])).status).toBe(0);
    return booted;
  }

  test("gives it a CID, and exec runs there", async () => {
    expect(await run(guest, "vsockbox cid")).toBe("5\n");
    const { status, stdout } = await vsockbox(["exec", address, "--", "uname", "-a"]);
    expect([status, stdout]).toEqual([0, expect.stringContaining(findUml().version)]);
    expect((await vsockbox(["exec", address, "--", "sh", "-c", "exit 7"])).status).toBe(7);
  });

  test("carries 32 MiB each way with equal hashes", async () => {
    const data = Buffer.alloc(32 * 1024 * 1024);
    for (let at = 0; at < data.length; at += 65_536) {
      crypto.getRandomValues(data.subarray(at, at + 65_536));
    }
    writeFileSync(folder.file("source"), data);
    const up = await vsockbox(["cp", folder.file("source"), `${address}:/tmp/up`]);
    expect(up).toMatchObject({ status: 0, stderr: "" });
    expect(await run(guest, "sha256sum < /tmp/up")).toStartWith(sha256(data));
    const down = await vsockbox(["cp", `${address}:/tmp/up`, folder.file("down")]);
    expect(down).toMatchObject({ status: 0, stderr: "" });
    expect(sha256(new Uint8Array(await Bun.file(folder.file("down")).arrayBuffer()))).toBe(
      sha256(data),
    );
    await run(guest, "rm /tmp/up");
  });

  test("keeps an answer that comes after the end of input", async () => {
    await run(
      guest,
      "(vsockbox listen vsock::7100 -q --keep-open --exec 'wc -c' > /dev/null 2>&1 &)",
    );
    expect((await vsockbox(["wait", `${address}:7100`, "--timeout", "60"])).status).toBe(0);
    const answer = await new Promise<string>((resolve, reject) => {
      let text = "";
      const socket = connect({ path: uds, allowHalfOpen: true });
      socket.on("data", (chunk) => (text += chunk.toString()));
      socket.on("end", () => resolve(text));
      socket.on("error", reject);
      socket.end(Buffer.concat([Buffer.from("CONNECT 7100\n"), new Uint8Array(300_000)]));
    });
    expect(answer).toMatch(/^OK \d+\n300000\n$/);
  });

  test("serves the next guest on the same socket when one was killed", async () => {
    const running = vsockbox(["exec", address, "-n", "--", "sleep", "1000"]);
    await run(guest, "until pidof sleep > /dev/null; do sleep 0.1; done");
    await guest.kill();
    expect((await running).status).toBe(255);
    await device.says("the VMM has disconnected");
    expect((await vsockbox(["exec", address, "--", "true"])).status).toBe(69);
    await guest.stop();
    guest = await boot();
    expect(await vsockbox(["exec", address, "--", "cat", "/tmp/agent.log"])).toMatchObject({
      status: 0,
      stdout: "",
    });
    expect(device.process.exitCode).toBe(null);
  });
});
