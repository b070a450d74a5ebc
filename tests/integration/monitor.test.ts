/** `vsockbox monitor` with captures: what is read, shown, filtered and written. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { chmodSync, existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import type { VmStatus } from "../../src/device/observe/status.ts";
import {
  eventually,
  Running,
  type RunResult,
  ScratchDirectory,
  shell,
  vsockbox,
} from "../support/binary.ts";
import { type CapturedPacket, readPcap } from "../support/pcap.ts";
import { TestVmm } from "../support/vmm.ts";
import { packetBytes, pcapBytes } from "../support/vsock-packets.ts";

/** The runtime closes a connection 10 to 12 s after its last byte unless it is kept open. */
const SILENCE_MS = 13_000;

let scratch: ScratchDirectory;
let file: string;
beforeEach(() => {
  scratch = new ScratchDirectory();
  file = scratch.file("x.pcap");
});
afterEach(() => scratch[Symbol.dispose]());

const monitor = async (...words: string[]): Promise<RunResult> =>
  vsockbox(["monitor", ...words], { env: { TZ: "UTC" } });

/** A connection from 2:1024 to 3:5000, and a packet of CID 4. */
const PACKETS = [
  { bytes: packetBytes({ op: 1, monitorOp: 1 }) },
  { bytes: packetBytes({ payload: "hello" }), fraction: 200_000 },
  { bytes: packetBytes({ op: 4, monitorOp: 2, flags: 3, fwdCnt: 5 }), fraction: 300_000 },
  { bytes: packetBytes({ srcCid: 4n, dstCid: 2n, op: 3, monitorOp: 2 }), seconds: 1_700_000_060 },
];
const LINES = [
  "22:13:20.123456 2:1024 > 3:5000 REQUEST stream len 0 buf_alloc 262144 fwd_cnt 0",
  "22:13:20.200000 2:1024 > 3:5000 RW stream len 5 buf_alloc 262144 fwd_cnt 0",
  "22:13:20.300000 2:1024 > 3:5000 SHUTDOWN stream flags receive,send len 0 buf_alloc 262144 fwd_cnt 5",
  "22:14:20.123456 4:1024 > 2:5000 RST stream len 0 buf_alloc 262144 fwd_cnt 0",
];
const text = (lines: readonly (string | undefined)[]) => lines.map((line) => `${line}\n`).join("");

