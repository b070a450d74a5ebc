/**
 * `doctor` in a guest whose AF_VSOCK is broken on purpose: the finding, and that the command which it
 * names fixes it. tests/vm/vsock.ts has the one without modules, tests/integration/doctor.test.ts those
 * over Unix sockets.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { parseFindings } from "../support/doctor-run.ts";
import { guestDoctor } from "./guest-doctor.ts";
import { describeVm, inGuest, prepare } from "./support.ts";

const found = (examined: Awaited<ReturnType<typeof guestDoctor>>, code: string) =>
  examined.findings.find((finding) => finding.code === code);

describeVm("doctor", () => {
  beforeAll(async () => {
    await prepare(
      "(vsockbox agent --allow-local -q > /tmp/doctor.log 2>&1 & echo $! > /tmp/doctor.pid); vsockbox wait 1 --timeout 120",
    );
  });
  afterAll(async () => {
    await inGuest(
      "kill -CONT $(cat /tmp/doctor.pid); kill $(cat /tmp/doctor.pid); rm -f /tmp/doctor.*",
    );
  });

  test("finds nothing wrong with the guest and its agent", async () => {
    expect(await guestDoctor("")).toMatchObject({ status: 0, ok: true, bad: [], stderr: "" });
    const agent = await guestDoctor("1");
    expect(agent).toMatchObject({ status: 0, bad: [], target: "vsock:1:5000" });
    expect(agent.findings.map(({ code }) => code)).toEqual([
      "kernel",
      "transport-loopback",
      "address",
      "connection",
      "agent",
      "ready",
      "clock",
      "limits",
    ]);
  });

  test("runs in a root file system that has nothing else", async () => {
    const line =
      "mkdir -p /tmp/bare/bin /tmp/bare/lib64 /tmp/bare/lib /tmp/bare/proc && cp /bin/vsockbox /tmp/bare/bin/ && " +
      "cp -r /lib/. /tmp/bare/lib/ && cp -r /lib64/. /tmp/bare/lib64/ 2> /dev/null; mount -t proc proc /tmp/bare/proc; " +
      "chroot /tmp/bare /bin/vsockbox doctor --json; status=$?; umount /tmp/bare/proc; rm -rf /tmp/bare; exit $status";
    const { status, stdout, stderr } = await inGuest(line);
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    expect(parseFindings(stdout).bad).toMatchObject([
      { severity: "warning", code: "device-node-missing" },
    ]);
  });

  test("no device node: the command makes it", async () => {
    await prepare("rm /dev/vsock");
    const fix = found(await guestDoctor(""), "device-node-missing")?.fix ?? "false";
    await prepare(fix);
    expect(await guestDoctor("")).toMatchObject({ bad: [] });
    await prepare("vsockbox cid");
  });

  test("a file in place of the device node: the command replaces it", async () => {
    await prepare("rm /dev/vsock; echo text > /dev/vsock");
    const fix = found(await guestDoctor(""), "device-node-wrong")?.fix ?? "false";
    await prepare(fix);
    expect(await guestDoctor("")).toMatchObject({ bad: [] });
  });

  test("no right to the device node: the command grants it", async () => {
    await prepare("chmod 600 /dev/vsock");
    const asUser = "vsockbox exec 1 --user guest -- env";
    const denied = found(await guestDoctor("", asUser), "device-node-denied");
    expect(denied).toMatchObject({
      severity: "warning",
      message: expect.stringContaining("user 1000"),
    });
    expect(denied?.fix).toStartWith("sudo ");
    // The guest has root and no sudo.
    await prepare(denied?.fix?.replace("sudo ", "") ?? "false");
    expect(found(await guestDoctor("", asUser), "device-node-denied")).toBeUndefined();
  });

  test("AF_VSOCK switched off: the command switches it on", async () => {
    const off = "export VSOCKBOX_NO_VSOCK=1;";
    const examined = await guestDoctor("1", off);
    expect(examined).toMatchObject({ status: 77, bad: [{ code: "vsock-disabled" }] });
    const fixed = await guestDoctor("1", `${off} ${examined.bad[0]?.fix};`);
    expect(fixed).toMatchObject({ status: 0, bad: [] });
  });

  test("a wrong port: the command uses the right one", async () => {
    const examined = await guestDoctor("1:4711");
    expect(examined).toMatchObject({ status: 69, bad: [{ code: "port-wrong" }] });
    await prepare(examined.bad[0]?.fix ?? "false");
  });

  test("a wrong service: the command speaks with it", async () => {
    await prepare(
      "(vsockbox shell-server --listen vsock::5100 --allow-local > /tmp/doctor.shell 2>&1 & echo $! > /tmp/doctor.shell.pid); vsockbox wait --connect-only 1:5100",
    );
    const examined = await guestDoctor("1:5100");
    expect(examined).toMatchObject({ status: 65, bad: [{ code: "service-wrong" }] });
    expect(await prepare(`${examined.bad[0]?.fix} 'echo reached'`)).toContain("reached");
    await prepare("kill $(cat /tmp/doctor.shell.pid)");
  });

  test("no listener: the command starts an agent", async () => {
    await prepare(
      "kill $(cat /tmp/doctor.pid); while grep -q '^State:.[^Z]' /proc/$(cat /tmp/doctor.pid)/status 2> /dev/null; do sleep 0.1; done",
    );
    const examined = await guestDoctor("1");
    expect(examined).toMatchObject({ status: 69, bad: [{ code: "port-closed" }] });
    await prepare(
      `(${examined.bad[0]?.fix} > /tmp/doctor.log 2>&1 & echo $! > /tmp/doctor.pid); vsockbox wait 1 --timeout 120`,
    );
    expect(await guestDoctor("1")).toMatchObject({ status: 0, bad: [] });
  });

  test("a stopped agent: the command continues it", async () => {
    await prepare("kill -STOP $(cat /tmp/doctor.pid)");
    const examined = await guestDoctor("1 --connect-timeout 3");
    expect(examined).toMatchObject({ status: 75, bad: [{ code: "peer-stopped" }] });
    await prepare(examined.bad[0]?.fix ?? "false");
    expect(await guestDoctor("1")).toMatchObject({ status: 0, bad: [] });
  });

  test("a CID that no VM has", async () => {
    expect(await guestDoctor("77")).toMatchObject({
      status: 69,
      bad: [{ code: "transport-to-guests" }],
    });
  });
});
