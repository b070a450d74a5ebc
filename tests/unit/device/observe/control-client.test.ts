/** Control sockets that are found by a path, and asked over real connections. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { chownSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import {
  controlSockets,
  findControl,
  requestCapture,
  requestCaptureEnd,
  requestStatus,
  requestStatuses,
} from "../../../../src/device/observe/control-client.ts";
import { serveControl } from "../../../../src/device/observe/control-server.ts";
import type { HttpServer } from "../../../../src/net/http.ts";
import { ObservedDevice } from "../../../support/observed-device.ts";
import { readPcap } from "../../../support/pcap.ts";
import { response, serveRaw } from "../../../support/raw-http-service.ts";

const OTHER = 65_534;

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

const errorOf = (asked: Promise<unknown>) => asked.catch((thrown: unknown) => thrown);

test("a device that runs returns its state", async () => {
  expect(await requestStatus(observed.control)).toMatchObject({
    ...{ guest_cid: 3, socket: observed.local.socket, uds_path: observed.local.udsPath },
  });
});

test("a capture is started and ended, and its end without one is null", async () => {
  const { control } = observed;
  const file = observed.file("x.pcap");
  const state = { file, payload_bytes: 9, packets: 0, packets_lost: 0 };
  expect(await requestCapture(control, { file, payload_bytes: 9 })).toMatchObject(state);
  expect(await errorOf(requestCapture(control, { file }))).toMatchObject({
    ...{ code: "REFUSED", operation: "capture through", address: control },
  });
  expect(await requestCaptureEnd(control)).toMatchObject(state);
  expect(readPcap(readFileSync(file)).snapBytes).toBe(32 + 44 + 9);
  expect(await requestCaptureEnd(control)).toBe(null);
});

test("a malformed state or capture is bad data of another program, with the field", async () => {
  const path = observed.file("raw.ctl");
  using _service = serveRaw(path, () => [response(200, "{}")]);
  const other = "it is not a control socket of vsockbox: ";
  for (const [asked, operation] of [
    [requestStatus(path), "read the status from"],
    [requestCapture(path, { file: "/x" }), "capture through"],
    [requestCaptureEnd(path), "end capture through"],
  ] as const) {
    expect(await errorOf(asked)).toMatchObject({
      ...{ code: "BAD_DATA", operation, address: path },
      reason: expect.stringContaining(other) as string,
    });
  }
});

describe("the control socket of a VM is found", () => {
  test("by the VMM's socket", async () => {
    expect(await findControl(observed.local.socket)).toBe(observed.control);
  });

  test("by its own path, also if nothing listens there", async () => {
    expect(await findControl(observed.control)).toBe(observed.control);
    expect(await findControl("/nowhere/x.ctl")).toBe("/nowhere/x.ctl");
  });

  test("by the path of its host clients, among several devices", async () => {
    using second = new ObservedDevice();
    const other = serveControl(second.vm);
    expect(await findControl(observed.local.udsPath)).toBe(observed.control);
    expect(await findControl(second.local.udsPath)).toBe(second.control);
    other?.close();
  });

  test("by a symbolic link to the path of its host clients", async () => {
    const link = observed.file("link");
    symlinkSync(observed.local.udsPath, link);
    expect(await findControl(link)).toBe(observed.control);
  });

  test("by no other path", async () => {
    const error = await errorOf(findControl(observed.file("none")));
    expect(error).toMatchObject({
      ...{ operation: "find the control socket of", address: observed.file("none") },
      // A stopped device of another test on this machine may be the one.
      code: expect.stringMatching(/^(UNAVAILABLE|TIMEOUT)$/) as string,
    });
  });
});

test("a silent device is named as silent, and neither hides those that answer nor one that has ended", async () => {
  const silent = observed.file("silent.ctl");
  writeFileSync(observed.file("silent"), "");
  using vmm = serveRaw(observed.file("quiet"), () => undefined);
  using quiet = serveRaw(observed.file("quiet.ctl"), () => undefined);
  using service = serveRaw(silent, () => undefined);
  const gone = observed.file("gone.ctl");
  const [asked, error] = await Promise.all([
    requestStatuses([silent, gone, observed.control]),
    errorOf(findControl(observed.file("none"))),
  ]);
  expect(asked).toEqual([
    { control: silent, status: undefined, isSilent: true },
    { control: gone, status: undefined, isSilent: false },
    {
      control: observed.control,
      status: expect.objectContaining({ guest_cid: 3 }),
      isSilent: false,
    },
  ]);
  expect(error).toMatchObject({
    ...{ code: "TIMEOUT", operation: "find the control socket of" },
    reason: expect.stringMatching(/^no hybrid-proxy that answers .* does not answer$/) as string,
    hint: expect.stringContaining("vsockbox doctor unix:") as string,
  });
  expect([service.requests.length, vmm.requests.length]).toEqual([1, 0]);
  // Other processes of this machine may ask all devices as well.
  expect(quiet.requests.length).toBeGreaterThan(0);
}, 60_000);

describe("the control sockets of this user's devices", () => {
  /** Those of them that are in the scratch directory. */
  const own = () => controlSockets().filter((path) => path.startsWith(observed.local.scratch.path));

  test("have a VMM's socket beside them, and the suffix", () => {
    using _alone = serveRaw(observed.file("alone.ctl"), () => undefined);
    writeFileSync(observed.file("file"), "");
    using _file = serveRaw(observed.file("file.ctl"), () => undefined);
    using _other = serveRaw(observed.file("other"), () => undefined);
    expect(own()).toEqual([observed.control]);
    using _control = serveRaw(observed.file("other.ctl"), () => undefined);
    expect(own()).toEqual([observed.file("other.ctl"), observed.control].sort());
  });

  test.if(process.geteuid?.() === 0)("are for root those of a VMM's socket of root too", () => {
    chownSync(observed.control, OTHER, OTHER);
    expect(own()).toEqual([observed.control]);
    chownSync(observed.local.socket, OTHER, OTHER);
    expect(own()).toEqual([]);
    chownSync(observed.control, 0, 0);
    expect(own()).toEqual([observed.control]);
  });
});
