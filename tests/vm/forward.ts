/**
 * The AF_VSOCK backend, where there is an AF_VSOCK that is ours: hybrid-proxy and its VM, User-mode
 * Linux, run in the shared guest, whose own vsock is the host's side of it.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { eventually } from "../support/binary.ts";
import { runIn, startListener } from "../support/guest-lines.ts";
import { describeUml, describeVm, testGuest } from "./support.ts";

/** What the inner guest does on its own: it has no other way to be told. */
const INNER_INIT = `#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
for module in vsock vmw_vsock_virtio_transport_common vmw_vsock_virtio_transport; do
  insmod /$module.ko
done
guest-vsock echo 9001 > /dev/null &
guest-vsock echo-records 9003 > /dev/null &
guest-vsock transmit 2 7401 16
guest-vsock many 2 7500 100 50
guest-vsock records 2 7200 1 5000 60000 3
guest-vsock refused 2 7999
echo inner done
sleep 100000
`;

const PREPARE = `set -e
mkdir -p /tmp/inner/bin /tmp/inner/proc /tmp/inner/dev
cd /tmp/inner
cp /bin/busybox /bin/guest-vsock bin/
for module in vsock vmw_vsock_virtio_transport_common vmw_vsock_virtio_transport; do
  cp $(find /usr/lib/uml/modules -name $module.ko) .
done
cat > init
chmod +x init
mknod dev/console c 5 1
find . | cpio -o -H newc > /tmp/inner.cpio`;

const PROXY =
  "vsockbox hybrid-proxy --guest-cid 5 --socket /tmp/inner.sock --forward-cid 1 --forward-listen 9001+9002 --forward-listen-seqpacket 9003";

const UML =
  "linux.uml mem=128M initrd=/tmp/inner.cpio con=null con0=null,fd:1 quiet umid=inner virtio_uml.device=/tmp/inner.sock:19";

function forwardTests(): void {
  const inGuest = async (line: string) => await runIn(await testGuest(), line);
  const console = async () => await inGuest("cat /tmp/uml.log");
  let received: () => Promise<string>;
  let echoed: () => Promise<string>;

  beforeAll(async () => {
    const guest = await testGuest();
    await inGuest("modprobe vsock_loopback 2> /dev/null; true");
    await inGuest(`cat <<'END' | sh -c '${PREPARE}'\n${INNER_INIT}END`);
    received = await startListener(guest, "guest-vsock receive 7401 0");
    await startListener(guest, "guest-vsock echo 7500");
    echoed = await startListener(guest, "guest-vsock echo-records 7200");
    await inGuest(
      `(${PROXY} > /tmp/proxy.log 2>&1; echo $? > /tmp/proxy.status) > /dev/null 2>&1 &`,
    );
    await eventually("the device waits", async () => {
      return (await inGuest("cat /tmp/proxy.log")).includes("waiting for its VMM");
    });
    await inGuest(`(TMPDIR=/tmp HOME=/tmp ${UML} > /tmp/uml.log 2>&1 < /dev/null &) > /dev/null`);
    await eventually("it is done", async () => (await console()).includes("inner done"), 240_000);
  });
  afterAll(async () => {
    await inGuest("kill -9 $(pidof linux.uml); kill $(pidof vsockbox); true");
  });

  test("carries what the guest sends to a CID of the kernel, with equal hashes", async () => {
    const said = await received();
    expect(said).toStartWith(`${16 * 1024 * 1024} bytes`);
    expect(await console()).toContain(said);
  });

  test("100 connections of the guest, 50 at once", async () => {
    expect(await console()).toContain("100 connections, 50 at once\n");
  });

  test("records of the guest keep their borders", async () => {
    expect(await console()).toContain("1a 5000b 60000c 3d end\n");
    expect(await echoed()).toBe("");
  });

  test("a port that nobody listens on is refused", async () => {
    expect(await console()).toContain("ECONNRESET\ninner done");
  });

  test("100 connections to a port of the guest, 50 at once", async () => {
    expect(await inGuest("guest-vsock many 1 9001 100 50")).toBe("100 connections, 50 at once\n");
  });

  test("records to the guest keep their borders", async () => {
    expect(await inGuest("guest-vsock records 1 9003 1 5000 60000 3")).toBe(
      "1a 5000b 60000c 3d end\n",
    );
  });

  test("a port that the guest does not listen on is closed", async () => {
    const { stdout } = await (await testGuest()).run("guest-vsock many 1 9002 1 1");
    expect(Buffer.from(stdout).toString()).toMatch(/^(write|read): /);
  });

  test("a port that is taken is an error before anything is served", async () => {
    const guest = await testGuest();
    const { status, stderr } = await guest.run(PROXY.replaceAll("inner", "other"));
    expect([status, Buffer.from(stderr).toString()]).toEqual([
      73,
      expect.stringMatching(/listen on vsock:any:9001: .*\(EADDRINUSE\)/),
    ]);
    expect((await guest.run("test -e /tmp/other.sock")).status).toBe(1);
  });
}

// It needs both.
describeUml("hybrid-proxy", () =>
  describeVm("--forward-cid, in a guest with vsock_loopback", forwardTests),
);
