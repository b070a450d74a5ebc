/** What goes beyond the Go agent's frames, over AF_VSOCK: files, detached sessions, forwards, sandbox. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readExposition } from "../support/exposition.ts";
import { describeVm, inGuest, prepare } from "./support.ts";

const AGENT = "local:5020";

describeVm("the agent's extensions over AF_VSOCK", () => {
  beforeAll(async () => {
    await prepare(
      "(vsockbox agent --listen vsock::5020 --ready-listen none --allow-local -q > /tmp/ext.log 2>&1 & echo $! > /tmp/ext.pid); vsockbox wait local:5020",
    );
  });
  afterAll(async () => {
    await inGuest("kill $(cat /tmp/ext.pid)");
  });

  test("cp up and down, with equal hashes, and a tree", async () => {
    await prepare("mkdir -p /tmp/x/tree/sub && head -c 8000000 /dev/urandom > /tmp/x/big");
    await prepare('for i in $(seq 200); do echo $i > "/tmp/x/tree/sub/f $i"; done');
    await prepare(
      `vsockbox cp /tmp/x/big ${AGENT}:/tmp/x/up && vsockbox cp ${AGENT}:/tmp/x/big /tmp/x/down`,
    );
    const sums = await prepare(
      "cd /tmp/x; sha256sum big up down | cut -d' ' -f1 | sort -u | wc -l",
    );
    expect(sums).toBe("1\n");
    await prepare(
      `vsockbox cp -rp /tmp/x/tree ${AGENT}:/tmp/x/copy && diff -r /tmp/x/tree /tmp/x/copy`,
    );
    await prepare("rm -rf /tmp/x");
  });

  test("a full disk is ENOSPC with its reason and leaves no file", async () => {
    await prepare("mkdir -p /tmp/full && mount -t tmpfs -o size=2m full /tmp/full");
    await prepare(
      "head -c 5000000 /dev/urandom > /tmp/five; mkdir /tmp/tree; cp /tmp/five /tmp/tree/a",
    );
    const file = await inGuest(`vsockbox cp /tmp/five ${AGENT}:/tmp/full/`);
    expect(file.status).toBe(74);
    expect(file.stderr).toMatch(
      /write \/tmp\/full\/five: no space left on device \(ENOSPC\)\n {2}hint: free some space/,
    );
    expect(await prepare("ls -A /tmp/full")).toBe("");
    const tree = await inGuest(
      `vsockbox cp -r /tmp/tree ${AGENT}:/tmp/full/; ls -A /tmp/full/tree`,
    );
    expect(tree.stderr).toContain("ENOSPC");
    expect(tree.stdout).toBe("");
    const down = await inGuest(
      `vsockbox cp ${AGENT}:/tmp/five /tmp/full/; echo $?; ls -A /tmp/full/`,
    );
    expect(down.stderr).toContain("ENOSPC");
    expect(down.stdout).toBe("74\ntree\n");
    const resumed = await inGuest(
      `vsockbox cp --resume /tmp/five ${AGENT}:/tmp/full/; ls -A /tmp/full/`,
    );
    expect(resumed.stdout).toBe("tree\n");
    await prepare("umount /tmp/full; rm -rf /tmp/tree /tmp/five");
  });

  test("detached sessions", async () => {
    const id = (
      await prepare(`vsockbox exec -d ${AGENT} --name job -- sh -c 'echo out; sleep 0.5; exit 4'`)
    ).trim();
    expect(id).toMatch(/^[0-9a-f]{8}$/);
    expect(await prepare(`vsockbox logs --follow ${AGENT} job`)).toBe("out\n");
    expect(await prepare(`vsockbox ps ${AGENT}`)).toContain("ended (4)");
  });

  test("watch reports changes, and sync mirrors them", async () => {
    const until = (text: string, file: string) =>
      `for i in $(seq 300); do grep -q '${text}' ${file} && break; sleep 0.1; done`;
    await prepare(
      `mkdir -p /tmp/w/src; (vsockbox watch --recursive --once ${AGENT}:/tmp/w > /tmp/watch.out 2> /tmp/watch.err &); ${until("watching", "/tmp/watch.err")}`,
    );
    const changed = await prepare(
      `mkdir /tmp/w/src/new; ${until("create", "/tmp/watch.out")}; cat /tmp/watch.out`,
    );
    expect(changed).toBe("create     /tmp/w/src/new/\n");
    await prepare("echo 1 > /tmp/w/src/new/a; ln -s new/a /tmp/w/src/link");
    const equal = "diff -r /tmp/w /tmp/mirror && diff -r /tmp/w /tmp/back";
    const both = `vsockbox sync --delete /tmp/w ${AGENT}:/tmp/mirror && vsockbox sync --delete ${AGENT}:/tmp/mirror /tmp/back`;
    await prepare(`${both} && ${equal}`);
    await prepare(`echo 22 > /tmp/w/src/new/b; rm /tmp/w/src/new/a; ${both} && ${equal}`);
    await prepare("rm -rf /tmp/w /tmp/mirror /tmp/back /tmp/watch.out /tmp/watch.err");
  });

  test("forward -R and Unix sockets on either end", async () => {
    await prepare(
      "echo hello > /tmp/index; (busybox httpd -f -p 127.0.0.1:8180 -h /tmp & echo $! > /tmp/httpd.pid)",
    );
    await prepare(
      `(vsockbox forward ${AGENT} -R 8181:127.0.0.1:8180 -R /tmp/r.sock:127.0.0.1:8180 -L /tmp/l.sock:/tmp/r.sock 2>/tmp/forward.log & echo $! > /tmp/forward.pid); for i in $(seq 1000); do [ $(grep -c forwarding /tmp/forward.log) = 3 ] && break; sleep 0.1; done`,
    );
    expect(await prepare("wget -q -O - http://127.0.0.1:8181/index")).toBe("hello\n");
    expect(
      await prepare(
        "printf 'GET /index HTTP/1.0\\r\\n\\r\\n' | vsockbox connect unix:/tmp/l.sock | tail -1",
      ),
    ).toBe("hello\n");
    await prepare("kill $(cat /tmp/forward.pid) $(cat /tmp/httpd.pid)");
  });

  test("a sandbox with all options", async () => {
    const output = await prepare(
      `vsockbox exec --sandbox all ${AGENT} -- sh -c 'grep -E "^(NoNewPrivs|CapEff|CapBnd|Seccomp):" /proc/self/status; ls /proc | grep -c "^[0-9]"; mount -t tmpfs x /mnt 2>/dev/null || echo no mount; kill -0 1 && echo sees a process 1'`,
    );
    expect(output).toMatch(
      /^CapEff:\t0{16}\nCapBnd:\t0{16}\nNoNewPrivs:\t1\nSeccomp:\t2\n[2-5]\nno mount\nsees a process 1\n$/,
    );
    const { status } = await inGuest(`vsockbox exec --sandbox all ${AGENT} -- sh -c 'kill -9 $$'`);
    expect(status).toBe(137);
  });

  test("metrics by CID, of a guest without a network, and refused CIDs among them", async () => {
    const dead = "local:5999";
    const { status, stdout, stderr } = await inGuest(`vsockbox metrics ${AGENT} ${dead}`);
    expect(status).toBe(0);
    const metrics = readExposition(stdout);
    expect(metrics.get("vsockbox_up")?.samples).toEqual([
      { labels: { target: AGENT, cid: "1" }, value: 1 },
      { labels: { target: dead, cid: "1" }, value: 0 },
    ]);
    expect(stderr).toContain(`${dead}: cannot connect to`);
    const [, kilobytes] = /^MemTotal: +(\d+) kB$/m.exec(await prepare("cat /proc/meminfo")) ?? [];
    expect(metrics.get("vsockbox_guest_memory_total_bytes")?.samples).toEqual([
      { labels: { target: AGENT, cid: "1" }, value: Number(kilobytes) * 1024 },
    ]);
    const interfaces = await prepare("ls /sys/class/net");
    const hasNetwork = interfaces.trim() !== "lo";
    expect(metrics.has("vsockbox_guest_network_bytes_total")).toBe(hasNetwork);
    await prepare(
      "(vsockbox agent --listen vsock::5021 --ready-listen none --metrics 127.0.0.1:9464 2> /tmp/hostonly.log & echo $! > /tmp/hostonly.pid); until grep -q 'listening on' /tmp/hostonly.log; do sleep 0.1; done",
    );
    expect((await inGuest("vsockbox exec local:5021 -- true")).status).toBe(77);
    const own = readExposition(await prepare("wget -q -O - http://127.0.0.1:9464/metrics"));
    await prepare("kill $(cat /tmp/hostonly.pid)");
    expect(own.get("vsockbox_agent_refusals_total")?.samples).toContainEqual({
      labels: { reason: "cid" },
      value: 1,
    });
  });

  test("ping and info", async () => {
    expect(await prepare(`vsockbox ping ${AGENT} --count 5 --interval 0`)).toContain(
      "5 round trips",
    );
    expect(await prepare(`vsockbox info ${AGENT}`)).toMatch(/^machine .*Linux \d/m);
  });
});
