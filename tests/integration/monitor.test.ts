/** `vsockbox monitor` with captures: what is read, shown, filtered and written. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { type RunResult, ScratchDirectory, shell, vsockbox } from "../support/binary.ts";
import { readPcap } from "../support/pcap.ts";
import { packetBytes, pcapBytes } from "../support/vsock-packets.ts";

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
        stderr: "vsockbox: 4 packets, 4 matched\n",
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
    expect(stderr).toMatch(/3 packets, 3 matched\nvsockbox: .* ends within the packet at offset/);
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

describe("monitor --write", () => {
  test("copies the packets that meet the filter", async () => {
    writeFileSync(file, pcapBytes(PACKETS, { isLittleEndian: false }));
    const copy = scratch.file("copy.pcap");
    expect(await monitor("--read", file, "--cid", "3", "-o", copy)).toEqual({
      status: 0,
      stdout: "",
      stderr: "vsockbox: 4 packets, 3 matched\n",
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

  test("writes to standard output", async () => {
    writeFileSync(file, pcapBytes(PACKETS));
    const { stdout } = await shell(
      `vsockbox monitor --read ${file} --write - --quiet | vsockbox monitor --read - --quiet`,
      { env: { TZ: "UTC" } },
    );
    expect(stdout).toBe(text(LINES));
  });
});

test.each([
  [["--read", "x", "--op", "sing"], "expected request, response"],
  [["--read", "x", "--cid", "four"], "expected a CID"],
  [["--read", "x", "--write", "y", "--json"], "--write cannot be used with --json"],
  [["--read", "x", "--write", "y", "--payload", "hex"], "--write cannot be used with --payload"],
  [["--read", "x", "--force"], "--force requires --write"],
])("%j is a usage error", async (words, message) => {
  const { status, stderr } = await monitor(...words);
  expect([status, stderr]).toEqual([64, expect.stringContaining(message)]);
});