describe("monitor --read", () => {
  test.each([
    [true, false],
    [false, false],
    [false, true],
  ])(
    "prints a line a packet: little-endian %p, nanoseconds %p",
    async (isLittleEndian, hasNanoseconds) => {
      const packets = PACKETS.map(({ fraction = 123_456, ...packet }) => ({
        ...packet,
        fraction: fraction * (hasNanoseconds ? 1000 : 1),
      }));
      writeFileSync(file, pcapBytes(packets, { isLittleEndian, hasNanoseconds }));
      expect(await monitor("--read", file)).toEqual({
        status: 0,
        stdout: text(LINES),
        stderr: "vsockbox: 4 packets, 4 matched, 0 lost\n",
      });
    },
  );

  test.each([
    [["--cid", "4"], [3]],
    [
      ["--cid", "host", "--op", "rw", "--op", "request"],
      [0, 1],
    ],
    [
      ["--port", "5000", "--count", "2"],
      [0, 1],
    ],
    [["--port", "1", "--port", "2"], []],
    [["--op", "shutdown", "--cid", "3", "--port", "1024"], [2]],
  ])("%j chooses packets", async (words, indices) => {
    writeFileSync(file, pcapBytes(PACKETS));
    const { stdout } = await monitor("--read", file, "--quiet", ...words);
    expect(stdout).toBe(text(indices.map((index) => LINES[index])));
  });

  test("reads standard input, and shows payloads on request", async () => {
    writeFileSync(file, pcapBytes(PACKETS));
    const line = (view: string) =>
      shell(`vsockbox monitor --read - --op rw --quiet --payload ${view} < ${file}`, {
        env: { TZ: "UTC" },
      });
    expect((await line("text")).stdout).toBe(`${LINES[1]} "hello"\n`);
    expect((await line("hex")).stdout).toBe(
      `${LINES[1]}\n  0000  68 65 6c 6c 6f${" ".repeat(33)}  hello\n`,
    );
  });

  test("shows a capture that is cut off up to there, and fails", async () => {
    writeFileSync(file, pcapBytes(PACKETS).subarray(0, -1));
    const { status, stdout, stderr } = await monitor("--read", file);
    expect([status, stdout]).toEqual([65, text(LINES.slice(0, 3))]);
    expect(stderr).toContain("the file ends within the packet at offset");
  });

  test.each([
    ["another program's file", "#!/bin/sh\n", 65, "not a pcap file"],
    ["pcapng", "\n\r\r\n\x1c\0\0\0", 65, "editcap"],
    ["no file", undefined, 74, "ENOENT"],
  ])("refuses %s", async (_, content, expected, message) => {
    if (content !== undefined) writeFileSync(file, content);
    const { status, stdout, stderr } = await monitor("--read", file);
    expect([status, stdout, stderr]).toEqual([expected, "", expect.stringContaining(message)]);
  });

  test("ends when the reader of its lines does", async () => {
    const many = Array.from({ length: 20_000 }, () => PACKETS[0] ?? { bytes: packetBytes() });
    writeFileSync(file, pcapBytes(many));
    const { stdout } = await shell(
      `vsockbox monitor --quiet --read ${file} | head -1; echo "\${PIPESTATUS[0]}"`,
      { env: { TZ: "UTC" } },
    );
    expect(stdout).toBe(`${LINES[0]}\n141\n`);
  });
});

test.each(["-1", "any", "4294967295", "x"])("--cid %s is refused", async (cid) => {
  expect(await monitor("--cid", cid, "--read", file)).toMatchObject({
    status: 64,
    stderr: expect.stringContaining(
      `invalid value "${cid}" for --cid: expected a CID from 0 to 4294967294, or host, local or hypervisor`,
    ),
  });
});

