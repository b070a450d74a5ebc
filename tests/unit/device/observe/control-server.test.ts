/** The control socket of a VM, over real connections to it. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { existsSync, readFileSync, statSync } from "node:fs";
import { serveControl } from "../../../../src/device/observe/control-server.ts";
import { readStatus } from "../../../../src/device/observe/status-reader.ts";
import type { HttpServer } from "../../../../src/net/http.ts";
import { eventually } from "../../../support/eventually.ts";
import { ObservedDevice } from "../../../support/observed-device.ts";
import { readPcap } from "../../../support/pcap.ts";

let observed: ObservedDevice;
let server: HttpServer | undefined;
beforeEach(() => {
  observed = new ObservedDevice();
  server = serveControl(observed.vm);
});
afterEach(() => {
  server?.close();
  observed[Symbol.dispose]();
});

function ask(path: string, method = "GET", body?: string): Promise<Response> {
  const init = { method, unix: observed.control, ...(body === undefined ? {} : { body }) };
  return fetch(`http://localhost${path}`, init);
}

async function jsonOf(asked: Promise<Response>): Promise<unknown[]> {
  const response = await asked;
  return [response.status, await response.json()];
}

const failure = (code: string, message: string) => [
  400,
  expect.objectContaining({ code, message: expect.stringContaining(message) as string }),
];

test("the socket is beside the VMM's, of its user alone, and removed when it is closed", () => {
  expect(server?.endpoint).toEqual({ kind: "unix", path: observed.control });
  expect(statSync(observed.control).mode & 0o777).toBe(0o600);
  server?.close();
  expect(existsSync(observed.control)).toBe(false);
});

test("a path that the kernel does not allow has no control socket, and the log names the reason", () => {
  using long = new ObservedDevice({ socket: `/${"x".repeat(104)}` });
  expect(serveControl(long.vm)).toBeUndefined();
  expect(long.log).toEqual(["cannot create the control socket: the path would be too long"]);
});

test("the longest path that the kernel allows has a control socket", () => {
  const directory = `${observed.local.scratch.path}/`;
  // 107 bytes and a NUL are in sun_path.
  const socket = directory + "x".repeat(107 - ".ctl".length - directory.length);
  using long = new ObservedDevice({ socket });
  const longest = serveControl(long.vm);
  expect(existsSync(`${socket}.ctl`)).toBe(true);
  longest?.close();
});

test("the state is the VM's", async () => {
  const [status, body] = await jsonOf(ask("/status"));
  expect(status).toBe(200);
  expect(readStatus(body)).toMatchObject({
    ...{ guest_cid: 3, socket: observed.local.socket, uds_path: observed.local.udsPath },
    ...{ vmm_connected: false, driver_ready: false, capture: null, connections: [] },
  });
});

test.each([
  ["GET", "/"],
  ["GET", "/packets/"],
  ["PUT", "/status"],
  ["POST", "/capture"],
  ["PUT", "/packets?payload_bytes=1"],
  ["DELETE", "/packets?payload_bytes=1"],
])("%s %s is an unknown request", async (method, path) => {
  expect(await jsonOf(ask(path, method))).toEqual(failure("BAD_DATA", "unknown request"));
  expect(observed.vm.packetsLost).toBe(0);
});

test("a capture starts, is refused while another one runs, and ends with its state", async () => {
  const file = observed.file("x.pcap");
  const begin = JSON.stringify({ file, payload_bytes: 7 });
  const state = { file, payload_bytes: 7, packets: 0, packets_lost: 0 };
  expect(await jsonOf(ask("/capture", "PUT", begin))).toEqual([
    200,
    expect.objectContaining(state),
  ]);
  expect(await jsonOf(ask("/capture", "PUT", begin))).toEqual(failure("REFUSED", "is running"));
  expect(await jsonOf(ask("/capture", "DELETE"))).toEqual([200, expect.objectContaining(state)]);
  expect(await jsonOf(ask("/capture", "DELETE"))).toEqual([200, null]);
  expect(readPcap(readFileSync(file)).packets).toEqual([]);
  expect(await jsonOf(ask("/capture", "PUT", begin))).toEqual(
    failure("CANNOT_CREATE", "file exists"),
  );
});

test.each(["", "{", "[]", '{"file":"relative"}', '{"file":"/x","payload_bytes":-1}'])(
  "a capture's request may not be %j",
  async (body) => {
    const [status, answer] = await jsonOf(ask("/capture", "PUT", body));
    expect([status, answer]).toEqual([400, expect.objectContaining({ code: expect.anything() })]);
    expect(observed.vm.capture).toBeUndefined();
  },
);

test("a defect of the device is a failure of the server, with its code", async () => {
  Object.defineProperty(observed.vm, "capture", {
    get: () => {
      throw new TypeError("a defect");
    },
  });
  expect(await jsonOf(ask("/status"))).toEqual([
    500,
    expect.objectContaining({ code: "SOFTWARE" }),
  ]);
});

test("packets are sent as a pcap file, until the reader closes", async () => {
  const stop = new AbortController();
  const response = await fetch("http://localhost/packets?payload_bytes=10&stream=ab", {
    ...{ unix: observed.control, signal: stop.signal },
  });
  expect([response.status, response.headers.get("Content-Type")]).toEqual([
    200,
    "application/vnd.tcpdump.pcap",
  ]);
  const reader = response.body?.getReader();
  const first = await reader?.read();
  expect(readPcap(first?.value ?? new Uint8Array(0))).toMatchObject({
    snapBytes: 32 + 44 + 10,
    packets: [],
  });
  expect(await jsonOf(ask("/packets/lost?stream=ab"))).toEqual([200, { packets_lost: 0 }]);
  stop.abort();
  await eventually("the stream's end", () => observed.vm.lostByStream("ab") === undefined);
});

test.each(["/packets", "/packets?payload_bytes=-1", "/packets?payload_bytes=1&stream=XY"])(
  "GET %s is refused, as a value is missing or wrong",
  async (path) => {
    expect(await jsonOf(ask(path))).toEqual(failure("BAD_DATA", "is not a"));
  },
);

test.each([
  ["/packets/lost", "no stream of packets has this name"],
  ["/packets/lost?stream=ab", "no stream of packets has this name"],
  ["/packets/lost?stream=nothex", "is not a name"],
])("GET %s names no stream", async (path, message) => {
  expect(await jsonOf(ask(path))).toEqual(failure("BAD_DATA", message));
});
