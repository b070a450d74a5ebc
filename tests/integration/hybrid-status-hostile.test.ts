/** What answers on the path of a control socket may be any program. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { chownSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { Running, ScratchDirectory, vsockbox } from "../support/binary.ts";

/** A user without an entry in /etc/passwd. */
const OTHER = 12_345;

const isRoot = process.getuid?.() === 0;

let scratch: ScratchDirectory;
let control: string;
let server: Server | undefined;
beforeEach(() => {
  scratch = new ScratchDirectory();
  control = scratch.file("v.socket.ctl");
});
afterEach(() => {
  server?.close();
  scratch[Symbol.dispose]();
});

async function serve(onClient: (socket: Socket) => void): Promise<void> {
  server = createServer((socket) => {
    socket.on("error", () => undefined);
    socket.once("data", () => onClient(socket));
  });
  await new Promise<void>((resolve) => server?.listen(control, resolve));
}

const answer = (body: string) => (socket: Socket) =>
  void socket.end(`HTTP/1.1 200 OK\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);

const status = async (...words: string[]) => await vsockbox(["hybrid-proxy", "status", ...words]);

/** As much of a state as there is, with these fields. */
const state = (fields: object) =>
  JSON.stringify({
    ...{ guest_cid: 3, socket: "/s", vmm_connected: true, driver_ready: true, features: [] },
    ...{ uptime_seconds: 1, limits: { connections: 1, tx_buffer_bytes: 1, queue_entries: 1 } },
    ...{ connections_open: 0, sibling_connections: 0, pending_clients: 0, counters: {} },
    ...{ capture: null, connections: [] },
    ...fields,
  });

test.each<[string, (socket: Socket) => void]>([
  ["is not HTTP", (socket) => socket.end("SSH-2.0-OpenSSH_9.2\r\n")],
  ["ends at once", (socket) => socket.end()],
  ["is not JSON", answer("hello")],
  ["is JSON of another shape", answer('{"guest_cid":3}')],
  ["has a wrong type in it", answer(state({ connections: "\u001B[2J" }))],
  ["is nested deeply", answer("[".repeat(1_000_000))],
  [
    "announces more than is read",
    (socket) => socket.write("HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n"),
  ],
  [
    "never ends",
    (socket) => {
      socket.write("HTTP/1.1 200 OK\r\n\r\n");
      const more = () => {
        while (!socket.destroyed && socket.write("x".repeat(65_536)));
      };
      socket.on("drain", more);
      more();
    },
  ],
])("an answer that %s is an error in one line", async (_, onClient) => {
  await serve(onClient);
  const { status: code, stdout, stderr } = await status(control);
  expect([code, stdout]).toEqual([65, ""]);
  expect(stderr.trimEnd().split("\n")).toEqual([
    expect.stringContaining("it is not a control socket of vsockbox"),
  ]);
});

test("a program that accepts and never answers is a timeout", async () => {
  await serve(() => undefined);
  const { status: code, stderr } = await status(control);
  expect([code, stderr]).toEqual([75, expect.stringContaining("no response")]);
});

test("texts of an answer cannot forge lines or reach the terminal", async () => {
  const socket = "/s\u001B[2J\nvsockbox: all is well\u202E";
  await serve(answer(state({ socket })));
  const { status: code, stdout, stderr } = await status(control);
  expect([code, stderr]).toEqual([0, ""]);
  // oxlint-disable-next-line no-control-regex
  expect(stdout).not.toMatch(/\u001B|\u202E|^vsockbox/m);
  const json = await status(control, "--json");
  expect(json.stdout.trimEnd().split("\n")).toHaveLength(1);
  expect(JSON.parse(json.stdout)).toMatchObject({ socket });
});

describe.if(isRoot)("another user who listens there", () => {
  test("is refused and not asked, also in a directory of its own", async () => {
    chownSync(scratch.path, OTHER, OTHER);
    const through = ["setpriv", `--reuid=${OTHER}`, `--regid=${OTHER}`, "--clear-groups", "socat"];
    await using squatter = new Running(
      ["-d", "-d", `UNIX-LISTEN:${control},fork`, "OPEN:/dev/null"],
      {
        through: through.slice(0, -1),
        binary: "socat",
      },
    );
    await squatter.says("listening on");
    chownSync(control, 0, 0);
    const { status: code, stderr } = await status(control);
    expect([code, stderr]).toEqual([77, expect.stringContaining(`user ${OTHER} listens there`)]);
    for (const words of [
      ["capture", control, "--off"],
      ["capture", control, scratch.file("x")],
    ]) {
      expect((await vsockbox(["hybrid-proxy", ...words])).status).toBe(77);
    }
    // Among all those that are found it is left out.
    expect((await status()).stdout).not.toContain(scratch.path);
  });
});