describe("monitor --write", () => {
  test("copies the packets that meet the filter", async () => {
    writeFileSync(file, pcapBytes(PACKETS, { isLittleEndian: false }));
    const copy = scratch.file("copy.pcap");
    expect(await monitor("--read", file, "--cid", "3", "-o", copy)).toEqual({
      status: 0,
      stdout: "",
      stderr: "vsockbox: 4 packets, 3 matched, 0 lost\n",
    });
    expect(new Uint8Array(readFileSync(copy))).toEqual(
      new Uint8Array(pcapBytes(PACKETS.slice(0, 3))),
    );
    expect(statSync(copy).mode & 0o777).toBe(0o600);

    const again = await monitor("--read", file, "--write", copy);
    expect([again.status, again.stderr]).toEqual([73, expect.stringContaining("file exists")]);
    const short = await monitor("--read", file, "--write", copy, "--force", "--capture-bytes", "2");
    expect(short.status).toBe(0);
    expect(readPcap(readFileSync(copy))).toMatchObject({
      snapBytes: 78,
      packets: [{}, { payload: new Uint8Array(Buffer.from("he")), originalBytes: 81 }, {}, {}],
    });
  });

  test("keeps the nanoseconds of a capture", async () => {
    const packets = PACKETS.map(({ fraction = 123_456, ...packet }) => ({
      ...packet,
      fraction: fraction * 1000 + 789,
    }));
    writeFileSync(file, pcapBytes(packets, { isLittleEndian: false, hasNanoseconds: true }));
    const expected = new Uint8Array(pcapBytes(packets, { hasNanoseconds: true }));
    const copy = scratch.file("copy.pcap");
    expect((await monitor("--read", file, "--write", copy)).status).toBe(0);
    expect(new Uint8Array(readFileSync(copy))).toEqual(expected);
    const streamed = scratch.file("streamed.pcap");
    await shell(`vsockbox monitor --quiet --read ${file} --write - > ${streamed}`);
    expect(new Uint8Array(readFileSync(streamed))).toEqual(expected);
  });

  test.each<[string, number, () => string[]]>([
    ["does not exist", 74, () => ["--read", scratch.file("none.pcap")]],
    ["is not a capture", 65, () => ["--read", "/etc/passwd"]],
    ["is the file itself", 73, () => ["--read", scratch.file("kept.pcap")]],
    ["is no VM of hybrid-proxy", 69, () => [`hybrid:${scratch.file("none.vsock")}`]],
  ])("makes and replaces no file if the source %s", async (_what, status, source) => {
    const [kept, fresh] = [scratch.file("kept.pcap"), scratch.file("fresh.pcap")];
    const bytes = pcapBytes(PACKETS);
    writeFileSync(kept, bytes);
    const replacing = await monitor(...source(), "--write", kept, "--force");
    expect(replacing.status).toBe(status);
    expect(new Uint8Array(readFileSync(kept))).toEqual(new Uint8Array(bytes));
    if (status === 73) return;
    expect((await monitor(...source(), "--write", fresh)).status).toBe(status);
    expect(existsSync(fresh)).toBe(false);
  });

  test("leaves a file that it replaces to its user alone", async () => {
    const [from, to] = [scratch.file("from.pcap"), scratch.file("to.pcap")];
    writeFileSync(from, pcapBytes(PACKETS));
    writeFileSync(to, "old");
    chmodSync(to, 0o644);
    expect((await monitor("--read", from, "--write", to, "--force")).status).toBe(0);
    expect(statSync(to).mode & 0o777).toBe(0o600);
  });

  test("writes to standard output", async () => {
    writeFileSync(file, pcapBytes(PACKETS));
    const { stdout } = await shell(
      `vsockbox monitor --read ${file} --write - --quiet | vsockbox monitor --read - --quiet`,
      { env: { TZ: "UTC" } },
    );
    expect(stdout).toBe(text(LINES));
  });
});

