/** A process in the guest that may not connect to the agent, and connects all the same, again and again. */
import { expect, test } from "bun:test";
import { bootGuest } from "../../src/vm/guest.ts";
import { BINARY, eventually, Running, ScratchDirectory, vsockbox } from "../support/binary.ts";
import { runIn } from "../support/guest-lines.ts";
import { guestVsock } from "../support/guest-vsock.ts";
import { describeUml } from "./support.ts";

/** Open files of the agent: fewer than the flood holds connections. */
const DESCRIPTOR_LIMIT = 256;

describeUml("a flood of refused peers over AF_VSOCK", () => {
  test("leaves sessions and descriptors to the host, and few lines in the log", async () => {
    using scratch = new ScratchDirectory();
    const uds = scratch.file("vm4.vsock");
    const socket = scratch.file("vhost.sock");
    const vm = `guest-cid=4,connect-timeout=30,socket=${socket},uds-path=${uds}`;
    await using device = new Running(["hybrid-proxy", "--vm", vm]);
    await device.says("waiting for its VMM");
    using guest = await bootGuest({
      vmm: "uml",
      binary: BINARY,
      environment: { VSOCKBOX_TEST_VM: "1", NO_COLOR: "1" },
      memoryMib: 1024,
      files: [guestVsock(scratch)],
      vsockDevices: [socket],
    });
    // The host is CID 2, which is allowed by default; the guest itself is CID 1, which is not.
    const limit = `ulimit -n ${DESCRIPTOR_LIMIT}`;
    await guest.run(
      `(${limit}; vsockbox agent > /tmp/agent.log 2>&1 & echo $! > /tmp/agent.pid) > /dev/null 2>&1`,
    );
    const address = `hybrid:${uds}`;
    expect((await vsockbox(["wait", address, "--timeout", "120"])).status).toBe(0);

    await guest.run(`(guest-vsock flood 1 5000 /tmp/enough > /tmp/flood.log 2>&1 &)`);
    const descriptors: number[] = [];
    const line = "ls /proc/$(cat /tmp/agent.pid)/fd | wc -l";
    for (let count = 0; count < 5; count++) {
      // While the kernel's backlog is full it refuses everybody; the agent empties it again and again.
      await eventually("the host gets through", async () => {
        const { status, stdout } = await vsockbox(["exec", address, "--", "sh", "-c", line]);
        if (status === 0) descriptors.push(Number(stdout));
        return status === 0;
      });
    }
    expect(Math.max(...descriptors)).toBeLessThan(100);
    await runIn(guest, "touch /tmp/enough");
    await runIn(guest, "while ! grep -q connected /tmp/flood.log; do sleep 0.2; done");
    const flood = /connected (\d+)/.exec(await runIn(guest, "cat /tmp/flood.log"));
    expect(Number(flood?.[1])).toBeGreaterThan(DESCRIPTOR_LIMIT);
    await runIn(guest, "kill $(cat /tmp/agent.pid)");
    await runIn(guest, "while kill -0 $(cat /tmp/agent.pid) 2> /dev/null; do sleep 0.2; done");
    const log = await runIn(guest, "cat /tmp/agent.log");
    expect(log).toMatch(/vsock:1: refused \d+ more, not in --allow-cid/);
    expect(log.split("not in --allow-cid").length).toBeLessThan(10);
    await guest.stop();
  });
});
