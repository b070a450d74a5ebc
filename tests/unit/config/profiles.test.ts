import { describe, expect, test } from "bun:test";
import { formatAddress } from "../../../src/net/address.ts";
import { parseProfiles } from "../../../src/config/profiles.ts";

const read = (text: string) =>
  Object.fromEntries(
    [...parseProfiles(text, "config.yaml")].map(([name, { address }]) => [
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
    expect([read(""), read("vms:\n"), read("other: 1\n")]).toEqual([{}, {}, {}]);
  });

  test.each([
    ["vms: [1]", "vms is no map"],
    ["- x", "no map"],
    ["vms:\n  web: 3", "vms.web has no address"],
    ["vms:\n  web:\n    address: db", "names another profile"],
    ["vms:\n  '3':\n    address: 3", "cannot be a profile's name"],
    ["vms:\n  web:\n    address: 'vsock:x'", "no CID"],
    ["vms: {", "no YAML"],
  ])("refuses %j", (text, message) => {
    expect(() => read(text)).toThrow(message);
  });
});
