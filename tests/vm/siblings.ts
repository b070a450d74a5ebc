/** VMs of one device process: those of one group reach each other, those of two do not. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { bootGuest, type Guest } from "../../src/vm/guest.ts";
import { BINARY, eventually, Running, ScratchDirectory, vsockbox } from "../support/binary.ts";
import { runIn, startListener } from "../support/guest-lines.ts";
import { guestVsock } from "../support/guest-vsock.ts";
import { standsStill } from "../support/process-state.ts";
import { describeTwoKernels, describeUml, findNewerKernel } from "./support.ts";

describeUml("sibling VMs", () => {
  let scratch: ScratchDirectory;
  let device: Running;
  let first: Guest;
  let second: Guest;
  let stranger: Guest;

  const socketOf = (cid: number) => scratch.file(`${cid}.sock`);
  const vmOf = (cid: number, groups: string) =>
    `guest-cid=${cid},socket=${socketOf(cid)},uds-path=${scratch.file(`${cid}.vsock`)},groups=${groups}`;

  beforeAll(async () => {
    scratch = new ScratchDirectory();
    const vms = [vmOf(5, "one"), vmOf(6, "other+one"), vmOf(7, "two")];
    device = new Running(["hybrid-proxy", ...vms.flatMap((vm) => ["--vm", vm])]);
    await device.says("VM 7: waiting for its VMM");
    [first, second, stranger] = [await boot(5), await boot(6), await boot(7)];
  });
  afterAll(async () => {
    for (const guest of [first, second, stranger]) await guest?.stop();
    await device?.[Symbol.asyncDispose]();
    scratch?.[Symbol.dispose]();
  });

  /** Packets of a VM's guest that the device has carried to siblings so far. */
  async function packetsToSiblings(cid: number): Promise<number> {
    const { stdout } = await vsockbox(["hybrid-proxy", "status", socketOf(cid), "--json"]);
    return (JSON.parse(stdout) as { counters: { packets_to_siblings: number } }).counters
      .packets_to_siblings;
  }

  async function boot(cid: number): Promise<Guest> {
    return await bootGuest({
      vmm: "uml",
      binary: BINARY,
      environment: { VSOCKBOX_TEST_VM: "1", NO_COLOR: "1" },
      files: [guestVsock(scratch)],
      vsockDevices: [socketOf(cid)],
    });
  }

  test("of one group run commands in each other, by CID", async () => {
    await runIn(second, "(vsockbox agent -q --allow-cid 5 > /tmp/agent.log 2>&1 &)");
    await runIn(first, "vsockbox wait 6 --timeout 120");
    expect(await runIn(first, "vsockbox exec 6 -- vsockbox cid")).toBe("6\n");
    // Also from a guest that would look among VMs of its own.
    expect(await runIn(first, "vsockbox exec sibling:6 -- vsockbox cid")).toBe("6\n");
  });

  test("of one group carry 128 MiB with equal hashes, each way and both at once", async () => {
    const there = await startListener(second, "guest-vsock receive 7400");
    const back = await startListener(first, "guest-vsock receive 7400");
    const sent = await Promise.all([
      runIn(first, "guest-vsock transmit 6 7400 128"),
      runIn(second, "guest-vsock transmit 5 7400 128"),
    ]);
    expect(sent[0]).toStartWith(`${128 * 1024 * 1024} bytes`);
    expect([await there(), await back()]).toEqual(sent);
  });

  test("a reader that stops until nothing moves misses nothing and delays no other VM", async () => {
    const result = await startListener(second, "guest-vsock receive 7401 /tmp/go-on");
    const before = await packetsToSiblings(5);
    let hasSent = false;
    const sent = runIn(first, "guest-vsock transmit 6 7401 32").finally(() => (hasSent = true));
    await eventually("packets are on their way", async () => (await packetsToSiblings(5)) > before);
    await standsStill("its credit is used up", () => packetsToSiblings(5));
    expect(await runIn(first, "vsockbox exec 6 -- echo on")).toBe("on\n");
    expect(hasSent).toBe(false);
    await runIn(second, "touch /tmp/go-on");
    expect(await result()).toBe(await sent);
  });

  test("of one group open 1,000 connections, 200 at once", async () => {
    await startListener(second, "guest-vsock echo 7600");
    expect(await runIn(first, "guest-vsock many 6 7600 1000 200")).toBe(
      "1000 connections, 200 at once\n",
    );
  });

  test("of one group keep the borders of records", async () => {
    const result = await startListener(second, "guest-vsock echo-records 7200");
    expect(await runIn(first, "guest-vsock records 6 7200 1 5000 60000 4052 3")).toBe(
      "1a 5000b 60000c 4052d 3e end\n",
    );
    expect(await result()).toBe("");
  });

  test("of two groups, and unused CIDs, are refused instead of left waiting", async () => {
    // Left without an answer, Linux says ETIMEDOUT.
    for (const [guest, cid] of [
      [stranger, 6],
      [first, 7],
      [first, 99],
      [first, 5],
    ] as const) {
      expect([cid, await runIn(guest, `guest-vsock refused ${cid} 7600`)]).not.toEqual([
        cid,
        "ETIMEDOUT\n",
      ]);
      expect(await runIn(guest, `TO_HOST=1 guest-vsock refused ${cid} 7600`)).not.toContain(
        "connected",
      );
    }
    expect(await runIn(first, "guest-vsock refused 6 7999")).toBe("ECONNRESET\n");
    expect(await runIn(stranger, "guest-vsock refused 6 7600")).toBe("ECONNRESET\n");
  });

  test("the end of one is sent to the other, and the next one replaces it", async () => {
    await startListener(second, "guest-vsock echo 7700");
    const before = await packetsToSiblings(5);
    const cut = first.run("guest-vsock transmit 6 7700 100000", { timeoutMs: 60_000 });
    await eventually("packets are on their way", async () => (await packetsToSiblings(5)) > before);
    await second.stop();
    const { status, stdout } = await cut;
    expect([status, Buffer.from(stdout).toString()]).toEqual([
      1,
      expect.stringMatching(/^write: /),
    ]);
    await eventually("the device knows", () => device.stderr.includes("VM 6: the VMM has disconn"));
    expect(await runIn(first, "guest-vsock refused 6 7600")).toBe("ECONNRESET\n");
    second = await boot(6);
    await startListener(second, "guest-vsock echo 7600");
    expect(await runIn(first, "guest-vsock many 6 7600 10 10")).toBe(
      "10 connections, 10 at once\n",
    );
  });

  test("each has the host to itself", async () => {
    for (const [cid, guest] of [
      [5, first],
      [7, stranger],
    ] as const) {
      await runIn(guest, "(vsockbox agent -q > /tmp/agent.log 2>&1 &)");
      const address = `hybrid:${scratch.file(`${cid}.vsock`)}`;
      expect((await vsockbox(["wait", address, "--timeout", "120"])).status).toBe(0);
      expect((await vsockbox(["exec", address, "--", "vsockbox", "cid"])).stdout).toBe(`${cid}\n`);
    }
  });
});

