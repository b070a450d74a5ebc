import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { VsockboxError } from "../../../src/errors.ts";
import { formatAddress } from "../../../src/net/address.ts";
import {
  configPath,
  parseConfiguration,
  profileOf,
  resolveAddress,
} from "../../../src/config/profiles.ts";
import { ScratchDirectory } from "../../support/scratch-directory.ts";

const read = (text: string) =>
  Object.fromEntries(
    [...parseConfiguration(text, "config.yaml").profiles].map(([name, { address }]) => [
      name,
      formatAddress(address),
    ]),
  );

describe("profiles", () => {
  test("are names for addresses", () => {
    const text = "vms:\n  web:\n    address: 3\n  vm4:\n    address: hybrid:/run/vm4.vsock\n";
    expect(read(text)).toEqual({ web: "vsock:3", vm4: "hybrid:/run/vm4.vsock" });
  });

  test("there may be none", () => {
    expect([read(""), read("vms:\n"), read("# vms:\n")]).toEqual([{}, {}, {}]);
  });

  test.each([
    ["default: web\nvms:\n  web:\n    address: 3\n", "web"],
    ["default: web:5000\nvms:\n  web:\n    address: 3\n", "web:5000"],
    ["default: 3\n", "3"],
    ["default: hybrid:/run/vm4.vsock\n", "hybrid:/run/vm4.vsock"],
    ["default:\n", undefined],
    ["vms:\n", undefined],
  ])("%j has the default %p", (text, expected) => {
    expect(parseConfiguration(text, "config.yaml").defaultTarget).toBe(expected);
  });

  test.each([
    ["default: [3]\n", "config.yaml, line 1: default is not a string"],
    ["default: true\n", "default is not a string"],
    ["vms:\ndefault: web\n", 'config.yaml, line 2: default: "web" is not one of vms'],
    ["default: 'vsock:x'\n", "config.yaml, line 1: default: "],
    ["default: 3\ndefault: 4\n", "line 2: default appears twice"],
    ["vms: [1]", "config.yaml, line 1: vms is not a map"],
    ["- x", "config.yaml, line 1: the document is not a map"],
    ["vms:\n  web: 3", "config.yaml, line 2: vms.web has no address"],
    ["vms:\n  web:\n    address: db", "names another profile"],
    ["vms:\n  '3':\n    address: 3", "is not a valid profile name"],
    ["vms:\n  web:\n    address: 'vsock:x'", "config.yaml, line 3: vms.web.address: "],
    ["vms: {", "config.yaml, line 1: it is not YAML"],
    ["vms:\n  web:\n    address: 3\n  x: [1\n  db:\n    address: 4\n", "line 5: it is not YAML"],
    ["vms:\n  web:\n\taddress: 3\n", "line 3: it is not YAML"],
    ["# c\nother: 1\n", 'config.yaml, line 2: unknown key "other"'],
    ["vm:\n  web:\n    address: 3\n", 'line 1: unknown key "vm"; did you mean vms?'],
    [
      "vms:\n  web:\n    address: 3\n    token-file: x\n",
      'line 4: unknown key "vms.web.token-file"; did you mean token_file?',
    ],
    ["vms:\n  web:\n    address: 3\n    colour: x\n", 'line 4: unknown key "vms.web.colour"'],
    [
      "vms: { web: { address: 3, colour: x } }",
      'config.yaml, line 1: unknown key "vms.web.colour"',
    ],
    ["vms:\n  web:\n    address: 3\n    address: 4\n", "line 4: vms.web.address appears twice"],
    [
      "vms:\n  web:\n    address: 3\n  db:\n    address: 4\n  web:\n    address: 5\n",
      "line 6: vms.web appears twice",
    ],
    [
      "vms:\n  web:\n    address: 3\n    token_file: 7\n",
      "line 4: vms.web.token_file is not a string",
    ],
    ["vms:\n  web:\n    address: 3\nvms:\n  db:\n    address: 4\n", "line 4: vms appears twice"],
  ])("refuses %j", (text, message) => {
    expect(() => read(text)).toThrow(message);
  });

  test("have users of sockets as names or uids", () => {
    const text =
      "vms:\n  a:\n    address: 3\n    socket_owner: fc\n  b:\n    address: 4\n    socket_owner: 123\n";
    const owners = [...parseConfiguration(text, "").profiles.values()].map(
      ({ socketOwner }) => socketOwner,
    );
    expect(owners).toEqual(["fc", "123"]);
  });

  test("may have any key twice in different VMs, and comments, quotes and blanks around", () => {
    const text =
      "vms:   # all\r\n  'web':\r\n    \"address\" : 3\r\n\r\n  # address: 5\r\n  db:\r\n    address: 4\r\n";
    expect(read(text)).toEqual({ web: "vsock:3", db: "vsock:4" });
  });
});

describe("a user's profiles", () => {
  let scratch: ScratchDirectory;
  const before = { HOME: process.env["HOME"], XDG_CONFIG_HOME: process.env["XDG_CONFIG_HOME"] };
  const set = (name: keyof typeof before, value: string | undefined) => {
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  };
  const write = (text: string) => {
    mkdirSync(scratch.file("vsockbox"), { recursive: true });
    writeFileSync(scratch.file("vsockbox/config.yaml"), text);
  };
  beforeEach(() => {
    scratch = new ScratchDirectory();
    set("XDG_CONFIG_HOME", scratch.path);
  });
  afterEach(() => {
    for (const name of ["HOME", "XDG_CONFIG_HOME"] as const) set(name, before[name]);
    scratch[Symbol.dispose]();
  });

  test("are in XDG_CONFIG_HOME, or else in .config of HOME, or else of the user's home", () => {
    expect(configPath()).toBe(scratch.file("vsockbox/config.yaml"));
    set("XDG_CONFIG_HOME", "");
    set("HOME", "/home/someone");
    expect(configPath()).toBe("/home/someone/.config/vsockbox/config.yaml");
    set("HOME", "");
    expect(configPath()).toBe(`${homedir()}/.config/vsockbox/config.yaml`);
  });

  test("are found by name; a port that is named or the default is filled in", () => {
    write("vms:\n  web:\n    address: 3\n    token_file: ~/x/token\n");
    set("HOME", "/home/someone");
    const resolved = (text: string, port?: number) => formatAddress(resolveAddress(text, port));
    expect([resolved("web"), resolved("web", 22), resolved("web:80", 22)]).toEqual([
      "vsock:3",
      "vsock:3:22",
      "vsock:3:80",
    ]);
    expect([resolved("4:5"), resolved("4", 22)]).toEqual(["vsock:4:5", "vsock:4:22"]);
    expect(profileOf("web")?.tokenFile).toBe("/home/someone/x/token");
    expect(profileOf("4:5")).toBeUndefined();
  });

  test("are listed if one is looked up that is not there", () => {
    const hintOf = () => {
      let hint: string | undefined;
      try {
        resolveAddress("db");
      } catch (thrown) {
        if (thrown instanceof VsockboxError) ({ hint } = thrown);
      }
      return hint;
    };
    expect(hintOf()).toStartWith("write an address instead");
    write("vms:\n  web:\n    address: 3\n");
    expect(hintOf()).toBe("the profiles are web");
  });
});
