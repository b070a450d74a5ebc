/** `vsockbox agent --init` as process 1 of a guest with nothing mounted. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { bootGuest, type Guest } from "../../src/vm/guest.ts";
import { BINARY } from "../support/binary.ts";
import { readExposition } from "../support/exposition.ts";
import { describeVm } from "./support.ts";

describeVm("agent --init", () => {
  let guest: Guest;
  beforeAll(async () => {
    guest = await bootGuest({
      binary: BINARY,
      environment: { VSOCKBOX_TEST_VM: "1", NO_COLOR: "1" },
      // This guest has no network: the address cannot be bound.
      agentInit: ["--allow-local", "--metrics", "192.0.2.1:9464"],
      memoryMib: 1024,
    });
  });
  afterAll(async () => {
    await guest?.stop();
  });

  async function run(line: string): Promise<string> {
    const { status, stdout, stderr } = await guest.run(line, { timeoutMs: 120_000 });
    const output = Buffer.from(stdout).toString();
    if (status !== 0) {
      throw new Error(`status ${status} from: ${line}\n${output}${Buffer.from(stderr).toString()}`);
    }
    return output;
  }

  test("is process 1 and serves", async () => {
    await run("vsockbox wait local --timeout 120");
    expect(await run("tr '\\0' ' ' < /proc/1/cmdline")).toBe(
      "/bin/vsockbox agent --init --allow-local --metrics 192.0.2.1:9464 ",
    );
    const info = JSON.parse(await run("vsockbox info local --json")) as Record<string, unknown>;
    expect(info).toMatchObject({ pid: 1, uid: 0 });
  });

  test("goes on without an address for its metrics, which its own protocol has", async () => {
    expect(guest.consoleLog()).toContain("cannot listen on 192.0.2.1:9464");
    const metrics = readExposition(await run("vsockbox metrics local"));
    expect(metrics.get("vsockbox_up")?.samples[0]?.value).toBe(1);
    expect(metrics.has("vsockbox_guest_memory_total_bytes")).toBe(true);
  });

  test("has mounted the missing file systems", async () => {
    const mounts = (await run("cut -d' ' -f2,3 /proc/mounts")).split("\n");
    expect(mounts).toEqual(
      expect.arrayContaining([
        "/proc proc",
        "/sys sysfs",
        "/dev devtmpfs",
        "/dev/pts devpts",
        "/dev/shm tmpfs",
        "/run tmpfs",
        "/tmp tmpfs",
      ]),
    );
    expect(
      await run("echo x > /dev/null; ls -l /dev/fd /dev/stdin; cat /sys/class/net/lo/flags"),
    ).toContain("/proc/self/fd");
  });

  test("commands keep their exit codes, and orphans leave no zombies", async () => {
    expect(await run("vsockbox exec local -- sh -c 'echo hi; exit 0'")).toBe("hi\n");
    await run(
      "vsockbox exec local -- sh -c 'for i in 1 2 3 4 5 6 7 8 9 10; do (sleep 0.2 &) ; done'; sleep 1.5",
    );
    // The test's own shell collects its children when it likes: what counts are those of process 1.
    const zombies = "awk '$3 == \"Z\" && $4 == 1' /proc/[0-9]*/stat 2>/dev/null | wc -l";
    expect(await run(zombies)).toBe("0\n");
    expect(await run("vsockbox exec local -- sh -c 'exit 9' || echo $?")).toBe("9\n");
  });

  test("signals that end other programs neither end process 1 nor the guest", async () => {
    // HUP, QUIT, ILL, TRAP, ABRT, BUS, FPE, SEGV, ALRM, STKFLT, XCPU, XFSZ, VTALRM, PROF, IO, PWR,
    // SYS and real-time signals; USR1, USR2, INT and TERM are the ways to end the VM.
    const signals = "1 3 4 5 6 7 8 11 14 16 24 25 26 27 29 30 31 35 50 64";
    await run(`for n in ${signals}; do kill -$n 1; done`);
    expect(await run("vsockbox exec local -- echo still here")).toBe("still here\n");
    expect(await run("vsockbox exec local -- grep SigIgn /proc/self/status")).toBe(
      "SigIgn:\t0000000000000000\n",
    );
    expect(guest.consoleLog()).toContain("SIGHUP: ignored");
  });

  test("powers the VM off on request, with its sessions first", async () => {
    await run("vsockbox exec -d local -- sleep 1000");
    // The answer may be lost with the machine.
    const told = guest.run("vsockbox shutdown local --reboot; sync").catch(() => undefined);
    await guest.ended;
    await told;
    const log = guest.consoleLog();
    expect(log).toContain("reboot: ending");
    expect(log).toContain("1 detached ended");
    expect(log).not.toContain("Kernel panic");
  });
});