describeTwoKernels("sibling VMs of two kernels", () => {
  test("carry bytes and records from one layout of packets to the other", async () => {
    using scratch = new ScratchDirectory();
    const socketOf = (cid: number) => scratch.file(`${cid}.sock`);
    const vms = [5, 6].flatMap((cid) => [
      "--vm",
      `guest-cid=${cid},socket=${socketOf(cid)},uds-path=${scratch.file(`${cid}.vsock`)}`,
    ]);
    await using device = new Running(["hybrid-proxy", ...vms]);
    await device.says("VM 6: waiting for its VMM");
    const common = {
      binary: BINARY,
      environment: { VSOCKBOX_TEST_VM: "1", NO_COLOR: "1" },
      files: [guestVsock(scratch)],
    };
    const older = await bootGuest({ ...common, vmm: "uml", vsockDevices: [socketOf(5)] });
    const newer = await bootGuest({
      ...{ ...common, kernel: findNewerKernel(), vsockDevices: [socketOf(6)] },
      memoryMib: 1024,
    });
    try {
      const there = await startListener(newer, "guest-vsock receive 7400");
      const back = await startListener(older, "guest-vsock receive 7400");
      const sent = await Promise.all([
        runIn(older, "guest-vsock transmit 6 7400 32"),
        runIn(newer, "guest-vsock transmit 5 7400 32"),
      ]);
      expect(sent[0]).toStartWith(`${32 * 1024 * 1024} bytes`);
      expect([await there(), await back()]).toEqual(sent);
      for (const [from, to, cid] of [
        [older, newer, 6],
        [newer, older, 5],
      ] as const) {
        const result = await startListener(to, "guest-vsock echo-records 7500");
        const answer = await runIn(from, `guest-vsock records ${cid} 7500 1 4052 60000 3`);
        expect(answer).toBe("1a 4052b 60000c 3d end\n");
        expect(await result()).toBe("");
      }
    } finally {
      await older.stop();
      await newer.stop();
    }
  });
});
