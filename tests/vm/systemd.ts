/**
 * `vsockbox install` where systemd runs: this machine's own systemd and its programs, read-only under an
 * overlay, as process 1 of a PID namespace in a guest under User-mode Linux.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { resolveModules } from "../../src/initramfs/modules.ts";
import { bootGuest, type Guest } from "../../src/vm/guest.ts";
import { findUml } from "../../src/vm/uml.ts";
import { BINARY, eventually } from "../support/binary.ts";
import { runIn, writeChildPid } from "../support/guest-lines.ts";
import { describeSystemd, SYSTEMD } from "./support.ts";

/** The executable under a name of which nothing is installed. */
const GIVEN = "/opt/given";

/** Everything of this machine, to be written over; only units of its packages. */
const MAKE_TREE = `insmod /overlay.ko; insmod /autofs4.ko
  mkdir -p /lower /over /tree
  mount -t hostfs -o ro none /lower
  mount -t tmpfs over /over; mkdir /over/upper /over/work
  mount -t overlay -o lowerdir=/lower,upperdir=/over/upper,workdir=/over/work tree /tree
  cd /tree
  for directory in proc sys dev run tmp root; do mount -t tmpfs none $directory; done
  mount -t devtmpfs dev dev; mkdir -p dev/pts; mount -t devpts devpts dev/pts
  mount -t sysfs -o ro sys sys; mount -t cgroup2 cgroup sys/fs/cgroup
  rm -rf etc/systemd/system etc/vsockbox usr/lib/vsockbox usr/bin/vsock*; mkdir -p etc/systemd/system
  rm -f .dockerenv; mkdir -p opt; touch .${GIVEN}; mount --bind /bin/vsockbox .${GIVEN}`;

/** What was written over in the tree. */
const OVERLAID = "cd /over/upper; find etc usr opt -not -type d | sort";

const START = `(unshare -m -p -f sh -c '
    mount -t proc proc /tree/proc
    exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin chroot /tree ${SYSTEMD} --unit=multi-user.target
  ' > /tmp/systemd.log 2>&1 & echo $! > /tmp/parent)
  until ${writeChildPid("/tmp/parent", "/tmp/systemd.pid")}; do sleep 0.1; done`;

/** A line of the shell beside systemd, as one for the guest's own shell. */
const besideSystemd = (line: string) =>
  `nsenter -t $(cat /tmp/systemd.pid) -m -p chroot /tree /bin/sh -c '${line.replaceAll("'", "'\\''")}'`;

describeSystemd("vsockbox install under systemd", () => {
  let guest: Guest;

  const beside = (line: string) => runIn(guest, besideSystemd(line));
  const inAgent = (line: string) => runIn(guest, `vsockbox exec 1 --shell '${line}'`);
  const agentPid = async () =>
    (await beside("systemctl show -P MainPID vsockbox-agent.service")).trim();

  beforeAll(async () => {
    const files = resolveModules(findUml(), ["overlay", "autofs4"]).map(({ name, path }) => ({
      path: `/${name}.ko`,
      source: path,
      mode: 0o644,
    }));
    const environment = { VSOCKBOX_TEST_VM: "1", NO_COLOR: "1" };
    guest = await bootGuest({ vmm: "uml", binary: BINARY, environment, memoryMib: 768, files });
    await runIn(guest, MAKE_TREE);
    await runIn(guest, START);
    await beside(
      "until [ -e /run/systemd/private ]; do sleep 0.1; done; systemctl is-system-running --wait || systemctl is-active multi-user.target",
    );
  });
  afterAll(async () => guest.stop());

  const isActive = () => beside("systemctl is-active vsockbox-agent || true");

  test("install --now: the service is enabled, runs, and serves commands", async () => {
    await runIn(guest, `${OVERLAID} > /tmp/before`);
    const said = await beside(`${GIVEN} install --now --agent-args=--allow-local`);
    expect(said).toContain("service: systemd");
    expect(said).toContain("ran: systemctl restart vsockbox-agent.service");
    expect(await isActive()).toBe("active\n");
    expect(await beside("systemctl is-enabled vsockbox-agent")).toBe("enabled\n");
    // Type=notify: it listens already.
    expect(await inAgent("cat /proc/1/comm /proc/self/cgroup")).toBe(
      "systemd\n0::/system.slice/vsockbox-agent.service\n",
    );
  });

  test("an agent that dies is started again", async () => {
    const first = await agentPid();
    await beside(`kill -9 ${first}`);
    await eventually("another one runs", async () => !["0", first].includes(await agentPid()));
    await runIn(guest, "vsockbox wait 1 --timeout 120");
  });

  test("the same again does not disturb it; other arguments restart it", async () => {
    const first = await agentPid();
    expect(await beside("vsockbox install --now")).toContain("up to date");
    expect(await agentPid()).toBe(first);
    await beside('vsockbox install --now --agent-args="--allow-local -q"');
    expect(await agentPid()).not.toBe(first);
    expect(await inAgent('tr "\\0" " " < /proc/$PPID/cmdline')).toContain("--allow-local -q");
  });

  test("an agent installs what replaces it, and is followed by it", async () => {
    const first = await agentPid();
    const said = await inAgent("vsockbox install --now --agent-args=--allow-local");
    expect(said).toMatch(/ran: systemd-run .*systemctl restart vsockbox-agent.service\n$/);
    await eventually("another one runs", async () => !["0", first].includes(await agentPid()));
    await runIn(guest, "vsockbox wait 1 --timeout 120");
    const refused = await guest.run("vsockbox exec 1 -- vsockbox install --uninstall --now");
    expect(refused.status).toBe(77);
  });

  test("the agent has the time to end its commands and to notify their hosts", async () => {
    await runIn(
      guest,
      "(vsockbox exec 1 --shell 'trap \"touch /run/ended; exit 3\" TERM; echo up; while :; do sleep 0.1; done' > /tmp/said 2>&1; echo $? >> /tmp/said) & " +
        "until grep -q up /tmp/said; do sleep 0.1; done",
    );
    await beside("systemctl stop vsockbox-agent; ls /run/ended");
    const said = async () => await runIn(guest, "cat /tmp/said");
    await eventually("its host knows", async () => (await said()).endsWith("255\n"));
    expect(await said()).toContain("the agent was stopped");
    expect(await isActive()).toBe("inactive\n");
    expect(await beside("vsockbox install --now")).toContain("up to date");
    expect(await isActive()).toBe("active\n");
  });

  test("a service that systemd does not start is an error", async () => {
    const drop = "/etc/systemd/system/vsockbox-agent.service.d";
    await beside(
      `mkdir ${drop}; printf "[Unit]\\nConditionPathExists=/nowhere\\n" > ${drop}/no.conf; systemctl stop vsockbox-agent`,
    );
    const { status, stderr } = await guest.run(
      besideSystemd("vsockbox install --now --agent-args=-q"),
    );
    expect(status).toBe(69);
    expect(Buffer.from(stderr).toString()).toMatch(
      /is-active vsockbox-agent.service`: status 3: inactive[^]*hint: .*systemctl status vsockbox-agent/,
    );
    await beside(`rm -r ${drop}; systemctl daemon-reload; systemctl start vsockbox-agent`);
  });

  test("--uninstall --now: stopped, unknown to systemd, and no trace in the tree", async () => {
    await beside("vsockbox install --uninstall --now");
    expect(await isActive()).toBe("inactive\n");
    expect(
      await beside("systemctl list-unit-files --no-legend vsockbox-agent.service || true"),
    ).toBe("");
    expect(await runIn(guest, `${OVERLAID} | diff /tmp/before -`)).toBe("");
  });
});
