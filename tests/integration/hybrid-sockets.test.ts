import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { chmodSync, existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { Running, shell, ScratchDirectory, vsockbox } from "../support/binary.ts";
import { describeWith } from "../support/tools.ts";

const isRoot = process.getuid?.() === 0;
const AS_NOBODY = "setpriv --reuid 65534 --regid 65534 --clear-groups";

let scratch: ScratchDirectory;
beforeEach(() => {
  scratch = new ScratchDirectory();
});
afterEach(() => scratch[Symbol.dispose]());

const rights = (path: string) => {
  const { mode, uid, gid } = statSync(path);
  return [(mode & 0o777).toString(8), uid, gid];
};

function connects(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path, () => {
      socket.destroy();
      resolve(true);
    });
    socket.on("error", () => resolve(false));
  });
}

describe("the sockets of hybrid-proxy", () => {
  const [uid, gid] = [process.getuid?.() ?? -1, process.getgid?.() ?? -1];

  test("are for their creator alone by default", async () => {
    const [vmm, host] = [scratch.file("vmm"), scratch.file("host")];
    await using device = new Running(["hybrid-proxy", "--socket", vmm, "--uds-path", host]);
    await device.says("waiting for its VMM");
    expect(rights(vmm)).toEqual(["600", uid, gid]);
    expect(rights(host)).toEqual(["600", uid, gid]);
  });

  describe.skipIf(!isRoot)("of root's device", () => {
    test.each([
      ["with its VMM's given away", ["--socket-owner", "65534"], "waiting for its VMM"],
      ["that goes on as another user", ["--sandbox", "--user", "65534"], "confined: "],
    ])("return the status to root: %s", async (_, options, ready) => {
      const [vmm, host] = [scratch.file("vmm"), scratch.file("host")];
      chmodSync(scratch.path, 0o777);
      const args = ["hybrid-proxy", "--guest-cid", "77", "--socket", vmm, "--uds-path", host];
      await using device = new Running([...args, ...options]);
      await device.says(ready);
      for (const path of [[vmm], [host], [`${vmm}.ctl`], []]) {
        const { stdout, stderr } = await vsockbox(["hybrid-proxy", "status", ...path]);
        expect([stdout, stderr]).toEqual([expect.stringContaining("VM 77: no VMM"), ""]);
      }
    });
  });

  test.each(["options", "--vm", "--config"])("have the modes of %s", async (form) => {
    const [vmm, host] = [scratch.file("vmm"), scratch.file("host")];
    const keys = {
      socket: vmm,
      "socket-mode": "0666",
      "uds-path": host,
      "uds-mode": "620",
      "uds-owner": `${uid}:${gid}`,
    };
    const pairs = Object.entries(keys);
    const file = scratch.file("vms.yaml");
    writeFileSync(file, JSON.stringify({ vms: [keys] }));
    const args = {
      options: pairs.flatMap(([key, value]) => [`--${key}`, value]),
      "--vm": ["--vm", pairs.map((pair) => pair.join("=")).join(",")],
      "--config": ["--config", file],
    }[form];
    await using device = new Running(["hybrid-proxy", ...(args ?? [])]);
    await device.says("waiting for its VMM");
    expect(rights(vmm)).toEqual(["666", uid, gid]);
    expect(rights(host)).toEqual(["620", uid, gid]);
    expect(await connects(host)).toBe(true);
    device.process.kill("SIGTERM");
    expect(await device.process.exited).toBe(0);
    expect([existsSync(vmm), existsSync(host)]).toEqual([false, false]);
  });

  test.skipIf(!isRoot)("have the configured owners", async () => {
    const [vmm, host] = [scratch.file("vmm"), scratch.file("host")];
    const vm = `socket=${vmm},socket-owner=65534:65533,uds-path=${host},uds-owner=:65532,uds-mode=0060`;
    await using device = new Running(["hybrid-proxy", "--vm", vm]);
    await device.says("waiting for its VMM");
    expect(rights(vmm)).toEqual(["600", 65_534, 65_533]);
    expect(rights(host)).toEqual(["60", uid, 65_532]);
  });

  test("are not opened for an owner that does not exist", async () => {
    const [vmm, host] = [scratch.file("vmm"), scratch.file("host")];
    const args = ["--socket", vmm, "--uds-path", host, "--uds-owner", "no-such-user"];
    expect(await vsockbox(["hybrid-proxy", ...args])).toMatchObject({
      status: 78,
      stderr: expect.stringContaining('unknown user "no-such-user"'),
    });
    expect([existsSync(vmm), existsSync(host)]).toEqual([false, false]);
  });
});

describeWith(["setpriv"], "an ordinary user's sockets", () => {
  test.skipIf(!isRoot)("of an owner that cannot be set are not created", async () => {
    chmodSync(scratch.path, 0o777);
    const [vmm, host] = [scratch.file("vmm"), scratch.file("host")];
    const line = `${AS_NOBODY} vsockbox hybrid-proxy --socket ${vmm} --uds-path ${host} --uds-owner :0`;
    const { status, stderr } = await shell(line);
    expect([status, stderr]).toEqual([77, expect.stringContaining("that you are in it")]);
    expect([existsSync(vmm), existsSync(host)]).toEqual([false, false]);
  });

  test.skipIf(!isRoot)("can have a group that the user is in", async () => {
    chmodSync(scratch.path, 0o777);
    const [vmm, host] = [scratch.file("vmm"), scratch.file("host")];
    const args = ["--socket", vmm, "--socket-owner", ":7", "--socket-mode", "660"];
    const through = ["setpriv", "--reuid", "65534", "--regid", "65534", "--groups", "7"];
    await using device = new Running(["hybrid-proxy", ...args, "--uds-path", host], { through });
    await device.says("waiting for its VMM");
    expect(rights(vmm)).toEqual(["660", 65_534, 7]);
  });
});

describeWith(["strace"], "seen from the kernel", () => {
  test.skipIf(!isRoot)("a socket has its owner and mode before a client can connect", async () => {
    const [vmm, host, trace] = [scratch.file("vmm"), scratch.file("host"), scratch.file("trace")];
    const calls = "umask,bind,chown,lchown,fchownat,chmod,fchmodat,listen";
    const through = ["strace", "-f", "-e", `trace=${calls}`, "-o", trace];
    const args = ["--socket", vmm, "--socket-mode", "0666", "--socket-owner", "65534"];
    await using device = new Running(["hybrid-proxy", ...args, "--uds-path", host], { through });
    await device.says("waiting for its VMM");
    const lines = readFileSync(trace, "utf8").split("\n");
    const found = lines.map((line) => /^(\d+) +(\w+)\((\d*)/.exec(line));
    // strace lets go of what it traces when it is killed.
    process.kill(Number(found[0]?.[1]), "SIGTERM");
    await device.process.exited;
    const steps = found.flatMap((match) => (match === null ? [] : [`${match[2]} ${match[3]}`]));
    expect(steps.slice(0, 5)).toEqual([
      "umask 0177",
      expect.stringMatching(/^bind/),
      expect.stringMatching(/chown/),
      expect.stringMatching(/chmod/),
      expect.stringMatching(/^listen/),
    ]);
  });
});
