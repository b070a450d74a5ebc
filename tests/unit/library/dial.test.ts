import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { Addr } from "../../../src/library/addr.ts";
import { dialConn, listenCid, listenConn } from "../../../src/library/dial.ts";
import { ScratchDirectory } from "../../support/scratch-directory.ts";

const ANY = 0xffff_ffff;

const failureOf = async (action: () => unknown): Promise<unknown> => {
  try {
    await action();
  } catch (thrown) {
    return thrown;
  }
  throw new Error("it did not fail");
};

describe("an address of AF_VSOCK, which tests on this host may not open,", () => {
  test.each([
    ["vsock:3:5000", () => dialConn(3, 5000)],
    ["vsock:3:5000", () => dialConn(3, 5000, { seqpacket: true })],
    ["vsock:0:0", () => dialConn(0, 0)],
    ["vsock:3:5000", () => dialConn("3:5000")],
    ["vsock:3:5000", () => dialConn({ kind: "vsock", cid: 3, port: 5000 })],
    ["vsock:3:5000", () => dialConn(Addr.parse("3", 5000))],
    ["vsock:any:5000", () => listenConn(5000)],
    ["vsock:any:4294967295", () => listenConn(ANY)],
    ["vsock:1:5000", () => listenConn("local:5000")],
    ["vsock:1:5000", () => listenCid(1, 5000)],
    ["vsock:any:0", () => listenCid(ANY, 0)],
  ])("is %s", async (address, use) => {
    expect(await failureOf(use)).toMatchObject({ code: "REFUSED", step: "create_socket", address });
  });

  test.each([
    ["a CID", () => dialConn(-1, 5)],
    ["a CID", () => dialConn(ANY + 1, 5)],
    ["a port", () => dialConn(3, 1.5)],
    ["a port", () => listenConn(Number.NaN)],
    ["a CID", () => listenCid(1e10, 1)],
  ])("needs a u32: not %s", async (what, use) => {
    const error = await failureOf(use);
    expect(error).toBeInstanceOf(RangeError);
    expect(String(error)).toContain(`is not ${what}: 0 to 4294967295`);
  });

  test("needs a port to be dialled", async () => {
    expect(await failureOf(() => dialConn("3"))).toMatchObject({ code: "USAGE", step: "connect" });
  });
});

describe("a profile", () => {
  let scratch: ScratchDirectory;
  const before = process.env["XDG_CONFIG_HOME"];
  beforeAll(() => {
    scratch = new ScratchDirectory();
    mkdirSync(scratch.file("vsockbox"));
    writeFileSync(
      scratch.file("vsockbox/config.yaml"),
      `vms:
  odd: {address: "unix:${scratch.file("odd.sock")}", socket_owner: "no-such-user!"}
`,
    );
    process.env["XDG_CONFIG_HOME"] = scratch.path;
  });
  afterAll(() => {
    if (before === undefined) delete process.env["XDG_CONFIG_HOME"];
    else process.env["XDG_CONFIG_HOME"] = before;
    scratch[Symbol.dispose]();
  });

  test("names the users who may listen on its socket, unless the caller does", async () => {
    const address = `unix:${scratch.file("odd.sock")}`;
    await using listener = listenConn(address);
    expect(await failureOf(() => dialConn("odd"))).toMatchObject({ code: "CONFIG" });
    for (const dialled of [dialConn("odd", { socketOwners: [] }), dialConn(address)]) {
      const [near, far] = await Promise.all([dialled, listener.accept()]);
      expect([near.localAddress, near.remoteAddress].map(String)).toEqual(["unix", address]);
      await Promise.all([near.close(), far.close()]);
    }
  });
});