describe("monitor of a device", () => {
  const [CID, PORT] = [7, 5000];
  let socket: string;
  let uds: string;
  let device: Running | undefined;
  let vmm: TestVmm | undefined;
  let watching: Running | undefined;
  beforeEach(() => {
    socket = scratch.file("v.socket");
    uds = scratch.file("v.vsock");
  });
  afterEach(async () => {
    await watching?.[Symbol.asyncDispose]();
    vmm?.[Symbol.dispose]();
    await device?.[Symbol.asyncDispose]();
    vmm = device = watching = undefined;
  });

  async function start(...more: string[]): Promise<TestVmm> {
    const words = ["--guest-cid", `${CID}`, "--socket", socket, "--uds-path", uds];
    device = new Running(["hybrid-proxy", ...words, ...more]);
    await device.says("waiting for its VMM");
    vmm = new TestVmm(socket, CID);
    await device.says("the guest's driver is ready");
    return vmm;
  }

  /** Collects standard output; returns what there is so far. */
  function collect(running: Running): () => string {
    let output = "";
    void (async () => {
      for await (const chunk of running.process.stdout) output += Buffer.from(chunk).toString();
    })();
    return () => output;
  }

  /** A connection of the host with bytes to the guest; returns the host's port. */
  async function connect(guest: TestVmm, bytes = "hello guest"): Promise<number> {
    let received = "";
    const stream = await Bun.connect({
      unix: uds,
      socket: { data: (_, chunk) => void (received += chunk.toString()) },
    });
    stream.write(`CONNECT ${PORT}\n`);
    const { srcPort } = await guest.accept(0x1_0000);
    await eventually("OK for the client", () => received === `OK ${srcPort}\n`);
    stream.write(bytes);
    await guest.receive();
    return srcPort;
  }

  test.each([[[]], [["--sandbox"]]])(
    "shows its packets as they pass, by any path, beside a capture: %j",
    async (options) => {
      const capture = scratch.file("device.pcap");
      const guest = await start(...options, "--capture", capture);
      watching = new Running(["monitor", `hybrid:${uds}`, "--payload", "text", "--op", "rw"]);
      await watching.says("capturing from");
      const lines = collect(watching);
      await using json = new Running(["monitor", `${socket}.ctl`, "--json", "--count", "3"]);
      await json.says("capturing from");
      const hostPort = await connect(guest);
      const shown = new RegExp(
        `2:${hostPort} > ${CID}:${PORT} RW stream len 11 .* "hello guest"\n`,
      );
      await eventually("the line", () => shown.test(lines()));
      const jsonLines = await new Response(json.process.stdout).text();
      expect(await json.process.exited).toBe(0);
      const objects = jsonLines.split("\n").filter((line) => line.startsWith("{"));
      expect(objects.map((line) => JSON.parse(line) as unknown)).toEqual([
        expect.objectContaining({
          op: "request",
          src_cid: 2,
          dst_cid: CID,
          time_ms: expect.closeTo(Date.now(), -6),
        }),
        expect.objectContaining({ op: "response", src_cid: CID, dst_port: hostPort }),
        expect.objectContaining({ op: "rw", length_bytes: 11, payload_base64: null }),
        { summary: { packets: 3, matched: 3, packets_lost: 0 } },
      ]);
      watching.process.kill("SIGINT");
      expect(await watching.process.exited).toBe(0);
      await watching.stderrDone;
      expect(watching.stderr).toContain(" packets, 1 matched, 0 lost");
      // The capture goes on without it.
      await connect(guest);
      device?.process.kill("SIGTERM");
      await device?.process.exited;
      const requests = readPcap(readFileSync(capture)).packets.filter(({ op }) => op === 1);
      expect(requests).toHaveLength(2);
    },
  );

  test("shows packets also after the VM has sent none for a while", async () => {
    const guest = await start();
    watching = new Running(["monitor", `hybrid:${uds}`, "--count", "1"]);
    await watching.says("capturing from");
    await Bun.sleep(SILENCE_MS);
    await connect(guest);
    expect(await watching.process.exited).toBe(0);
    await watching.stderrDone;
    expect(watching.stderr).toContain("1 matched, 0 lost");
  });

  test("writes what the device's own capture has, and is refused beside eight others", async () => {
    const guest = await start();
    const files = Array.from({ length: 8 }, (_, index) => scratch.file(`${index}.pcap`));
    const writers = files.map((path) => new Running(["monitor", socket, "--write", path]));
    try {
      for (const writer of writers) await writer.says("capturing from");
      const ninth = await monitor(socket);
      expect([ninth.status, ninth.stderr]).toEqual([77, expect.stringContaining("8 streams")]);
      const capture = scratch.file("device.pcap");
      await vsockbox(["hybrid-proxy", "capture", socket, capture]);
      for (let count = 0; count < 5; count++) await connect(guest, "x".repeat(300));
      await vsockbox(["hybrid-proxy", "capture", socket, "--off"]);
      const expected = readFileSync(capture);
      const isWritten = (path: string) => statSync(path).size >= expected.length;
      await eventually("all files are written", () => files.every(isWritten));
      for (const writer of writers) writer.process.kill("SIGTERM");
      for (const writer of writers) expect(await writer.process.exited).toBe(0);
      expect(readPcap(expected).packets.length).toBeGreaterThanOrEqual(15);
      for (const path of files) {
        // Each read the clock for itself.
        const { packets, ...header } = readPcap(readFileSync(path));
        const { packets: own, ...ownHeader } = readPcap(expected);
        const timeless = (list: CapturedPacket[]) =>
          list.map((packet) => ({ ...packet, seconds: 0 }));
        expect({ ...header, packets: timeless(packets) }).toEqual({
          ...ownHeader,
          packets: timeless(own),
        });
      }
      // Those that have ended make way for others.
      const status = await vsockbox(["monitor", socket, "--count", "1", "--read", "x"]);
      expect(status.status).toBe(64);
      watching = new Running(["monitor", socket]);
      await watching.says("capturing from");
    } finally {
      for (const writer of writers) await writer[Symbol.asyncDispose]();
    }
  });

  test("ends when the device does, and when it is another program", async () => {
    await start();
    watching = new Running(["monitor", uds]);
    await watching.says("capturing from");
    vmm?.[Symbol.dispose]();
    device?.process.kill("SIGTERM");
    expect(await watching.process.exited).toBe(69);
    await watching.stderrDone;
    expect(watching.stderr).toContain("the device has closed");
    const absent = await monitor(`hybrid:${scratch.file("none")}`);
    expect([absent.status, absent.stderr]).toEqual([
      69,
      expect.stringContaining("no hybrid-proxy of yours"),
    ]);
  });

  test("reports what a reader that is too slow has lost, and not what another reader has", async () => {
    const guest = await start();
    await using other = new Running(["monitor", socket, "--capture-bytes", "0"]);
    await other.says("capturing from");
    watching = new Running([
      "monitor",
      socket,
      "--capture-bytes",
      "65536",
      "--write",
      scratch.file("x.pcap"),
    ]);
    await watching.says("capturing from");
    const hostPort = await connect(guest);
    watching.process.kill("SIGSTOP");
    const payload = new Uint8Array(3000);
    const lost = async () => {
      const { stdout } = await vsockbox(["hybrid-proxy", "status", socket, "--json"]);
      return (JSON.parse(stdout) as VmStatus).counters.capture_packets_lost;
    };
    do {
      for (let count = 0; count < 500; count++) {
        await guest.send({ op: 5, srcPort: PORT, dstPort: hostPort, payload });
      }
    } while ((await lost()) === 0);
    watching.process.kill("SIGCONT");
    watching.process.kill("SIGTERM");
    expect(await watching.process.exited).toBe(0);
    await watching.stderrDone;
    const [, counted = ""] = /, (\d+) lost\n/.exec(watching.stderr) ?? [];
    expect(Number(counted)).toBe(await lost());
    other.process.kill("SIGTERM");
    expect(await other.process.exited).toBe(0);
    await other.stderrDone;
    expect(other.stderr).toContain(", 0 lost\n");
  });
});

test("without a source is refused while vsock is switched off", async () => {
  const { status, stderr } = await vsockbox(["monitor"], { env: { VSOCKBOX_NO_VSOCK: "1" } });
  expect([status, stderr]).toEqual([77, expect.stringContaining("VSOCKBOX_NO_VSOCK=1")]);
});

test.each([
  [["3"], "3 is not a VM of hybrid-proxy"],
  [["--read", "x", "./y"], "--read cannot be used with SOURCE"],
  [["--read", "x", "--buffer", "2MiB"], "--read cannot be used with --buffer"],
  [["--buffer", "1"], "expected a size from 1 MiB"],
  [["--read", "x", "--op", "sing"], "expected request, response"],
  [["--read", "x", "--cid", "four"], "expected a CID"],
  [["--read", "x", "--write", "y", "--json"], "--write cannot be used with --json"],
  [["--read", "x", "--write", "y", "--payload", "hex"], "--write cannot be used with --payload"],
  [["--read", "x", "--force"], "--force requires --write"],
])("%j is a usage error", async (words, message) => {
  const { status, stderr } = await monitor(...words);
  expect([status, stderr]).toEqual([64, expect.stringContaining(message)]);
});
