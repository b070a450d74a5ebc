/**
 * The HTTP sockets of a live device, control and metrics, against requests that keep to no rule.
 * VSOCKBOX_FUZZ_CONNECTIONS=1000000 makes a long run of it.
 */
import { expect, test } from "bun:test";
import { connect } from "node:net";
import { readdirSync, readFileSync } from "node:fs";
import { eventually, Running, ScratchDirectory, vsockbox } from "../support/binary.ts";
import { Mutator, seedOf } from "./mutate.ts";
import { Random } from "./random.ts";

const CONNECTIONS = Number(process.env["VSOCKBOX_FUZZ_CONNECTIONS"] ?? 3000);
const SIDE_BY_SIDE = 32;
const SEED = 5;

/** What the device may hold after all of them beyond what it held before, in bytes. */
const GROWTH_MAX_BYTES = 64 * 1024 * 1024;

const CAPTURE = '{"file": "relative.pcap", "payload_bytes": 1000000, "force": false}';

const REQUESTS = [
  "GET /status HTTP/1.1\r\nHost: x\r\n\r\n",
  "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
  `PUT /capture HTTP/1.1\r\nHost: x\r\nContent-Length: ${CAPTURE.length}\r\n\r\n${CAPTURE}`,
  "DELETE /capture HTTP/1.1\r\nHost: x\r\n\r\n",
  'PUT /capture HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n{"a"\r\n0\r\n\r\n',
  "PUT /capture HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n{",
  "GET /status HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
].map((request) => new TextEncoder().encode(request));

/** Sends bytes and half-closes; resolves when the server has closed or has answered. */
function send(path: string, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect(path);
    const end = () => {
      socket.destroy();
      resolve();
    };
    socket.on("error", end);
    socket.on("close", end);
    socket.on("data", end);
    socket.end(bytes);
  });
}

test(
  "control and metrics sockets outlive every request, and keep nothing of them",
  async () => {
    using scratch = new ScratchDirectory();
    const [socket, metrics] = [scratch.file("v.sock"), scratch.file("m.sock")];
    await using device = new Running(
      [
        ...["hybrid-proxy", "--guest-cid", "3", "--socket", socket],
        ...["--uds-path", scratch.file("u.sock"), "--metrics", `unix:${metrics}`],
      ],
      { cwd: scratch.path },
    );
    await device.says("waiting for its VMM");
    const descriptors = () => readdirSync(`/proc/${device.pid}/fd`).length;
    const residentBytes = () =>
      1024 *
      Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${device.pid}/status`, "utf8"))?.[1]);
    for (const request of REQUESTS.slice(0, 2)) await send(`${socket}.ctl`, request);
    const before = { descriptors: descriptors(), residentBytes: residentBytes() };

    const random = new Random();
    const mutator = new Mutator(random, REQUESTS.map(seedOf));
    let next = 0;
    const one = async () => {
      while (next < CONNECTIONS) {
        random.begin(SEED, next);
        const path = next++ % 2 === 0 ? `${socket}.ctl` : metrics;
        await send(path, mutator.make().slice());
      }
    };
    await Promise.all(Array.from({ length: SIDE_BY_SIDE }, one));

    expect(device.process.exitCode).toBe(null);
    const { status, stdout } = await vsockbox(["hybrid-proxy", "status", socket, "--json"]);
    expect([status, JSON.parse(stdout)]).toMatchObject([0, { guest_cid: 3 }]);
    // A capture that a request began has its file open, whichever request came last.
    await send(`${socket}.ctl`, Buffer.from("DELETE /capture HTTP/1.1\r\nHost: x\r\n\r\n"));
    await eventually("its descriptors are closed", () => descriptors() <= before.descriptors);
    expect(residentBytes() - before.residentBytes).toBeLessThan(GROWTH_MAX_BYTES);
  },
  CONNECTIONS * 100 + 60_000,
);
