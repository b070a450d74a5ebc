/** Guests that boot what `vsockbox initramfs` writes, and nothing else. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { CpioEntry } from "../../src/initramfs/cpio.ts";
import { DEVICE_ENTRIES } from "../../src/initramfs/executable.ts";
import { withDirectories } from "../../src/initramfs/directories.ts";
import { writeArchive } from "../../src/initramfs/write.ts";
import { findBusybox } from "../../src/vm/guest-image.ts";
import { eventually, Running, ScratchDirectory, vsockbox } from "../support/binary.ts";
import { PackedGuest } from "../support/packed-guest.ts";
import { describeUml, describeVm } from "./support.ts";

const ROOT = join(import.meta.dir, "../..");

/** The only program of an image. */
const PROGRAM = "/usr/bin/vsockbox";

/** Without these User-mode Linux puts its own behind all other words. */
const UML_WORDS = ["root=/dev/none", "console=tty0"];

/** Waits for the agent, runs a command, switches the guest off; gives its console. */
async function useAndEnd(packed: PackedGuest): Promise<string> {
  const { address } = packed;
  const waited = await vsockbox(["wait", address, "--timeout", "120"]);
  expect([waited.status, waited.stderr]).toEqual([0, ""]);
  const words = ["exec", address, "--", PROGRAM, "cid"];
  expect(await vsockbox(words)).toMatchObject({ status: 0, stdout: "5\n" });
  expect(await vsockbox(["shutdown", address])).toMatchObject({ status: 0 });
  const log = await packed.ended();
  expect(log).not.toContain("Kernel panic");
  return log;
}

/** Reads and writes files of the host through the guest's mount. */
async function useMount({ address }: PackedGuest, scratch: ScratchDirectory): Promise<void> {
  const waited = await vsockbox(["wait", address, "--timeout", "120"]);
  expect([waited.status, waited.stderr]).toEqual([0, ""]);
  const read = (name: string) => vsockbox(["cat", `${address}:/work/${name}`]);
  expect(await read("from-host")).toMatchObject({ status: 0, stdout: "of the host" });
  const large = randomBytes(5_000_000);
  writeFileSync(scratch.file("large"), large);
  const copied = await vsockbox(["cp", scratch.file("large"), `${address}:/work/copy`]);
  expect([copied.status, copied.stderr]).toEqual([0, ""]);
  expect(readFileSync(scratch.file("copy")).equals(large)).toBe(true);
  const moved = ["mv", `${address}:/work/copy`, `${address}:/work/moved`];
  expect(await vsockbox(moved)).toMatchObject({ status: 0 });
  expect(readdirSync(scratch.path).toSorted()).toEqual(["from-host", "large", "moved"]);
  writeFileSync(scratch.file("from-host"), "changed");
  await eventually("the change is seen", async () => {
    const { stdout } = await read("from-host");
    return stdout === "changed";
  });
}

describeVm("an image of initramfs under QEMU", () => {
  test("boots with nothing but itself: modules, mount, agent, exec, shutdown", async () => {
    using scratch = new ScratchDirectory();
    writeFileSync(scratch.file("from-host"), "of the host");
    let address = "";
    const exported = () =>
      new Running(["export", scratch.path, "--as", "src", "--listen", address]);
    let host: Running | undefined;
    await using packed = await PackedGuest.boot({
      vmm: "qemu",
      pack: (modules) => ["--kernel-modules", modules, "--mount", "src:/work"],
      beforeStart(device) {
        address = device;
        host = exported();
      },
    });
    await useMount(packed, scratch);
    // A new process of the host's side serves the same mount.
    await host?.[Symbol.asyncDispose]();
    await using _again = exported();
    await eventually("the mount is served again", async () => {
      const { stdout } = await vsockbox(["cat", `${packed.address}:/work/from-host`]);
      return stdout === "changed";
    });
    const log = await useAndEnd(packed);
    expect(log).toMatch(/loaded .*virtio_pci.*vsock.*vmw_vsock_virtio_transport/);
    expect(log).toContain("poweroff: ending");
    expect(log).toContain("mounted src on /work");
  });
});

