import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { NetlinkProtocol, NetlinkSocket } from "../../../src/ffi/netlink.ts";
import { netlinkRequest } from "../../../src/net/netlink-request.ts";
import { decodeAttributes, textAttribute } from "../../../src/protocols/netlink/attributes.ts";
import { encodeNetlinkMessage, NetlinkFlag } from "../../../src/protocols/netlink/message.ts";
import { describeUnshared } from "../../support/namespaces.ts";

/** RTM_NEWLINK, RTM_GETLINK, IFLA_IFNAME and sizeof(struct ifinfomsg) of linux/rtnetlink.h. */
const [NEW_LINK, GET_LINK, LINK_NAME, LINK_BYTES] = [16, 18, 3, 16];
const FIXTURE = join(import.meta.dir, "../../fixtures/netlink-link.ts");

describe("a netlink socket", () => {
  test("carries a dump of the kernel's links", () => {
    using socket = new NetlinkSocket(NetlinkProtocol.Route, "netlink route");
    const links = netlinkRequest(socket, {
      type: GET_LINK,
      flags: NetlinkFlag.Dump,
      payload: new Uint8Array(LINK_BYTES),
      operation: "list links",
    });
    expect(new Set(links.map(({ type }) => type))).toEqual(new Set([NEW_LINK]));
    const names = links.map(({ payload }) =>
      textAttribute(decodeAttributes(payload.subarray(LINK_BYTES)), LINK_NAME),
    );
    expect(names).toContain("lo");
  });

  test("reports the kernel's errno with the operation and the object", () => {
    using socket = new NetlinkSocket(NetlinkProtocol.Route, "netlink route");
    const payload = new Uint8Array(LINK_BYTES);
    new DataView(payload.buffer).setInt32(4, 0x7fff_ffff, true);
    const request = { type: GET_LINK, payload, operation: "read link", address: "none" } as const;
    expect(() => netlinkRequest(socket, request)).toThrow(
      "cannot read link none: no such device (ENODEV)",
    );
  });

  test("has nothing without a request, and no protocol that the kernel lacks", () => {
    using socket = new NetlinkSocket(NetlinkProtocol.Route, "netlink route");
    expect(() => socket.receive(1)).toThrow("cannot receive from netlink route: no answer in 1 ms");
    expect(() => new NetlinkSocket(31, "netlink 31")).toThrow("EPROTONOSUPPORT");
  });

  test("is closed at its end", () => {
    const socket = new NetlinkSocket(NetlinkProtocol.Route, "netlink route");
    socket.close();
    const message = { type: GET_LINK, flags: 1, sequence: 1, port: 0, payload: new Uint8Array(16) };
    expect(() => socket.send(encodeNetlinkMessage(message))).toThrow("EBADF");
  });
});

describeUnshared(["-n"], "a netlink socket in a new network namespace", (unshare) => {
  test("changes a link, and reports the kernel's errno and its own reason", () => {
    const { stdout, stderr } = Bun.spawnSync([...unshare, process.execPath, FIXTURE]);
    expect(stderr.toString()).toBe("");
    expect(stdout.toString().split("\n")).toEqual([
      "rename link: done",
      "cannot make link x7: file exists (EEXIST)",
      "cannot make link x7: Unknown device type (EOPNOTSUPP)",
      "",
    ]);
  });
});
