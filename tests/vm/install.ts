/**
 * `vsockbox install` in a guest, into a tree whose own init is then started: busybox init as process 1
 * of a PID namespace.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { bootGuest, type Guest } from "../../src/vm/guest.ts";
import { BINARY } from "../support/binary.ts";
import { runIn, writeChildPid } from "../support/guest-lines.ts";
import { describeUml } from "./support.ts";

const ROOT = "/tmp/install";

const INITTAB =
  "::sysinit:/bin/mount -t proc proc /proc\n::sysinit:/bin/mount -t devtmpfs dev /dev\n";

const agentArgs = (port: number) =>
  `--agent-args='--listen vsock::${port} --ready-listen none --allow-local -q'`;

// The executable is hashed again and again, for which an emulated processor needs ten times as long.
describeUml("vsockbox install", () => {
  let guest: Guest;
  const prepare = (line: string) => runIn(guest, line);
  const agentPid = async (port: number) =>
    (JSON.parse(await prepare(`vsockbox info local:${port} --json`)) as { pid: number }).pid;

  beforeAll(async () => {
    const environment = { VSOCKBOX_TEST_VM: "1", NO_COLOR: "1" };
    guest = await bootGuest({ vmm: "uml", binary: BINARY, environment, memoryMib: 1024 });
    await prepare(`mkdir -p ${ROOT}/bin ${ROOT}/sbin ${ROOT}/etc ${ROOT}/proc ${ROOT}/dev
      cp /bin/busybox ${ROOT}/bin/ && ln -s ../bin/busybox ${ROOT}/sbin/init
      for name in sh mount ls cat; do ln -s busybox ${ROOT}/bin/$name; done
      for directory in /lib /lib64 /usr/lib; do
        [ ! -d $directory ] || { mkdir -p ${ROOT}$directory && cp -a $directory/. ${ROOT}$directory/; }
      done
      printf '${INITTAB.replaceAll("\n", "\\n")}' > ${ROOT}/etc/inittab
      cd ${ROOT} && find . | sort > /tmp/install.before`);
  });
  afterAll(async () => guest?.stop());

  test("the agent is started at boot, and again when it dies", async () => {
    const said = await prepare(`vsockbox install --root ${ROOT} ${agentArgs(5030)}`);
    expect(said).toContain("service: busybox (init is /bin/busybox)");
    await prepare(`(unshare -m -p -f chroot ${ROOT} /sbin/init > /tmp/install.log 2>&1 & echo $! > /tmp/install.parent)
      vsockbox wait local:5030 --timeout 120
      ${writeChildPid("/tmp/install.parent", "/tmp/install.pid")}`);
    expect(await prepare("vsockbox exec local:5030 -- ls /usr/bin")).toBe(
      "vhost-device-vsock\nvsock-shell-client\nvsock-shell-server\nvsock_guest_exec\nvsockbox\n",
    );
    expect(await prepare("vsockbox exec local:5030 -- ls -l /sbin/mount.vsockbox")).toEndWith(
      " /sbin/mount.vsockbox -> /usr/bin/vsockbox\n",
    );
    const first = await agentPid(5030);
    await guest.run(`vsockbox exec local:5030 -- /bin/busybox kill -9 ${first}`);
    await prepare("vsockbox wait local:5030 --timeout 120");
    expect(await agentPid(5030)).not.toBe(first);
  });

  test("other arguments are read by init on request", async () => {
    await prepare(`vsockbox install --root ${ROOT} ${agentArgs(5031)}
      kill -HUP $(cat /tmp/install.pid); vsockbox wait local:5031 --timeout 120`);
    expect(await prepare(`vsockbox install --root ${ROOT}`)).toContain("up to date");
    const inside = await guest.run(
      "vsockbox exec local:5031 -- vsockbox install --now --links none",
    );
    expect([inside.status, Buffer.from(inside.stderr).toString()]).toEqual([
      77,
      expect.stringContaining("would stop the agent that runs this command"),
    ]);
  });

  test("goes without a trace while its agent runs", async () => {
    await prepare(`vsockbox install --root ${ROOT} --uninstall`);
    expect(await prepare("vsockbox exec local:5031 -- cat /etc/inittab")).toBe(INITTAB);
    await prepare(`cd ${ROOT} && find . | sort | diff /tmp/install.before -`);
  });
});
