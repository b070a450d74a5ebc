import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { writeFileSync } from "node:fs";
import {
  parsePorts,
  readVmsFile,
  VM_KEYS,
  vmFromOptions,
  vmsFromWords,
  vmsFromYaml,
  type VmConfig,
  type VmKey,
} from "../../../../src/device/config/device-config.ts";
import { configDocument } from "../../../../src/device/config/print-config.ts";
import { VsockboxError } from "../../../../src/errors.ts";
import { ScratchDirectory } from "../../../support/scratch-directory.ts";
import { vmList } from "../../../support/vm-list.ts";

function failure(body: () => unknown): VsockboxError {
  try {
    body();
  } catch (thrown) {
    if (thrown instanceof VsockboxError) return thrown;
    throw thrown;
  }
  throw new Error("it did not fail");
}

const yaml = (text: string) => vmsFromYaml(text, "vms.yaml");

const MINIMAL: VmConfig = {
  guestCid: 3,
  socket: "/s",
  backend: { kind: "unix", udsPath: "/u" },
  txBufferSize: undefined,
  queueSize: 1024,
  groups: ["default"],
  maxConnections: 1023,
};

describe("a VM of hybrid-proxy", () => {
  test("has defaults in all three forms", () => {
    expect(vmFromOptions({ socket: "/s", "uds-path": "/u" })).toEqual(MINIMAL);
    expect(vmsFromWords(["socket=/s,uds-path=/u"])).toEqual([MINIMAL]);
    expect(yaml("vms:\n  - socket: /s\n    uds_path: /u\n")).toEqual([MINIMAL]);
  });

  test("may have a burst of one byte, and the lowest rate", () => {
    const words = "socket=/s,uds-path=/u,rate-to-guest=4096,burst=1";
    expect(vmsFromWords([words])[0]).toMatchObject({ rateToGuest: 4096, burst: 1 });
    expect(failure(() => vmsFromWords([words.replace("4096", "4095")])).message).toContain("4096");
    expect(failure(() => vmsFromWords([words.replace("burst=1", "burst=0")])).code).toBe("USAGE");
  });

  test("has seqpacket listeners with AF_VSOCK only if they are given", () => {
    const words = "socket=/s,forward-cid=1";
    expect(vmsFromWords([words])[0]?.backend).toEqual({
      ...{ kind: "vsock", forwardCid: 1, forwardListen: [] },
    });
    expect(vmsFromWords([`${words},forward-listen-seqpacket=7`])[0]?.backend).toEqual({
      ...{ kind: "vsock", forwardCid: 1, forwardListen: [], forwardListenSeqpacket: [7] },
    });
  });

  test("may have everything, with either spelling of the keys", () => {
    const full: VmConfig = {
      guestCid: 4,
      socket: "/s",
      backend: { kind: "vsock", forwardCid: 1, forwardListen: [9001, 9002] },
      txBufferSize: 32_768,
      queueSize: 256,
      groups: ["a", "b"],
      socketMode: 0o660,
      socketOwner: "root:kvm",
      maxConnections: 64,
      connectTimeoutMs: 1500,
      rateToGuest: 10 * 1024 * 1024,
      rateFromGuest: 5_000_000,
      burst: 65_536,
    };
    const values: Partial<Record<VmKey, string>> = {
      "guest-cid": "4",
      socket: "/s",
      "forward-cid": "1",
      "forward-listen": "9001+9002",
      "tx-buffer-size": "32768",
      "queue-size": "256",
      groups: "a+b+a",
      "socket-mode": "0660",
      "socket-owner": "root:kvm",
      "max-connections": "64",
      "connect-timeout": "1.5s",
      "rate-to-guest": "10M",
      "rate-from-guest": "5000000",
      burst: "64k",
    };
    expect(vmFromOptions(values)).toEqual(full);
    const yamlOf = (value: string) => (value.startsWith("0") ? `"${value}"` : value);
    for (const spell of [(key: string) => key, (key: string) => key.replaceAll("-", "_")]) {
      const entries = Object.entries(values).map(([key, value]): [string, string] => [
        spell(key),
        value,
      ]);
      expect(vmsFromWords([entries.map((pair) => pair.join("=")).join(",")])).toEqual([full]);
      const lines = entries.map(([key, value]) => `    ${key}: ${yamlOf(value)}\n`).join("");
      expect(yaml(`vms:\n  -\n${lines}`)).toEqual([full]);
      expect(yaml(JSON.stringify({ vms: [Object.fromEntries(entries)] }))).toEqual([full]);
    }
  });

  test("can name the users that may connect to the socket of the host", () => {
    const unix = { ...MINIMAL.backend, udsMode: 0o600, udsOwner: "1000" };
    expect(vmsFromWords(["socket=/s,uds-path=/u,uds-mode=600,uds-owner=1000"])).toEqual([
      { ...MINIMAL, backend: unix },
    ]);
    const text = 'vms: [{socket: /s, uds_path: /u, uds_mode: "0600", uds_owner: 1000}]';
    expect(yaml(text)[0]?.backend).toEqual(unix);
  });

  test("has the mode that the digits of the file mean in octal, with or without quotes", () => {
    for (const mode of ["0640", '"0640"', "640", "'640'", "0o640"]) {
      const [vm] = yaml(
        `vms: [{socket: /s, uds_path: /u, socket_mode: ${mode}, uds-mode: ${mode}}]`,
      );
      expect([vm?.socketMode, vm?.backend]).toMatchObject([0o640, { udsMode: 0o640 }]);
    }
  });

  test("has names of groups and owners as the file spells them, digits and all", () => {
    const [vm] = yaml("vms: [{socket: /s, uds_path: /u, groups: [007, 1.0], socket_owner: 0100}]");
    expect([vm?.groups, vm?.socketOwner]).toEqual([["007", "1.0"], "0100"]);
  });

  test("may share values with others by anchors and merge keys", () => {
    const [, second] = yaml(
      "vms:\n- &a {socket: /s, uds_path: /u, queue_size: 64}\n- <<: *a\n  socket: /t\n  uds_path: /v\n  guest_cid: 4\n",
    );
    expect(second).toMatchObject({ guestCid: 4, socket: "/t", queueSize: 64 });
  });

  test("may have YAML lists, and a value with an equals sign", () => {
    const [vm] = yaml(
      "vms:\n- {socket: /s, forward-cid: 2, forward-listen: [1, 2], groups: [a, 7]}",
    );
    expect(vm).toMatchObject({
      backend: { kind: "vsock", forwardCid: 2, forwardListen: [1, 2] },
      groups: ["a", "7"],
    });
    expect(vmsFromWords(["socket=/a=b,uds-path=/u"])[0]?.socket).toBe("/a=b");
  });

  test("in the example of the peer's own page", () => {
    const text = `vms:
    - guest_cid: 3
      socket: /tmp/vhost3.socket
      uds_path: /tmp/vm3.vsock
      tx_buffer_size: 65536
      queue_size: 1024
      groups: group1+groupA
    - guest_cid: 5
      socket: /tmp/vhost5.socket
      forward-cid: 1
      forward-listen: 9001+9002
      tx_buffer_size: 32768
      queue_size: 1024
`;
    expect(yaml(text)).toEqual([
      {
        ...MINIMAL,
        socket: "/tmp/vhost3.socket",
        txBufferSize: 65_536,
        backend: { kind: "unix", udsPath: "/tmp/vm3.vsock" },
        groups: ["group1", "groupA"],
      },
      {
        ...MINIMAL,
        guestCid: 5,
        socket: "/tmp/vhost5.socket",
        backend: { kind: "vsock", forwardCid: 1, forwardListen: [9001, 9002] },
        txBufferSize: 32_768,
      },
    ]);
  });

  const GOOD = "socket=/s,uds-path=/u";
  test.each([
    ["uds-path=/u", "socket is missing"],
    ["socket=/s", "uds-path or forward-cid is required"],
    [`${GOOD},forward-cid=1`, "forward-cid: it conflicts with uds-path"],
    [`${GOOD},forward-listen=1`, "forward-listen: it requires forward-cid"],
    [`${GOOD},gest-cid=3`, 'unknown key "gest-cid"; did you mean guest-cid?'],
    [`${GOOD},udspath=3`, 'unknown key "udspath"; did you mean uds-path?'],
    [`${GOOD},colour=3`, 'unknown key "colour"'],
    [`${GOOD},socket=/t`, "socket is given twice"],
    [`${GOOD},queue-size=2,queue_size=2`, "queue-size is given twice"],
    [`${GOOD},guest-cid`, '"guest-cid" is not key=value'],
    [`${GOOD},=4`, '"=4" is not key=value'],
    [`${GOOD},`, '"" is not key=value'],
    ["", '"" is not key=value'],
    ["socket=,uds-path=/u", "socket: the path is empty"],
    ["socket=/s,uds-path=", "uds-path: the path is empty"],
    ["socket=/s\0,uds-path=/u", "NUL"],
    [`socket=/${"s".repeat(107)},uds-path=/u`, "the path has 108 bytes"],
    ["socket=/s,uds-path=/s", "uds-path: /s is used twice"],
    ["socket=/s,uds-path=/x/../s", "uds-path: /x/../s is used twice"],
    ...["0", "1", "2", "4294967295", "4294967296", "-3", "3.0", "x", "", "0x3", "１"].map(
      (cid): [string, string] => [
        `${GOOD},guest-cid=${cid}`,
        `invalid value "${cid}" for guest-cid: expected`,
      ],
    ),
    ...["4294967295", "-1", "x", ""].map((cid): [string, string] => [
      `socket=/s,forward-cid=${cid}`,
      "forward-cid: ",
    ]),
    ...["", "1+", "+1", "1++2", "x", "4294967295", "9001,9002", "9001 9002"].map(
      (ports): [string, string] => [
        `socket=/s,forward-cid=1,forward-listen=${ports}`,
        ports.includes(",") ? '"9002" is not key=value' : "forward-listen: ",
      ],
    ),
    ["socket=/s,uds-path=/s.ctl", "uds-path: /s.ctl is used twice"],
    [`${GOOD},capture=/s`, "capture: /s is used twice"],
    [`${GOOD},capture=`, "capture: the path is empty"],
    [`${GOOD},capture-bytes=1`, "capture-bytes: it requires capture"],
    ...["-1", "262069", "x", ""].map((bytes): [string, string] => [
      `${GOOD},capture=/c,capture-bytes=${bytes}`,
      "capture-bytes: ",
    ]),
    ["socket=/s,forward-cid=1,line-timeout=1", "line-timeout: it requires uds-path"],
    ...["connect-timeout", "line-timeout"].flatMap((key) =>
      ["0", "0s", "-1", "x", "", "1d", "1e3", "25000000"].map((time): [string, string] => [
        `${GOOD},${key}=${time}`,
        `invalid value ${JSON.stringify(time)} for ${key}: expected a duration above 0`,
      ]),
    ),
    ["socket=/s,forward-cid=1,forward-listen=7+7", "forward-listen: 7 is used twice"],
    ...["0", "1", "3", "1000", "65536", "x", ""].map((size): [string, string] => [
      `${GOOD},queue-size=${size}`,
      "queue-size: ",
    ]),
    ...["0", "4294967296", "64k", ""].map((size): [string, string] => [
      `${GOOD},tx-buffer-size=${size}`,
      "tx-buffer-size: ",
    ]),
    ...["", "66", "0888", "1777", "00660", "0o660", "rw", "-660"].map((mode): [string, string] => [
      `${GOOD},socket-mode=${mode}`,
      "socket-mode: ",
    ]),
    ...["", ":", "a:", "a:b:c", "a b", "a\0"].map((owner): [string, string] => [
      `${GOOD},uds-owner=${owner}`,
      "uds-owner: ",
    ]),
    ...["", "0", "0K", "4095", "-1", "1.5M", "1T", "1KB", "K", "9007199254740993", "99999999G"].map(
      (rate): [string, string] => [`${GOOD},rate-to-guest=${rate}`, "rate-to-guest: "],
    ),
    [`${GOOD},burst=1M`, "burst: it requires rate-to-guest or rate-from-guest"],
    [`${GOOD},max-connections=0`, "max-connections: "],
    ["socket=/s,forward-cid=1,uds-mode=0660", "uds-mode: it requires uds-path"],
    ["socket=/s,forward-cid=1,uds-owner=root", "uds-owner: it requires uds-path"],
    [`${GOOD},groups=`, "groups: the list is empty"],
    [`${GOOD},groups=a++b`, 'groups: "a++b" has an empty part'],
  ])("is refused as --vm %j", (word, message) => {
    const error = failure(() => vmsFromWords([word]));
    expect([error.code, error.message]).toEqual(["USAGE", expect.stringContaining(message)]);
    expect(error.message).toContain(JSON.stringify(word));
  });

  test.each<[Partial<Record<VmKey, string>>, string]>([
    [{}, "--socket is missing"],
    [{ socket: "/s" }, "--uds-path or --forward-cid is required"],
    [
      { socket: "/s", "uds-path": "/u", "guest-cid": "2" },
      'invalid value "2" for --guest-cid: expected a whole number',
    ],
    [{ socket: "/s", "uds-path": "/s" }, "--uds-path: /s is used twice"],
    [{ socket: "/s", "uds-path": "/u", groups: "" }, "--groups: the list is empty"],
  ])("is refused as options %j", (options, message) => {
    const error = failure(() => vmFromOptions(options));
    expect([error.code, error.message]).toEqual(["USAGE", expect.stringContaining(message)]);
  });

  const VM = "vms:\n  - socket: /s\n    uds_path: /u\n";
  test.each([
    ["", "the document is not a map"],
    ["- 1", "the document is not a map"],
    ["vms: {", "vms.yaml, line 1: it is not YAML"],
    ["vms: 3", "vms is not a list"],
    ["{}", "vms is not a list"],
    ["vms: []", "vms is empty"],
    ["vms: [3]", "vms[0] in line 1: the VM is not a map"],
    [`${VM}more: 1\n`, 'vms.yaml, line 4: unknown key "more"'],
    [
      `${VM}    qeue_size: 2\n`,
      'vms[0] in line 4: unknown key "qeue_size"; did you mean queue-size?',
    ],
    [`${VM}    queue_size: 3\n`, "vms[0] in line 4: queue-size: 3 is not a power of two"],
    [`${VM}    queue_size: 2\n    queue-size: 2\n`, "vms[0] in line 5: queue-size is given twice"],
    [`${VM}    queue_size: 2\n    queue_size: 2\n`, "vms[0] in line 5: queue-size is given twice"],
    [`${VM}    guest_cid: true\n`, "vms[0] in line 4: invalid value true for guest-cid"],
    [`${VM}    guest_cid: 1.5\n`, 'vms[0] in line 4: invalid value "1.5" for guest-cid: expected'],
    [`${VM}    guest_cid: -4\n`, 'invalid value "-4" for guest-cid: expected'],
    [`${VM}    guest_cid:\n`, "invalid value null for guest-cid"],
    [
      `${VM}    socket_mode: 0888\n`,
      'vms[0] in line 4: invalid value "0888" for socket-mode: expected a mode',
    ],
    [
      `${VM}    uds-mode: 0x1b0\n`,
      'vms[0] in line 4: invalid value "0x1b0" for uds-mode: expected a mode',
    ],
    [
      `${VM}    uds-mode: 6.6\n`,
      'vms[0] in line 4: invalid value "6.6" for uds-mode: expected a mode',
    ],
    [`${VM}    uds-mode: [0660]\n`, "vms[0] in line 4: invalid value a list for uds-mode"],
    [`${VM}vms: []\n`, "vms.yaml, line 4: vms is given twice"],
    [`${VM}    groups: [[a]]\n`, "vms[0] in line 4: invalid value a list for groups"],
    ["vms: [{socket: /s, qeue_size: 2}]", 'vms[0] in line 1: unknown key "qeue_size"'],
    [`${VM}    groups: []\n`, "groups: the list is empty"],
    [`${VM}    groups: [a, {}]\n`, "invalid value a map for groups"],
    ["vms:\n  - socket: 3\n", "vms[0] in line 2: invalid value 3 for socket"],
    [
      `# a\n${VM}\n\n  # b\n  - socket: /t\n    uds_path: /v\n`,
      "vms[1] in line 8: guest-cid: 3 is used",
    ],
    [`${VM}  - socket: /s\n    uds_path: /v\n    guest_cid: 4\n`, "socket: /s is used twice"],
    [`${VM}  - socket: /t\n    uds_path: /u\n    guest_cid: 4\n`, "uds-path: /u is used twice"],
  ])("is refused as YAML %j", (text, message) => {
    const error = failure(() => yaml(text));
    expect([error.code, error.message]).toEqual(["CONFIG", expect.stringContaining(message)]);
    expect(error.message).toContain("vms.yaml");
  });

  test("shares nothing with another one", () => {
    const first = "socket=/s,forward-cid=1,forward-listen=7";
    expect(() =>
      vmsFromWords([first, "guest-cid=4,socket=/t,forward-cid=1,forward-listen=8+7"]),
    ).toThrow("forward-listen: 7 is used twice");
    expect(() => vmsFromWords([first, "socket=/t,forward-cid=1"])).toThrow("3 is used twice");
    expect(vmsFromWords([first, "guest-cid=4,socket=/t,forward-cid=1"])).toHaveLength(2);
  });

  test("comes out of --vm and of YAML as it went in", () => {
    fc.assert(
      fc.property(vmList, (vms) => {
        const words = configDocument(vms).vms.map((vm) =>
          Object.entries(vm)
            .map((pair) => pair.join("="))
            .join(","),
        );
        fc.pre(words.every((_, index) => !/[,]/.test(JSON.stringify(vms[index]?.socket))));
        fc.pre(
          !vms.some(({ backend }) => backend.kind === "unix" && backend.udsPath.includes(",")),
        );
        fc.pre(!vms.some(({ groups }) => groups.some((group) => group.includes(","))));
        expect(vmsFromWords(words)).toEqual(vms);
      }),
    );
  });

  test("is refused with an error of ours, whatever the text", () => {
    const part = fc.tuple(
      fc.oneof(fc.constantFrom(...VM_KEYS), fc.string()),
      fc.oneof(fc.string(), fc.integer().map(String), fc.constantFrom("/a", "/b", "a+b")),
    );
    const word = fc
      .array(part, { maxLength: 9 })
      .map((parts) => parts.map((p) => p.join("=")).join(","));
    const attempt = (body: () => unknown) => {
      try {
        body();
      } catch (thrown) {
        expect(thrown).toBeInstanceOf(VsockboxError);
      }
    };
    fc.assert(fc.property(fc.array(word), (words) => attempt(() => vmsFromWords(words))));
    fc.assert(fc.property(fc.string(), (text) => attempt(() => yaml(text))));
    fc.assert(
      fc.property(fc.array(part), (parts) =>
        attempt(() =>
          yaml(
            `vms:\n${parts.map(([key, value], index) => `${index % 3 === 0 ? "  - " : "    "}${key}: ${value}`).join("\n")}`,
          ),
        ),
      ),
    );
    fc.assert(
      fc.property(fc.jsonValue(), (vm) => attempt(() => yaml(JSON.stringify({ vms: [vm] })))),
    );
  });
});

describe("a configuration file", () => {
  test("is read", () => {
    using scratch = new ScratchDirectory();
    const path = scratch.file("vms.yaml");
    writeFileSync(path, "vms:\n  - socket: /s\n    uds_path: /u\n");
    expect(readVmsFile(path)).toEqual([MINIMAL]);
  });

  test("is refused if it is missing, not a file or not UTF-8", () => {
    using scratch = new ScratchDirectory();
    const path = scratch.file("vms.yaml");
    expect(failure(() => readVmsFile(path))).toMatchObject({ code: "CONFIG", errno: "ENOENT" });
    expect(failure(() => readVmsFile(scratch.path))).toMatchObject({
      code: "CONFIG",
      errno: "EISDIR",
    });
    writeFileSync(path, new Uint8Array([0x76, 0xff]));
    expect(failure(() => readVmsFile(path)).message).toContain("not UTF-8");
  });
});

test("a list of ports has each once", () => {
  expect(parsePorts("1+2", "x")).toEqual([1, 2]);
  for (const text of ["", "1+", "1+1", "4294967295"]) {
    expect(() => parsePorts(text, "x")).toThrow("--x");
  }
});
