import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { symlinkSync, writeFileSync } from "node:fs";
import { BINARY, shell, ScratchDirectory, vsockbox } from "../support/binary.ts";

let scratch: ScratchDirectory;
beforeEach(() => {
  scratch = new ScratchDirectory();
});
afterEach(() => scratch[Symbol.dispose]());

const VM = "guest_cid=4,socket=/tmp/vhost4.socket,uds_path=/tmp/vm4.vsock,groups=a+b";
const PRINTED = `vms:
  - guest_cid: 4
    socket: /tmp/vhost4.socket
    uds_path: /tmp/vm4.vsock
    queue_size: 1024
    groups: a+b
`;

describe("hybrid-proxy", () => {
  test("prints its configuration in a form that it reads again", async () => {
    const options = [
      ...["--guest-cid", "4", "--socket", "/tmp/vhost4.socket"],
      ...["--uds-path=/tmp/vm4.vsock", "--groups", "a+b"],
    ];
    const fromOptions = await vsockbox(["hybrid-proxy", ...options, "--print-config"]);
    expect(fromOptions).toEqual({ status: 0, stdout: PRINTED, stderr: "" });
    const fromVm = await vsockbox(["hybrid-proxy", "--vm", VM, "--print-config", "--json"]);
    for (const text of [PRINTED, fromVm.stdout]) {
      const file = scratch.file("vms.yaml");
      writeFileSync(file, text);
      const again = await vsockbox(["hybrid-proxy", "--config", file, "--print-config"]);
      expect(again).toEqual({ status: 0, stdout: PRINTED, stderr: "" });
    }
  });

  test("prints QEMU's options for each VM", async () => {
    const args = ["--vm", VM, "--vm", "socket=/a b,forward-cid=1", "--print-qemu"];
    const { stdout } = await vsockbox(["hybrid-proxy", ...args, "--memory", "512m"]);
    const lines = stdout.trimEnd().split("\n");
    expect(lines).toHaveLength(2);
    expect(lines[0]).toContain("memory-backend-memfd,id=mem0,size=512M,share=on");
    const { stdout: words } = await shell(`printf '%s\\n' ${lines[1] ?? ""}`);
    expect(words).toContain("\nsocket,id=vsock0,path=/a b\n");
    const json = await vsockbox(["hybrid-proxy", ...args, "--json"]);
    expect(JSON.parse(json.stdout)).toMatchObject([
      { guest_cid: 4, arguments: expect.arrayContaining(["-m", "1G", "memory-backend=mem0"]) },
      { guest_cid: 3, arguments: expect.arrayContaining(["socket,id=vsock0,path=/a b"]) },
    ]);
  });

  test.each([
    [[], 64, "--socket is missing"],
    [["--socket", "/s"], 64, "--uds-path or --forward-cid is required"],
    [["--vm", VM, "--guest-cid", "4"], 64, "--vm cannot be used with --guest-cid"],
    [["--vm", VM, "--config", "/x"], 64, "--vm cannot be used with --config"],
    [["--vm", VM, "--vm", VM], 64, "4 is used twice"],
    [["--vm", `${VM},qeue-size=2`], 64, "did you mean queue-size?"],
    [["--config", "/nonexistent"], 78, "/nonexistent"],
    [
      ["--vm", VM, "--print-config", "--print-qemu"],
      64,
      "--print-config cannot be used with --print-qemu",
    ],
    [["--vm", VM, "--json"], 64, "--json requires --print-config or --print-qemu"],
    [["--vm", VM, "--memory", "1G"], 64, "--memory requires"],
    [
      ["--vm", VM, "--print-qemu", "--memory", "1"],
      64,
      "expected a whole number with K, M, G or T",
    ],
    [["--vm", VM, "--vn", VM], 64, "did you mean --vm?"],
    [["brige"], 64, "brige"],
  ])("refuses %j", async (args, status, message) => {
    expect(await vsockbox(["hybrid-proxy", ...args])).toEqual({
      status,
      stdout: expect.stringMatching(args.includes("--json") ? /^\{"error":.*\}\n$/ : /^$/),
      stderr: expect.stringContaining(message),
    });
  });

  test("explains itself and its bridge", async () => {
    const { stdout } = await vsockbox(["hybrid-proxy", "--help"]);
    expect(stdout).toContain("--forward-listen");
    for (const words of [
      ["hybrid-proxy", "bridge", "--help"],
      ["help", "hybrid-proxy", "bridge"],
      ["help", "bridge"],
    ]) {
      expect((await vsockbox(words)).stdout).toContain("--line-timeout");
    }
  });
});

describe("a link called vhost-device-vsock", () => {
  test("is hybrid-proxy, however it is started", async () => {
    const link = scratch.file("vhost-device-vsock");
    symlinkSync(BINARY, link);
    const words = `--vm ${VM} --print-config`;
    for (const line of [
      `${link} ${words}`,
      `cd ${scratch.path} && ./vhost-device-vsock ${words}`,
      `PATH=${scratch.path}:$PATH vhost-device-vsock ${words}`,
      `exec -a vhost-device-vsock ${BINARY} ${words}`,
    ]) {
      expect(await shell(line)).toEqual({ status: 0, stdout: PRINTED, stderr: "" });
    }
  });

  test("has the peer's help and version, and no other command", async () => {
    const link = scratch.file("vhost-device-vsock");
    symlinkSync(BINARY, link);
    expect((await shell(`${link} --help`)).stdout).toContain("--guest-cid");
    expect((await shell(`${link} --version`)).stdout).toStartWith("vsockbox ");
    expect(await shell(`${link} cid`)).toMatchObject({
      status: 64,
      stderr: expect.stringContaining('unexpected argument "cid"'),
    });
  });

  test("by another name is vsockbox", async () => {
    const link = scratch.file("my-vsockbox");
    symlinkSync(BINARY, link);
    expect((await shell(`${link} hybrid-proxy --vm ${VM} --print-config`)).stdout).toBe(PRINTED);
  });
});
