/** guest-exec and its host over AF_VSOCK, in the shared guest: both ends are CID 1. */
import { beforeAll, expect, test } from "bun:test";
import { describeWith } from "../support/tools.ts";
import { describeVm, inGuest, prepare } from "./support.ts";

/** Starts a host in the background, and waits until it listens or reports why it cannot. */
const hosting = (words: string) =>
  `: > /tmp/host.log; vsockbox guest-exec-host ${words} 2>> /tmp/host.log & host=$!; ` +
  "until [ -s /tmp/host.log ]; do sleep 0.1; done; ";

/**
 * Runs the guest in C, and prints its status, the host's and the host's log. Where one of them waits
 * without an end, the limit shows which one: it ends with 143.
 */
const cGuest = (words: string) =>
  `timeout 40 vsock-guest-exec-c ${words}; guest=$?; { sleep 40; kill $host; } > /dev/null 2>&1 & limit=$!; ` +
  "wait $host; echo guest $guest, host $?; kill $limit; cat /tmp/host.log >&2";

describeVm("guest-exec over AF_VSOCK", () => {
  beforeAll(async () => {
    await prepare("ln -sf vsockbox /bin/vsock_guest_exec");
  });

  test("disposable, with the command's status, under the C program's name", async () => {
    const { stdout } = await inGuest(
      `${hosting("vsock::1024 --once 'echo over vsock; exit 7'")}vsock_guest_exec 1:; echo $?; wait $host; echo $?`,
    );
    expect(stdout).toBe("over vsock\n7\n0\n");
  });

  test("persistent with reports: the host knows the guest by its CID", async () => {
    const { stdout } = await inGuest(
      `${hosting("vsock::2049 --persistent --report -c 'echo a' -c 'kill -9 $$' > /tmp/host.out")}` +
        "vsockbox guest-exec 1:2049 persistent --report -q; echo $?; until grep -q closed /tmp/host.log; do sleep 0.1; done; " +
        "kill $host; wait $host; cat /tmp/host.out /tmp/host.log",
    );
    expect(stdout).toStartWith("a\n0\n1 | a\nvsockbox: listening on vsock:any:2049\n");
    expect(stdout).toMatch(
      /guest 1 is connected \(vsock:1:\d+\)\n.*guest 1: command 2 was ended by SIGKILL\n.*guest 1 has closed/,
    );
  });

  test("bytes that are not UTF-8", async () => {
    const { stdout } = await inGuest(
      `printf "printf '\\377\\303(' | od -An -tx1" > /tmp/script; ` +
        `${hosting("vsock::1024 --once --script /tmp/script")}vsockbox guest-exec 1; wait $host`,
    );
    expect(stdout).toBe(" ff c3 28\n");
  });

  test("--cid refuses another guest", async () => {
    const { stdout, stderr } = await inGuest(
      `${hosting("vsock::1024 --cid 3 'echo no'")}vsockbox guest-exec 1 --idle-timeout 20; echo $?; kill $host; wait $host; cat /tmp/host.log >&2`,
    );
    expect(stdout).toMatch(/^(65|69|255)\n$/);
    expect(stderr).toMatch(/vsock:1: refused, not the CID of --cid/);
  });

  test("no listener, no such CID, and any CID: 69 with CID, port and errno", async () => {
    for (const [target, errno] of [
      ["1:4711", /vsock:1:4711: .*ECONNRESET/],
      ["77:1024", /vsock:77:1024: .*ENODEV/],
      ["-1:1024", /vsock:any:1024: .*\(E[A-Z]+\)/],
    ] as const) {
      const result = await inGuest(`vsockbox guest-exec ${target}`);
      expect([target, result.status, result.stderr]).toEqual([
        target,
        69,
        expect.stringMatching(errno),
      ]);
    }
  });

  test("--retry waits for the host", async () => {
    const { stdout } = await inGuest(
      `{ vsockbox guest-exec 1:2050 --retry -q; echo guest $?; } & sleep 2; ${hosting("vsock::2050 --once 'echo came'")}wait`,
    );
    expect(stdout).toBe("came\nguest 0\n");
  });

  test("ten guests at once", async () => {
    const { stdout } = await inGuest(
      `${hosting("vsock::1024 --report 'echo hello' > /tmp/host.out")}` +
        'for i in 1 2 3 4 5 6 7 8 9 10; do vsockbox guest-exec 1 --report -q > /dev/null & guests="$guests $!"; done; ' +
        "for guest in $guests; do wait $guest || echo failed; done; " +
        "until [ $(grep -c closed /tmp/host.log) = 10 ]; do sleep 0.1; done; kill $host; wait $host; grep -c hello /tmp/host.out",
      300_000,
    );
    expect(stdout).toBe("10\n");
  });

  describeWith(["gcc"], "the guest in C", () => {
    test("runs our host's commands in both modes", async () => {
      const single = await inGuest(
        `${hosting("vsock::1024 --once 'echo one'")}${cGuest("1:1024")}`,
      );
      expect(single).toEqual({
        status: 0,
        stdout: "one\nguest 0, host 0\n",
        stderr: expect.stringContaining("guest 1 has closed"),
      });
      const many = await inGuest(
        `${hosting("vsock::1025 --once --persistent -c 'echo a' -c 'echo b'")}${cGuest("1:1025 persistent")}`,
      );
      expect(many).toEqual({
        status: 0,
        stdout: "a\nb\nguest 0, host 0\n",
        stderr: expect.stringContaining("guest 1 has closed"),
      });
    });
  });
});
