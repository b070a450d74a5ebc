/**
 * The AF_VSOCK backend, where there is an AF_VSOCK that is ours: hybrid-proxy runs in a guest with
 * vsock_loopback, whose kernel is the host's side of it, and so does the VMM of its own guest.
 */
import { beforeAll, expect, test } from "bun:test";
import type { Guest } from "../../src/vm/guest.ts";
import { eventually } from "../support/binary.ts";
import { runIn, startListener } from "../support/guest-lines.ts";
import { runtimeGuest } from "./runtime-guest.ts";
import { describeUml } from "./support.ts";

const PROXY =
  "vsockbox hybrid-proxy --guest-cid 5 --socket /tmp/inner.sock --forward-cid 1 --forward-listen 9001+9002 --forward-listen-seqpacket 9003";

describeUml("hybrid-proxy --forward-cid, in a guest with vsock_loopback", () => {
  let guest: Guest;

  beforeAll(async () => {
    guest = await runtimeGuest();
    await runIn(guest, `(${PROXY} > /tmp/proxy.log 2>&1) > /dev/null 2>&1 &`);
    await eventually("the device waits", async () => {
      return (await runIn(guest, "cat /tmp/proxy.log")).includes("waiting for its VMM");
    });
    await startListener(guest, "guest-vsock echo 7500");
    const inner = "VSOCKBOX_BINARY=/bin/vsockbox run-script forward-guest /tmp/inner.sock";
    await runIn(guest, `(${inner} > /tmp/inner.log 2>&1) > /dev/null 2>&1 &`);
    await eventually("it listens", async () => (await said()).includes("listening"));
  });

  const said = async () => await runIn(guest, "cat /tmp/inner.log");

  test("forwards the guest's connections to a CID of the kernel, and refuses a dead port", async () => {
    expect((await said()).split("\n").slice(0, 3)).toEqual([
      '{"refused":true}',
      '{"accepted":true}',
      '{"text":"over the kernel"}',
    ]);
  });

  test("forwards connections to its ports to the guest's same ports, records with their borders", async () => {
    expect(await runIn(guest, "guest-vsock many 1 9001 1 1")).toBe("1 connections, 1 at once\n");
    expect(await runIn(guest, "guest-vsock records 1 9003 1 3000 500 3")).toBe(
      "1a 3000b 500c 3d end\n",
    );
    expect(await said()).toContain('{"type":1,"sizes":[1]}\n{"type":2,"sizes":[1,3000,500,3]}\n');
  });

  test("a port that is in use is an error before anything is served", async () => {
    const { status, stderr } = await guest.run(PROXY.replaceAll("inner", "other"));
    expect([status, Buffer.from(stderr).toString()]).toEqual([
      73,
      expect.stringMatching(/listen on vsock:any:9001: .*\(EADDRINUSE\)/),
    ]);
    expect((await guest.run("test -e /tmp/other.sock")).status).toBe(1);
  });
});
