/**
 * The self-contained executable in a guest that has nothing else but busybox: no libc, a root that is
 * only read, no /proc when it starts, 128 MB of memory.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { findBusybox } from "../../src/vm/guest-image.ts";
import { BINARY, shell, ScratchDirectory, vsockbox } from "../support/binary.ts";
import { PackedGuest } from "../support/packed-guest.ts";
import { Screen } from "../support/screen.ts";
import { describeUml } from "./support.ts";

describeUml("the self-contained executable as init of a disk with busybox alone", () => {
  let packed: PackedGuest;
  beforeAll(async () => {
    packed = await PackedGuest.boot({
      vmm: "uml",
      onDisk: true,
      memoryMib: 128,
      pack: (modules) => ["--kernel-modules", modules, "--busybox", findBusybox()],
    });
    const { status, stderr } = await vsockbox(["wait", packed.address, "--timeout", "120"]);
    expect([status, stderr]).toEqual([0, ""]);
  });
  afterAll(async () => packed[Symbol.asyncDispose]());

  const inside = (line: string, ...options: string[]) =>
    vsockbox(["exec", ...options, packed.address, "--shell", line]);

  test("there is no library, no /proc on the disk, and no free space", async () => {
    const line =
      "find / -xdev -name '*.so*' -o -xdev -name 'ld-*'; mkdir /run/root; " +
      "mount --bind / /run/root; ls /run/root/proc; umount /run/root; touch /new; grep -c ' / ext4 ro' /proc/mounts";
    const { stdout, stderr } = await inside(line);
    expect(stdout).toBe("1\n");
    expect(stderr).toBe("touch: /new: Read-only file system\n");
  });

  test("runs commands with input, output and status", async () => {
    const { status, stdout } = await vsockbox(
      ["exec", packed.address, "--", "sh", "-c", "cat; exit 9"],
      { stdin: "x".repeat(3_000_000) },
    );
    expect([status, stdout.length]).toEqual([9, 3_000_000]);
  });

  test("a child has no trace of the loader", async () => {
    const { stdout } = await inside(
      "env | cut -d= -f1 | grep -i '^ld_\\|vsockbox\\|memfd'; ls /proc/self/fd",
    );
    expect(stdout).toBe("0\n1\n2\n3\n");
  });

  test("starts itself again: as a user, and in a sandbox", async () => {
    expect(await inside("id -u; id -G", "--user", "1000:1000")).toMatchObject({
      stdout: "1000\n1000\n",
    });
    const confined = await inside("grep Seccomp: /proc/self/status", "--sandbox", "all");
    expect(confined.stdout).toMatch(/^Seccomp:\s+2\n$/);
    const again = await inside("vsockbox --version; readlink -f /init");
    expect(again.stdout).toMatch(/^vsockbox .*\n\/usr\/bin\/vsockbox\n$/);
  });

  test("opens a shell on a terminal", async () => {
    using scratch = new ScratchDirectory();
    using screen = new Screen(scratch.file("tmux.sock"), { A: packed.address });
    screen.type("vsockbox shell $A; echo status $?", "Enter");
    await screen.shows("~ #");
    screen.type("tty; stty size; exit 4", "Enter");
    await screen.shows(/\/dev\/pts\/0\n12 80\n[^]*status 4/);
  });

  test("copies files both ways", async () => {
    using scratch = new ScratchDirectory();
    const source = import.meta.path;
    expect((await vsockbox(["cp", source, `${packed.address}:/tmp/`])).stderr).toBe("");
    const back = scratch.file("back");
    await vsockbox(["cp", "--checksum", `${packed.address}:/tmp/self-contained.ts`, back]);
    expect(readFileSync(back)).toEqual(readFileSync(source));
  });

  test("twice its memory goes through a command, and a large file comes out whole", async () => {
    const bytes = 256 * 1024 * 1024;
    const { stdout, stderr } = await shell(
      `head -c ${bytes} /dev/zero | vsockbox exec $A -- cat | wc -c
       vsockbox cp $A:/usr/bin/vsockbox - | cmp - $BINARY && echo same`,
      { env: { A: packed.address, BINARY } },
    );
    expect([stdout, stderr]).toEqual([`${bytes}\nsame\n`, ""]);
  });

  test("twenty at once in 128 MB, without a process killed for memory", async () => {
    const runs = await Promise.all(
      Array.from({ length: 20 }, (_, index) => inside(`sleep 0.5; echo ${index}`)),
    );
    expect(runs.map(({ stdout }) => stdout)).toEqual(runs.map((_, index) => `${index}\n`));
    const { stdout } = await inside(
      "awk '/^MemTotal/ { print $2 }' /proc/meminfo; dmesg | grep -ci 'out of memory'",
    );
    const [total = "", killed] = stdout.split("\n");
    expect(Number(total)).toBeLessThan(128 * 1024);
    expect(killed).toBe("0");
  });
});
