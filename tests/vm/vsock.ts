/** AF_VSOCK in a guest with a kernel of its own, over vsock_loopback. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { MODULE_DIRECTORY } from "../../src/initramfs/modules.ts";
import { FrameDecoder, FrameType } from "../../src/protocols/agent/frame.ts";
import { TRANSFER_BYTES } from "../../src/smoke/checks.ts";
import { guestDoctor } from "./guest-doctor.ts";
import { describeWith } from "../support/tools.ts";
import { describeVm, inGuest, prepare, startServer } from "./support.ts";

describeVm("the guest", () => {
  // First of all: a module that has been used may stay busy for a while.
  test("no vsock in the kernel: EAFNOSUPPORT, and what to load", async () => {
    await prepare("rmmod vsock_loopback vmw_vsock_virtio_transport_common vsock");
    const { stdout, stderr } = await inGuest(
      "vsockbox cid; echo $?; vsockbox exec 3 -- true; echo $?; vsockbox guest-exec; echo $?; vsockbox smoke > /dev/null; echo $?",
    );
    await prepare(
      `for m in vsock vmw_vsock_virtio_transport_common vsock_loopback; do insmod ${MODULE_DIRECTORY}/$m.ko; done`,
    );
    expect(stdout).toBe("69\n69\n69\n69\n");
    expect(stderr).toMatch(/vsock:2:1024: .*EAFNOSUPPORT/);
    expect(stderr).toMatch(/\/dev\/vsock[^]*EAFNOSUPPORT[^]*modprobe vsock/);
  });

  test("doctor without vsock in the kernel: the command loads it", async () => {
    await prepare("rmmod vsock_loopback vmw_vsock_virtio_transport_common vsock");
    for (const words of ["", "1"]) {
      const { status, bad } = await guestDoctor(words);
      expect({ status, bad }).toMatchObject({ status: 69, bad: [{ code: "vsock-not-loaded" }] });
    }
    const { bad } = await guestDoctor("1");
    await prepare(bad[0]?.fix ?? "false");
    const fixed = await guestDoctor("");
    expect(fixed).toMatchObject({ status: 0, bad: [] });
    expect(await prepare("lsmod")).toContain("vsock_loopback");
  });

  test("has its own kernel, loopback vsock and the executable", async () => {
    expect(await prepare("cat /proc/sys/kernel/osrelease; echo $VSOCKBOX_TEST_VM")).toMatch(
      /^\d+\..*\n1\n$/,
    );
    expect(await prepare("lsmod")).toContain("vsock_loopback");
    expect(await prepare("vsockbox --version")).toStartWith("vsockbox ");
  });
});

describeVm("cid", () => {
  test("reports that only loopback exists", async () => {
    expect((await prepare("vsockbox cid")).trim()).toMatch(/^(1|none)$/);
    expect(JSON.parse(await prepare("vsockbox cid --json"))).toHaveProperty("meaning");
  });
});

describeVm("smoke", () => {
  test("passes over CID 1", async () => {
    const report = JSON.parse(await prepare("vsockbox smoke --json", 300_000)) as {
      ok: boolean;
      checks: { name: string; ok: boolean; detail: string }[];
    };
    expect(report.checks.filter(({ ok }) => !ok)).toEqual([]);
    expect(report.ok).toBe(true);
    expect(report.checks.map(({ name }) => name)).toEqual([
      "vsock modules",
      "local CID",
      "listen and connect",
      "half-close",
      "dead port",
      "seqpacket",
      "exec",
      "transfer",
      "allow-cid",
    ]);
    expect(report.checks.at(-2)?.detail).toContain(`${TRANSFER_BYTES / 1024 / 1024} MiB`);
  });

  test("asks for consent outside the test guest", async () => {
    expect(await inGuest("VSOCKBOX_TEST_VM= vsockbox smoke")).toMatchObject({
      status: 64,
      stderr: expect.stringContaining("--yes-use-vsock"),
    });
  });
});

describeVm("connect and listen over AF_VSOCK", () => {
  test("half-close both ways, on a port that the kernel chose", async () => {
    const { stdout } = await inGuest(
      "vsockbox listen vsock::any --exec 'wc -c; echo from $VSOCKBOX_PEER_CID' 2> /tmp/listen.err & " +
        "until grep -q listening /tmp/listen.err; do sleep 0.1; done; " +
        "port=$(sed 's/.*://' /tmp/listen.err); head -c 100000 /dev/zero | vsockbox connect 1:$port; wait",
    );
    expect(stdout).toBe("100000\nfrom 1\n");
  });

  test("a peer that has closed ends a connect whose input is still open", async () => {
    const { stdout } = await inGuest(
      startServer("listen vsock::6001 --exec 'echo bye'") +
        "sleep 95 | { vsockbox connect 1:6001; echo status $? > /tmp/status; } & " +
        "until [ -e /tmp/status ]; do sleep 0.1; done; cat /tmp/status; ps | grep -c ' sleep 95$'; killall sleep",
      60_000,
    );
    expect(stdout).toBe("bye\nstatus 0\n1\n");
  });

  test("seqpacket keeps packets apart", async () => {
    const { stdout } = await inGuest(
      startServer("listen vsock::6002 --seqpacket --exec cat") +
        "printf packet | vsockbox connect 1:6002 --seqpacket",
    );
    expect(stdout).toBe("packet");
  });

  test("--allow-cid refuses other CIDs", async () => {
    const { stdout, stderr } = await inGuest(
      startServer("listen vsock::6003 -k --allow-cid 2,7 --exec 'echo served'") +
        "vsockbox connect -n 1:6003; kill $server; wait $server; cat /tmp/server.log >&2",
    );
    expect(stdout).toBe("");
    expect(stderr).toContain("vsock:1: refused, not in --allow-cid");
  });

  test("a port below 1024 needs the capability", async () => {
    const command =
      `chmod 777 /tmp; ${startServer("agent --allow-local --listen vsock::6004 --ready-listen none")}` +
      "vsockbox exec 1:6004 --user guest -- vsockbox listen vsock::80 -n; status=$?; kill $server; exit $status";
    expect(await inGuest(command)).toMatchObject({
      status: 73,
      stderr: expect.stringContaining("CAP_NET_BIND_SERVICE"),
    });
  });
});

describeVm("bench over AF_VSOCK", () => {
  test("measures both directions, round trips and connects", async () => {
    const { status, stdout } = await inGuest(
      "vsockbox bench serve -q & serve=$!; until vsockbox wait --connect-only 1:5201 > /dev/null; do :; done; " +
        "vsockbox bench run 1 --bytes 4MiB --count 50 --streams 2 --warm-up 0 --json; status=$?; " +
        "kill $serve; exit $status",
      300_000,
    );
    expect(status).toBe(0);
    const results = stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    const bytes = 2 * 4 * 1024 * 1024;
    expect(results).toMatchObject([
      { test: "upload", address: "vsock:1:5201", to_server_bytes: bytes, from_server_bytes: null },
      { test: "download", to_server_bytes: null, from_server_bytes: bytes },
      { test: "both", to_server_bytes: bytes, from_server_bytes: bytes },
      { test: "latency", operations: 50 },
      { test: "connects", operations: 50 },
    ]);
  });

  test("--allow-cid refuses other CIDs before anything is read", async () => {
    const { stdout, stderr } = await inGuest(
      startServer("bench serve vsock::5202 --allow-cid 7") +
        "vsockbox bench run 1:5202; echo $?; kill $server; wait $server; cat /tmp/server.log >&2",
    );
    expect(stdout).toBe("69\n");
    expect(stderr).toContain("vsock:1: refused, not in --allow-cid");
    expect(stderr).toContain("closed the connection without an answer");
  });
});

describeVm("errors of connect(2)", () => {
  test("a dead port: ECONNRESET, status 69, and the hint names the port", async () => {
    expect(await inGuest("vsockbox exec 1:4711 -- true")).toMatchObject({
      status: 69,
      stderr: expect.stringMatching(
        /cannot connect to vsock:1:4711: .*ECONNRESET[^]*nothing listens on port 4711/,
      ),
    });
  });

  test("a CID without a VM: ENODEV, status 69", async () => {
    expect(await inGuest("vsockbox exec 77 -- true")).toMatchObject({
      status: 69,
      stderr: expect.stringMatching(/vsock:77:5000: .*ENODEV[^]*CID 77/),
    });
  });

  test("wait tries both until its timeout, then exits with 75", async () => {
    expect(await inGuest("vsockbox wait 77 --timeout 1")).toMatchObject({
      status: 75,
      stderr: expect.stringContaining("ENODEV"),
    });
  });
});

describeVm("agent and exec over AF_VSOCK", () => {
  beforeAll(async () => {
    await prepare(
      "(vsockbox agent --allow-local > /tmp/agent.log 2>&1 & echo $! > /tmp/agent.pid); vsockbox wait 1 --timeout 120",
    );
  });
  // Its ports are those of the next agents as well.
  afterAll(async () => {
    const status = "/proc/$(cat /tmp/agent.pid)/status";
    await prepare(
      `kill $(cat /tmp/agent.pid); while grep -q '^State:.[^Z]' ${status} 2> /dev/null; do sleep 0.1; done`,
    );
  });

  test.each([0, 7, 255])("exit status %d", async (status) => {
    expect((await inGuest(`vsockbox exec 1 -- sh -c 'exit ${status}'`)).status).toBe(status);
  });

  test("output and errors apart, arguments as they are", async () => {
    expect(await inGuest(`vsockbox exec 1 -- sh -c 'echo "$1"; echo err >&2' sh 'a  b'`)).toEqual({
      status: 0,
      stdout: "a  b\n",
      stderr: "err\n",
    });
  });

  test.each([
    ["TERM", 143],
    ["KILL", 137],
  ])("a command that SIG%s ends", async (signal, status) => {
    expect((await inGuest(`vsockbox exec 1 --shell 'kill -${signal} $$'`)).status).toBe(status);
  });

  test("Ctrl-C reaches the command", async () => {
    const { status } = await inGuest(
      "vsockbox exec 1 -n --shell 'trap \"exit 9\" INT; echo up > /tmp/up; while :; do sleep 0.1; done' & client=$!; " +
        "until [ -e /tmp/up ]; do sleep 0.1; done; kill -INT $client; wait $client",
    );
    expect(status).toBe(9);
  });

  test("--timeout: 124 and no process left", async () => {
    expect(
      await inGuest("vsockbox exec 1 --timeout 1 -- sleep 99; echo $?; ps | grep ' sleep 99$'"),
    ).toMatchObject({
      stdout: "124\n",
    });
  });

  test("a user with all its groups", async () => {
    expect(await prepare("vsockbox exec 1 --user guest -- id")).toBe(
      "uid=1000(guest) gid=1000(guest) groups=2000(extra)\n",
    );
    expect(await prepare("vsockbox exec 1 --user 1000:5 -- id -G")).toBe("5\n");
  });

  describeWith(["gcc"], "commands of a client in C", () => {
    test("100 at once", async () => {
      expect(
        await prepare("mkfifo /tmp/begun; guest-vsock execs 1 5000 100 /tmp/begun; rm /tmp/begun"),
      ).toBe("100 commands at once\n");
    });
  });

  test("ten clients at once", async () => {
    // Ten that share an emulated processor take their time: the wait is none of this test's matter.
    const { stdout, stderr } = await inGuest(
      "mkdir -p /tmp/many; for i in $(seq 10); do " +
        '{ vsockbox exec 1 --connect-timeout 5m -n -- sh -c "echo $i; exit $i" > /tmp/many/$i; echo $? >> /tmp/many/$i; } & done; wait; ' +
        'for i in $(seq 10); do [ "$(cat /tmp/many/$i)" = "$i\n$i" ] || echo wrong: $i; done; ls /tmp/many | wc -l',
    );
    expect({ stdout, stderr }).toEqual({ stdout: "10\n", stderr: "" });
  });

  test("32 MiB through stdin, cat and stdout with equal hash", async () => {
    const { stdout } = await inGuest(
      "mkfifo /tmp/copy; sha256sum < /tmp/copy > /tmp/sent & " +
        "head -c 33554432 /dev/urandom | tee /tmp/copy | vsockbox exec 1 -- cat | tee /dev/null | sha256sum > /tmp/received; " +
        "wait; cmp /tmp/sent /tmp/received && cut -c 1-64 /tmp/received",
      300_000,
    );
    expect(stdout).toMatch(/^[0-9a-f]{64}\n$/);
    expect(stdout).not.toContain(
      "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    );
  });

  test("a client killed in the middle leaves no process in the guest", async () => {
    const { stdout } = await inGuest(
      "vsockbox exec 1 -n --shell 'sleep 98; true' & client=$!; " +
        "until pidof sleep > /dev/null; do sleep 0.1; done; kill -9 $client; " +
        "tries=0; while ps | grep -q ' sleep 98$' && [ $tries -lt 1000 ]; do sleep 0.1; tries=$((tries + 1)); done; " +
        "ps | grep -c ' sleep 98$'",
    );
    expect(stdout).toBe("0\n");
  });

  test("a client killed while its input is stuck leaves no process in the guest", async () => {
    const { stdout } = await inGuest(
      "head -c 16000000 /dev/zero > /tmp/zero; " +
        "vsockbox exec 1 --shell 'sleep 97; true' < /tmp/zero & client=$!; " +
        "until ps | grep -q ' sleep 97$'; do sleep 0.1; done; sleep 2; kill -9 $client; " +
        "tries=0; while ps | grep -q ' sleep 97$' && [ $tries -lt 1000 ]; do sleep 0.1; tries=$((tries + 1)); done; " +
        "rm /tmp/zero; ps | grep -c ' sleep 97$'",
    );
    expect(stdout).toBe("0\n");
  });

  test("forward: a web server in the guest through a port of this side", async () => {
    const { stdout } = await inGuest(
      "httpd -p 127.0.0.1:8080 -h /etc; vsockbox forward 1 -L 9090:127.0.0.1:8080 2> /tmp/forward.log & forward=$!; " +
        "until grep -q forwarding /tmp/forward.log; do sleep 0.1; done; " +
        "for i in 1 2 3; do wget -q -O - http://127.0.0.1:9090/passwd | head -1; done; kill $forward; killall httpd",
    );
    expect(stdout).toBe("root:x:0:0:root:/root:/bin/sh\n".repeat(3));
  });

  test("a terminal over AF_VSOCK, frame by frame", async () => {
    const request = '{"command":"tty; stty size; exit 3","rows":30,"cols":90}';
    const header = `\\011\\000\\000\\000\\${request.length.toString(8).padStart(3, "0")}`;
    const { stdout } = await inGuest(
      `{ printf '${header}%s' '${request}'; ` +
        // Its input stays open until all has come.
        "until tail -c 9 /tmp/frames | od -An -tx1 | grep -q '0a 00 00 00 04 00 00 00 03'; do sleep 0.1; done; } | " +
        "vsockbox connect 1:5000 > /tmp/frames; od -v -An -tx1 /tmp/frames",
    );
    const bytes = Buffer.from(stdout.replaceAll(/\s/g, ""), "hex");
    // A terminal hands a line on in as many pieces as it likes: what they say together counts.
    const frames = [...new FrameDecoder().push(bytes)];
    const exit = frames.pop();
    expect(new Set(frames.map(({ type }) => type))).toEqual(new Set([FrameType.Stdout]));
    const text = Buffer.concat(frames.map(({ payload }) => payload)).toString();
    expect(text).toMatch(/^\/dev\/pts\/\d+\r\n30 90\r\n$/);
    expect([exit?.type, exit?.payload]).toEqual([FrameType.Exit, new Uint8Array([0, 0, 0, 3])]);
  });

  test("by default the host alone is let in: CID 1 is refused with 77", async () => {
    const { stdout, stderr } = await inGuest(
      startServer("agent --listen vsock::6010 --ready-listen none") +
        "vsockbox exec 1:6010 -- true; echo $?; kill $server",
    );
    expect(stdout).toBe("77\n");
    expect(stderr).toMatch(/connection refused: vsock:1:\d+ is not in --allow-cid/);
  });

  test("a second agent on the same port reports that it is in use", async () => {
    expect(await inGuest("vsockbox agent --ready-listen none")).toMatchObject({
      status: 73,
      stderr: expect.stringContaining("EADDRINUSE"),
    });
  });

  test("a stopped agent ends its commands", async () => {
    const { stdout } = await inGuest(
      startServer("agent --listen vsock::6011 --ready-listen none --allow-local") +
        "vsockbox exec 1:6011 -n --shell 'sleep 96; true' & client=$!; until ps | grep -q ' sleep 96$'; do sleep 0.1; done; " +
        "kill $server; wait $server; echo agent $?; wait $client; echo client $?; ps | grep -c ' sleep 96$'",
    );
    expect(stdout).toBe("agent 0\nclient 255\n0\n");
  });
});