describeUml("an image of initramfs under User-mode Linux", () => {
  let scratch: ScratchDirectory;
  beforeAll(() => {
    scratch = new ScratchDirectory();
  });
  afterAll(() => {
    scratch[Symbol.dispose]();
  });

  function script(name: string, text: string): string {
    const path = scratch.file(name);
    writeFileSync(path, text, { mode: 0o755 });
    return `${path}:/bin/${name}`;
  }

  test("ignores the kernel's words and reads those after --", async () => {
    await using packed = await PackedGuest.boot({
      vmm: "uml",
      pack: (modules) => ["--kernel-modules", modules, "--loopback", "--", "--max-sessions", "50"],
      words: [...UML_WORDS, "splash", "some=thing", "-x", "--", "--allow-local"],
    });
    expect((await vsockbox(["wait", packed.address, "--timeout", "120"])).status).toBe(0);
    const inner = ["exec", packed.address, "--", PROGRAM, "exec", "local", "--", PROGRAM, "cid"];
    expect(await vsockbox(inner)).toMatchObject({ status: 0, stdout: "5\n" });
    const info = await vsockbox(["info", packed.address, "--json"]);
    expect(JSON.parse(info.stdout)).toMatchObject({ pid: 1, uid: 0 });
    const line = await vsockbox(["exec", packed.address, "--shell", "echo hi"]);
    expect(line).toMatchObject({ status: 127 });
    await useAndEnd(packed);
  });

  test("is powered off if the agent refuses its arguments", async () => {
    await using packed = await PackedGuest.boot({
      vmm: "uml",
      pack: () => [],
      words: [...UML_WORDS, "--", "--bogus"],
    });
    const log = await packed.ended();
    expect(log).toContain("agent: unknown option --bogus");
    expect(log).toContain("this guest cannot run its program");
    expect(log).not.toContain("Kernel panic");
  });

  test("boots compressed, and has busybox on request", async () => {
    await using packed = await PackedGuest.boot({
      vmm: "uml",
      pack: (modules) => [
        ...["--kernel-modules", modules, "--busybox", findBusybox(), "--compress", "gzip"],
      ],
    });
    expect((await vsockbox(["wait", packed.address, "--timeout", "120"])).status).toBe(0);
    const line =
      "tr '\\0' '\\n' < /proc/1/cmdline | head -1; id -un; ls -l /init | sed 's/.*init/init/'";
    expect(await vsockbox(["exec", packed.address, "--shell", line])).toMatchObject({
      status: 0,
      stdout: "/init\nroot\ninit -> usr/bin/vsockbox\n",
    });
    await useAndEnd(packed);
  });

  test("runs the host's command, then powers off", async () => {
    let host: ReturnType<typeof vsockbox> | undefined;
    await using packed = await PackedGuest.boot({
      vmm: "uml",
      pack: (modules) => [
        ...["--kernel-modules", modules, "--busybox", findBusybox()],
        ...["--command", "guest-exec --retry --report 2:7777"],
      ],
      beforeStart(address) {
        host = vsockbox([
          ...["guest-exec-host", `${address}:7777`, "-q", "--once", "--report"],
          "vsockbox cid; exit 5",
        ]);
      },
    });
    const log = await packed.ended();
    expect(await host).toMatchObject({ status: 5, stdout: "5\n" });
    expect(log).toContain("guest-exec --retry --report 2:7777: ended with status 5");
    expect(log).toContain("poweroff: ending the guest");
    expect(log).not.toContain("Kernel panic");
  });

  test("collects orphans, restarts its program, and ends with its exit action", async () => {
    const job = `#!/bin/sh
n=$(cat /tmp/count 2> /dev/null || echo 0)
echo $((n + 1)) > /tmp/count
[ $n -lt 2 ] && exit 3
(sleep 0.2 &)
sleep 2
echo "zombies: $(awk '$3 == "Z" && $4 == 1' /proc/[0-9]*/stat | wc -l)"
echo "times: $((n + 1)), argument: $1"
kill -USR1 1
sleep 1000
`;
    await using packed = await PackedGuest.boot({
      vmm: "uml",
      pack: () => [
        ...["--busybox", findBusybox(), "--file", script("job", job)],
        ...["--command", "/bin/job 'a b'", "--on-exit", "restart"],
      ],
    });
    const log = await packed.ended();
    expect(log.match(/ended with status 3/g)).toHaveLength(2);
    expect(log).toContain("zombies: 0");
    expect(log).toContain("times: 3, argument: a b");
    expect(log).toContain("halt: ending the guest");
  });

  test("prints on its console why a program cannot be started", async () => {
    await using packed = await PackedGuest.boot({
      vmm: "uml",
      pack: () => ["--file", script("lost", "#!/bin/nowhere\n"), "--command", "/bin/lost"],
    });
    const log = await packed.ended();
    expect(log).toContain("cannot run /bin/lost: it exists, but the loader or interpreter");
    expect(log).toContain("/bin/lost: it could not be started");
    expect(log).toContain("poweroff: ending the guest");
    expect(log).not.toContain("Kernel panic");
  });

  /** An initrd with an init of its own, and /lib64 as a link where `/usr` is merged. */
  function base(name: string, { isMerged }: { isMerged: boolean }): string {
    const data = new TextEncoder().encode(`#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t devtmpfs dev /dev
echo "[base] links: $(readlink /lib64) $(readlink /lib)"
vsockbox init --load-modules
exec vsockbox agent --init
`);
    const link = (path: string, target: string): CpioEntry => ({ kind: "symlink", path, target });
    const entries: CpioEntry[] = [
      { kind: "file", path: "init", mode: 0o755, data },
      { kind: "copy", path: "bin/busybox", mode: 0o755, source: findBusybox() },
      ...DEVICE_ENTRIES,
      ...(isMerged ? [link("lib64", "usr/lib64"), link("lib", "usr/lib")] : []),
    ];
    const directories = [
      "proc",
      "sys",
      "tmp",
      "run",
      ...(isMerged ? ["usr/lib64", "usr/lib"] : []),
    ];
    writeArchive(scratch.file(name), withDirectories(entries, { directories }));
    return scratch.file(name);
  }

  test("as an overlay leaves the initrd below it as it is", async () => {
    const initrd = base("merged", { isMerged: true });
    await using packed = await PackedGuest.boot({
      vmm: "uml",
      pack: (modules) => ["--kernel-modules", modules, "--overlay", "--base", initrd],
    });
    const log = await useAndEnd(packed);
    expect(log).toContain("[base] links: usr/lib64 usr/lib");
    expect(log).toContain("loaded vsock,");
  });

  test("as an overlay with --init replaces its init", async () => {
    const initrd = base("replaced", { isMerged: true });
    await using packed = await PackedGuest.boot({
      vmm: "uml",
      pack: (modules) => ["--kernel-modules", modules, "--overlay", "--init", "--base", initrd],
    });
    const log = await useAndEnd(packed);
    expect(log).not.toContain("[base]");
    expect(log).toContain("vsockbox: init: loaded vsock,");
  });

  test("of a build that is not self-contained has what that needs, alone and as an overlay", async () => {
    const bun = join(ROOT, "node_modules/.bin/bun");
    const built = Bun.spawnSync(
      [bun, "run", "build.ts", "--dynamic", "--quiet", "--outdir", scratch.path],
      { cwd: ROOT, stderr: "inherit" },
    );
    expect(built.exitCode).toBe(0);
    const executable = ["--executable", scratch.file("vsockbox")];
    const kinds = [
      { given: [], links: undefined },
      {
        given: ["--overlay", "--base", base("merged-again", { isMerged: true })],
        links: "usr/lib64 usr/lib",
      },
      { given: ["--overlay", "--base", base("bare", { isMerged: false })], links: " " },
    ];
    for (const { given, links } of kinds) {
      await using packed = await PackedGuest.boot({
        vmm: "uml",
        pack: (modules) => ["--kernel-modules", modules, ...executable, ...given],
      });
      const log = await useAndEnd(packed);
      if (links !== undefined) expect(log).toContain(`[base] links: ${links}`);
    }
  });
});
