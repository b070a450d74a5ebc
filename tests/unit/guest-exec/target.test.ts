import { expect, test } from "bun:test";
import { parseTarget } from "../../../src/guest-exec/target.ts";
import { formatAddress } from "../../../src/net/address.ts";

const CID_2 = "the CID is empty: using 2";
const PORT_1024 = "the port is empty: using 1024";

/** The rows of the protocol's page, and the lines of the README of vsock_guest_exec. */
test.each([
  ["1:2049", "vsock:1:2049", []],
  ["-1:", "vsock:any:1024", [PORT_1024]],
  ["-1:1025", "vsock:any:1025", []],
  ["0:1024", "vsock:0:1024", []],
  ["2:0", "vsock:2:0", []],
  ["2:65535", "vsock:2:65535", []],
  [":1025", "vsock:2:1025", [CID_2]],
  [":", "vsock:2:1024", [CID_2, PORT_1024]],
  ["", "vsock:2:1024", [CID_2]],
  [
    "foo:bar",
    "vsock:2:1024",
    ['"foo" is not a valid CID: using 2', '"bar" is not a valid port: using 1024'],
  ],
  ["foo", "vsock:2:1024", ['"foo" is not a valid CID: using 2']],
  ["1", "vsock:1:1024", []],
  ["-1", "vsock:any:1024", []],
  ["-2:5", "vsock:2:5", ['"-2" is not a valid CID: using 2']],
  ["1x:5", "vsock:2:5", ['"1x" is not a valid CID: using 2']],
  ["2:-1", "vsock:2:1024", ['"-1" is not a valid port: using 1024']],
  ["2:10:3", "vsock:2:1024", ['"10:3" is not a valid port: using 1024']],
  // More than the C program takes.
  ["77:70000", "vsock:77:70000", []],
  ["4294967294:4294967294", "vsock:4294967294:4294967294", []],
  ["4294967296:1", "vsock:2:1", ['"4294967296" is not a valid CID: using 2']],
  ["host:5", "vsock:2:5", []],
  ["vsock:3:5", "vsock:3:5", []],
  ["vsock:3", "vsock:3:1024", []],
  ["vsock/3", "vsock:3:1024", []],
  ["sibling:4", "sibling:4:1024", []],
  ["unix:/run/x", "unix:/run/x", []],
  ["unix/run/x", "unix:/run/x", []],
  ["hybrid:/run/x", "hybrid:/run/x:1024", []],
])("%j is %s", (word, address, warnings) => {
  const target = parseTarget(word);
  expect([formatAddress(target.address), target.warnings]).toEqual([address, warnings]);
});

test("no word at all is 2:1024, and nothing to warn of", () => {
  const { address, warnings } = parseTarget(undefined);
  expect([formatAddress(address), warnings]).toEqual(["vsock:2:1024", []]);
});

test.each(["vsock:", "vsock:x:1", "unix:", "vsock:1:2:3"])(
  "%j is a broken address of ours",
  (word) => {
    expect(() => parseTarget(word)).toThrow("parse address");
  },
);
