import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { vmsFromYaml, type VmConfig } from "../../../../src/device/config/device-config.ts";
import {
  configDocument,
  configYaml,
  parseMemorySize,
  qemuArguments,
  qemuLine,
} from "../../../../src/device/config/print-config.ts";
import { describeWith, findTool } from "../../../support/tools.ts";
import { vmList } from "../../../support/vm-list.ts";

const VM: VmConfig = {
  guestCid: 3,
  socket: "/tmp/vhost3.socket",
  backend: { kind: "unix", udsPath: "/tmp/vm 3.vsock" },
  txBufferSize: 65_536,
  queueSize: 1024,
  groups: ["a", "b"],
  maxConnections: 1023,
};

describe("a printed configuration", () => {
  test("is a file that the peer reads as well", () => {
    const forward: VmConfig = {
      ...VM,
      guestCid: 4,
      backend: { kind: "vsock", forwardCid: 1, forwardListen: [9001, 9002] },
      groups: ["default"],
    };
    expect(configYaml([VM, forward])).toBe(`vms:
  - guest_cid: 3
    socket: /tmp/vhost3.socket
    uds_path: "/tmp/vm 3.vsock"
    tx_buffer_size: 65536
    queue_size: 1024
    groups: a+b
  - guest_cid: 4
    socket: /tmp/vhost3.socket
    forward_cid: 1
    forward_listen: "9001+9002"
    tx_buffer_size: 65536
    queue_size: 1024
    groups: default
`);
  });

  test.each(["true", "False", "null", "YES", "no", "on", "off", "y", "N"])(
    "quotes %s, which a reader of YAML may take for another value than text",
    (word) => {
      const text = configYaml([{ ...VM, socket: word }]);
      expect(text).toContain(`socket: "${word}"\n`);
      expect(vmsFromYaml(text, "vms.yaml")[0]?.socket).toBe(word);
    },
  );

  test.each(["truth", "/null", "knock"])("leaves %s as it is", (word) => {
    expect(configYaml([{ ...VM, socket: word }])).toContain(`socket: ${word}\n`);
  });

  test("has our own keys if they are set", () => {
    const vm: VmConfig = {
      ...VM,
      socketMode: 0o60,
      socketOwner: ":36",
      backend: { kind: "unix", udsPath: "/u", udsMode: 0o666, udsOwner: "root:kvm" },
      maxConnections: 7,
      rateToGuest: 10 * 1024 * 1024,
      rateFromGuest: 5000,
      burst: 65_536,
    };
    expect(configYaml([vm])).toBe(`vms:
  - guest_cid: 3
    socket: /tmp/vhost3.socket
    socket_mode: "0060"
    socket_owner: ":36"
    uds_path: /u
    uds_mode: "0666"
    uds_owner: "root:kvm"
    tx_buffer_size: 65536
    queue_size: 1024
    groups: a+b
    max_connections: 7
    rate_to_guest: "10M"
    rate_from_guest: "5000"
    burst: "64K"
`);
  });

  test("is read as the same configuration", () => {
    fc.assert(
      fc.property(vmList, (vms) => {
        expect(vmsFromYaml(configYaml(vms), "x")).toEqual(vms);
        expect(vmsFromYaml(JSON.stringify(configDocument(vms)), "x")).toEqual(vms);
      }),
    );
  });

  test.each([
    "yes",
    "null",
    "~",
    "1e3",
    "0x1",
    "- a",
    "a: b",
    "#",
    "a #b",
    "!x",
    "%",
    "é",
    "\u0085",
  ])("keeps the group %j", (group) => {
    const vms = [{ ...VM, groups: [group] }];
    expect(vmsFromYaml(configYaml(vms), "x")).toEqual(vms);
  });
});

describe("QEMU's options", () => {
  test("share the memory with the device", () => {
    expect(qemuLine(VM, "1G")).toBe(
      "-cpu max -m 1G -object memory-backend-memfd,id=mem0,size=1G,share=on -machine memory-backend=mem0" +
        " -chardev socket,id=vsock0,path=/tmp/vhost3.socket -device vhost-user-vsock-pci,chardev=vsock0",
    );
  });

  test("double a comma and quote for the shell", () => {
    expect(qemuLine({ ...VM, socket: "/a,b 'c" }, "1G")).toContain(
      `'socket,id=vsock0,path=/a,,b '\\''c'`,
    );
  });

  test.each(["1G", "512m", "2048K", "1t"])("use the memory size %j", (text) => {
    expect(parseMemorySize(text)).toBe(text.toUpperCase());
  });

  test.each(["", "512", "0G", "1.5G", "1GB", "-1G", "1G,share=off"])("refuse %j", (text) => {
    expect(() => parseMemorySize(text)).toThrow("a whole number with K, M, G or T");
  });
});

describeWith(["qemu-system-x86_64"], "QEMU itself", () => {
  const help = (...args: string[]) => {
    const qemu = findTool("qemu-system-x86_64") ?? "";
    const { stdout, stderr } = Bun.spawnSync([qemu, ...args]);
    return stdout.toString() + stderr.toString();
  };
  const names = (value: string) => value.split(",").map((part) => part.split("=")[0] ?? "");
  const options = qemuArguments(VM, "1G");
  const optionsOf = (name: string) => options[options.indexOf(name) + 1] ?? "";

  test.each(["-device", "-object"])("is the printed form of %s", (name) => {
    const [driver = "", ...properties] = names(optionsOf(name));
    const known = help(name, `${driver},help`);
    for (const property of properties) {
      if (property !== "id") expect(known).toMatch(new RegExp(`^ *${property}=`, "m"));
    }
  });

  test("prints the memory back end of the VM", () => {
    expect(help("-machine", "q35,help")).toMatch(/^ *memory-backend=/m);
  });
});
