/** Guests under User-mode Linux: how they run and end. */
import { expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { existsSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { bootGuest } from "../../src/vm/guest.ts";
import { findUml, umlGuestFiles } from "../../src/vm/uml.ts";
import { BINARY, eventually, processesWith, ScratchDirectory } from "../support/binary.ts";
import { runIn } from "../support/guest-lines.ts";
import { describeUml } from "./support.ts";

const ENVIRONMENT = { VSOCKBOX_TEST_VM: "1", NO_COLOR: "1" };

const sha256 = (data: Uint8Array) => createHash("sha256").update(data).digest("hex");

describeUml("a guest under User-mode Linux", () => {
  test("hands on every byte of large outputs, long commands and many at once", async () => {
    await using guest = await bootGuest({ vmm: "uml", binary: BINARY, environment: ENVIRONMENT });
    expect(await runIn(guest, "echo $VSOCKBOX_TEST_VM; uname -r")).toBe(
      `1\n${findUml().version}\n`,
    );
    await runIn(guest, "head -c 8000000 /dev/urandom > /tmp/random");
    const { stdout } = await guest.run("cat /tmp/random");
    expect(stdout.length).toBe(8_000_000);
    expect(await runIn(guest, "sha256sum < /tmp/random")).toStartWith(sha256(stdout));
    expect(await runIn(guest, `echo ${"x".repeat(20_000)} | wc -c`)).toBe("20001\n");
    const answers = await Promise.all(
      Array.from({ length: 10 }, (_, index) => runIn(guest, `sleep 0.1; echo ${index}`)),
    );
    expect(answers).toEqual(answers.map((_, index) => `${index}\n`));
  });

  test("has vsock_loopback, files and memory as asked for", async () => {
    using scratch = new ScratchDirectory();
    writeFileSync(scratch.file("note"), "from the host\n");
    await using guest = await bootGuest({
      vmm: "uml",
      binary: BINARY,
      environment: ENVIRONMENT,
      files: [{ path: "/etc/note", source: scratch.file("note"), mode: 0o600 }],
      memoryMib: 640,
    });
    expect(await runIn(guest, "cat /etc/note")).toBe("from the host\n");
    const total = Number(await runIn(guest, "awk '/^MemTotal/ { print $2 }' /proc/meminfo"));
    expect(total).toBeGreaterThan(560 * 1024);
    const line = "vsockbox agent --allow-local -q & vsockbox wait 1; vsockbox exec 1 -- echo hi";
    expect(await runIn(guest, line)).toBe("hi\n");
  });

  test("leaves no process and no file when it is stopped, or ends by itself", async () => {
    for (const end of ["stop", "poweroff"]) {
      const guest = await bootGuest({ vmm: "uml", binary: BINARY });
      const { directory: scratch } = guest;
      expect(processesWith(scratch).length).toBeGreaterThan(1);
      if (end === "poweroff") {
        guest.run("poweroff -f").catch(() => undefined);
        await guest.ended;
        await eventually("its processes are gone", () => processesWith(scratch).length === 0);
      }
      await guest.stop();
      await eventually("its processes are gone", () => processesWith(scratch).length === 0);
      expect(existsSync(scratch)).toBe(false);
    }
  });

  test("dies with the process that started it", async () => {
    const parent = Bun.spawn(
      [
        ...[process.execPath, "-e"],
        `import { bootGuest } from ${JSON.stringify(join(import.meta.dir, "../../src/vm/guest.ts"))};
        const guest = await bootGuest({ vmm: "uml", binary: ${JSON.stringify(BINARY)} });
        console.log(guest.directory);
        setInterval(() => {}, 1000);`,
      ],
      { stdout: "pipe", stderr: "inherit" },
    );
    const { value } = await parent.stdout.getReader().read();
    const scratch = new TextDecoder().decode(value).trim();
    try {
      expect(scratch).toContain("/vsockbox-guest-");
      expect(processesWith(scratch).length).toBeGreaterThan(1);
      parent.kill("SIGKILL");
      await parent.exited;
      await eventually("its processes are gone", () => processesWith(scratch).length === 0);
    } finally {
      parent.kill("SIGKILL");
      // Nobody was left to remove it.
      rmSync(scratch, { recursive: true, force: true });
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
