/** Connections and listeners of the library: their conformance suite, and what it does not cover. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import {
  Addr,
  type AddressLike,
  dial,
  listen,
  listenCid,
  type Listener,
  VMADDR_CID_LOCAL,
  VMADDR_PORT_ANY,
} from "vsockbox";
import { Running, ScratchDirectory } from "../support/binary.ts";
import { CONFORMANCE_CASES, type Transport } from "../support/conformance.ts";

let scratch: ScratchDirectory;
let bridge: Running;
let count = 0;
beforeAll(async () => {
  scratch = new ScratchDirectory();
  bridge = new Running([
    "bridge",
    ...["--uds-path", scratch.file("vmm.sock"), "--to", `unix:${scratch.file("guest")}`],
  ]);
  await bridge.says("listening");
});
afterAll(async () => {
  await bridge[Symbol.asyncDispose]();
  scratch[Symbol.dispose]();
});

const closeNothing = () => Promise.resolve();

function overUnix(): Transport {
  const address = `unix:${scratch.file(`${count++}.sock`)}`;
  return {
    listen: () => listen(address),
    dial: (options) => dial(address, options),
    network: { near: "unix", far: "unix" },
    [Symbol.asyncDispose]: closeNothing,
  };
}

/** The names are those of the whole network namespace: none of another run may be among them. */
function overAbstract(): Transport {
  const address = `unix:@vsockbox-test-${process.pid}-${count++}`;
  return {
    listen: () => listen(address),
    dial: (options) => dial(address, options),
    network: { near: "unix", far: "unix" },
    [Symbol.asyncDispose]: closeNothing,
  };
}

/** Through the bridge, which leads to the sockets `guest_PORT`. */
function overHybrid(): Transport {
  const port = 1024 + count++;
  return {
    listen: () => listen(`hybrid:${scratch.file("guest")}:${port}`),
    dial: (options) => dial(`hybrid:${scratch.file("vmm.sock")}:${port}`, options),
    network: { near: "hybrid", far: "hybrid" },
    [Symbol.asyncDispose]: closeNothing,
  };
}

describe.each([
  ["unix:", overUnix],
  ["unix:@", overAbstract],
  ["hybrid:", overHybrid],
] as const)("over %s", (_, make) => {
  for (const { name, run } of CONFORMANCE_CASES) test(name, () => run(make));
});

const text = (bytes: Uint8Array | undefined) => Buffer.from(bytes ?? []).toString();

const failureOf = async (action: () => unknown): Promise<unknown> => {
  try {
    await action();
  } catch (thrown) {
    return thrown;
  }
  throw new Error("it did not fail");
};

describe("an address", () => {
  let path: string;
  let listener: Listener;
  beforeAll(() => {
    path = scratch.file("forms.sock");
    listener = listen({ kind: "unix", path });
  });
  afterAll(() => listener.close());

  async function reaches(address: AddressLike): Promise<void> {
    const [near, far] = await Promise.all([dial(address), listener.accept()]);
    await near.write("x");
    expect(text(await far.read())).toBe("x");
    await Promise.all([near.close(), far.close()]);
  }

  test.each([
    ["unix:PATH", () => `unix:${path}`],
    ["unix/PATH", () => `unix${path}`],
    ["its parts", () => ({ kind: "unix", path }) as const],
    ["an Addr", () => Addr.parse(`unix:${path}`)],
    ["the address of a listener", () => listener.address],
  ])("may be %s", (_, address) => reaches(address()));

  test("may be the name of a profile, with its port", async () => {
    mkdirSync(scratch.file("config/vsockbox"), { recursive: true });
    const profiles = `vms:\n  plain: {address: "unix:${path}"}\n  vm: {address: "hybrid:${path}"}\n`;
    writeFileSync(scratch.file("config/vsockbox/config.yaml"), profiles);
    const before = process.env["XDG_CONFIG_HOME"];
    process.env["XDG_CONFIG_HOME"] = scratch.file("config");
    try {
      await reaches("plain");
      expect(String(Addr.parse("vm:7"))).toBe(`hybrid:${path}:7`);
      expect(await failureOf(() => dial("missing"))).toMatchObject({ code: "CONFIG" });
    } finally {
      if (before === undefined) delete process.env["XDG_CONFIG_HOME"];
      else process.env["XDG_CONFIG_HOME"] = before;
    }
  });

  test.each([
    ["vsock:3:5000", () => dial("vsock:3:5000")],
    ["vsock:3:5000", () => dial(3, 5000)],
    ["vsock:2:1", () => dial("host:1")],
    ["sibling:4:5", () => dial("sibling:4:5")],
    ["vsock:any:5000", () => listen("vsock::5000")],
    ["vsock:any:4294967295", () => listen(VMADDR_PORT_ANY)],
    ["vsock:1:5000", () => listenCid(VMADDR_CID_LOCAL, 5000)],
  ])(
    "of AF_VSOCK is understood, and refused while that is switched off: %s",
    async (address, use) => {
      expect(await failureOf(use)).toMatchObject({
        code: "REFUSED",
        step: "create_socket",
        address,
      });
    },
  );

  test.each([
    ["a CID without a port", () => dial("3"), { code: "USAGE", step: "connect" }],
    ["any CID to dial", () => dial(0xffff_ffff, 5), { code: "USAGE", step: "connect" }],
    ["a malformed text", () => dial("3:x"), { code: "USAGE" }],
    ["a path that is too long", () => dial(`unix:/${"x".repeat(200)}`), { code: "USAGE" }],
    ["a CID that is not a u32", () => dial(-1, 5), { name: "RangeError" }],
    ["a port that is not a u32", () => listen(1.5), { name: "RangeError" }],
  ])("is refused: %s", async (_, use, expected) => {
    expect(await failureOf(use)).toMatchObject(expected);
  });
});

test.each(["unix:", "unix:@"])("seqpacket keeps records apart: %s", async (form) => {
  const name =
    form === "unix:" ? scratch.file("records.sock") : `vsockbox-test-records-${process.pid}`;
  await using listener = listen(`${form}${name}`, { seqpacket: true });
  const [near, far] = await Promise.all([
    dial(listener.address, { seqpacket: true }),
    listener.accept(),
  ]);
  const sizes = [1, 3000, 500, 60_000];
  for (const size of sizes) await near.write(new Uint8Array(size));
  for (const size of sizes) expect((await far.read())?.length).toBe(size);
  await Promise.all([near.close(), far.close()]);
});

test("the file of a Unix socket goes with its listener", async () => {
  const path = scratch.file("file.sock");
  {
    await using _listener = listen(`unix:${path}`);
    expect(existsSync(path)).toBe(true);
  }
  expect(existsSync(path)).toBe(false);
});
