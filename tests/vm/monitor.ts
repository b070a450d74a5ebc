/** `vsockbox monitor` on a kernel of its own, beside the kernel's own capture by dumpcap. */
import { afterEach, beforeAll, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { ScratchDirectory, vsockbox } from "../support/binary.ts";
import { type CapturedPacket, readPcap } from "../support/pcap.ts";
import { describeCapture, inGuest, prepare, unloadedModule } from "./support.ts";

const LOG = "/tmp/monitor.log";

/** Starts a monitor in the background: its pid is in `$monitor`, the name of its link in `$link`. */
const start = (words: string, output = "/tmp/monitor.out") =>
  `rm -f ${LOG}; vsockbox monitor ${words} > ${output} 2> ${LOG} & monitor=$!; ` +
  `until grep -q capturing ${LOG}; do sleep 0.1; done; ` +
  `link=$(sed -n 's/.*capturing from \\(.*\\);.*/\\1/p' ${LOG}); `;

const stop = (signal = "TERM") => `kill -${signal} $monitor; wait $monitor; echo status $?; `;

/** Packets that the kernel has handed to all vsockmon links so far, as the link counts them. */
const COUNT = "cat /sys/class/net/$link/statistics/rx_packets";

/** Lists the links of vsockmon. */
const LINKS = "ls /sys/class/net | grep vsockbox || echo no links";

/** A listener of guest-vsock, whose pid is in `$echo`. */
const echo = (command: string, port: number) =>
  `rm -f /tmp/echo; guest-vsock ${command} ${port} > /tmp/echo & echo=$!; ` +
  "until grep -q listening /tmp/echo; do sleep 0.1; done; ";

/** A connection each way of each type, refused ones, one with a half-close, and bulk. */
const TRAFFIC =
  echo("echo", 7100) +
  "for i in 1 2 3; do echo hello $i | vsockbox connect 1:7100; done; " +
  "vsockbox connect 1:7101 -n 2> /dev/null; kill $echo; " +
  echo("echo-records", 7102) +
  "guest-vsock records 1 7102 1 700 70000 3 > /dev/null; kill $echo 2> /dev/null; ";

/** A listener that reads everything, whose pid is in `$listen`. */
const LISTEN =
  "rm -f /tmp/listen.log; vsockbox listen vsock::7120 -k --exec 'cat > /dev/null' 2> /tmp/listen.log & listen=$!; " +
  "until grep -q listening /tmp/listen.log; do sleep 0.1; done; ";

/** Waits until what was sent has been counted. */
const SETTLED = `before=; until [ "$before" = "$(${COUNT})" ]; do before=$(${COUNT}); sleep 1; done; echo $before; `;

async function fileOf(path: string): Promise<Buffer> {
  return Buffer.from(await prepare(`base64 -w 0 ${path}`), "base64");
}

/** Without the time, which each capture reads for itself. */
const timeless = (packet: CapturedPacket) => ({ ...packet, seconds: 0 });

const counts = async () => {
  const text = await prepare(`cat ${LOG}`);
  const [, packets, matched, lost] =
    /^vsockbox: (\d+) packets?, (\d+) matched, (\d+) lost$/m.exec(text) ?? [];
  return { packets: Number(packets), matched: Number(matched), lost: Number(lost) };
};

describeCapture("monitor", () => {
  beforeAll(async () => {
    await prepare("mkdir -p /tmp; rmmod vsockmon 2> /dev/null; true");
  });
  afterEach(async () => {
    await inGuest("killall -9 guest-vsock dumpcap 2> /dev/null; true");
    expect(await prepare(LINKS)).toBe("no links\n");
  });

  test("without the module names the command that loads it", async () => {
    const result = await inGuest("vsockbox monitor");
    expect(result).toMatchObject({
      status: 69,
      stdout: "",
      stderr: expect.stringMatching(/the kernel has no vsockmon.*\n.*modprobe vsockmon/),
    });
    await prepare(`insmod ${unloadedModule("vsockmon")}`);
  });

  test("without the right to do so names the capabilities, and leaves nothing", async () => {
    await prepare("chmod 1777 /tmp");
    const { status, stderr } = await inGuest(
      "vsockbox agent --allow-local --listen vsock::7110 --ready-listen none -q & agent=$!; " +
        "vsockbox wait 1:7110 2> /dev/null; vsockbox exec 1:7110 --user guest -- vsockbox monitor; " +
        "status=$?; kill $agent; exit $status",
    );
    expect([status, stderr]).toEqual([77, expect.stringContaining("CAP_NET_ADMIN")]);
  });

  test("has the packets of dumpcap, and each field as tshark reads it", async () => {
    const whole = "--capture-bytes 262068";
    const output = await prepare(
      `${start(`--write /tmp/monitor.pcap --force ${whole}`)}` +
        "dumpcap -P -i $link -w /tmp/dumpcap.pcap 2> /tmp/dumpcap.log & dumpcap=$!; " +
        "until grep -q '^File:' /tmp/dumpcap.log; do sleep 0.1; done; " +
        `${TRAFFIC} ${SETTLED} sleep 2; kill -INT $dumpcap; wait $dumpcap; ${stop("INT")}`,
      300_000,
    );
    const [total = "", ending] = output.trimEnd().split("\n").slice(-2);
    expect(ending).toBe("status 0");
    expect(await counts()).toEqual({ packets: Number(total), matched: Number(total), lost: 0 });
    const file = await fileOf("/tmp/monitor.pcap");
    const { packets } = readPcap(file);
    expect(packets).toHaveLength(Number(total));
    const { packets: expected } = readPcap(await fileOf("/tmp/dumpcap.pcap"));
    expect(packets.map(timeless)).toEqual(expected.map(timeless));
    // It is traffic with every operation but CREDIT_REQUEST, and both types.
    expect([...new Set(packets.map(({ op }) => op))].sort()).toEqual([1, 2, 3, 4, 5, 6]);
    await expectSameAsTshark(file);
  }, 400_000);

  test("shows the packets that meet the filter as they pass", async () => {
    const output = await prepare(
      `${start("--port 7100 --op rw --payload text --count 2 --json")}` +
        echo("echo", 7100) +
        "vsockbox connect 1:7101 -n 2> /dev/null; echo hello | vsockbox connect 1:7100; " +
        "wait $monitor; echo status $?",
    );
    expect(output).toBe("hello\nstatus 0\n");
    const lines = (await prepare("cat /tmp/monitor.out")).trimEnd().split("\n");
    expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual([
      expect.objectContaining({ op: "rw", src_cid: 1, dst_port: 7100, payload_base64: "aGVsbG8K" }),
      expect.objectContaining({ op: "rw", src_port: 7100, dst_cid: 1, length_bytes: 6 }),
      { summary: expect.objectContaining({ matched: 2, packets_lost: 0 }) },
    ]);
  });

  test("counts no lost packets, however fast they arrive", async () => {
    const output = await prepare(
      `${LISTEN} ${start("--write /tmp/fast.pcap --force")} ` +
        `guest-vsock leave 1 7120 50000 1 > /dev/null; ${SETTLED} ${stop()} kill $listen`,
      300_000,
    );
    const [sent, ending] = output.trimEnd().split("\n");
    const { packets, lost } = await counts();
    expect([ending, packets + lost]).toEqual(["status 0", Number(sent)]);
    expect(packets).toBeGreaterThan(10_000);
    const read = await inGuest("vsockbox monitor --read /tmp/fast.pcap --json | tail -1");
    expect(JSON.parse(read.stdout)).toMatchObject({ summary: { packets } });
  }, 400_000);

  test("counts the packets that it lost while it was stopped", async () => {
    const output = await prepare(
      `${LISTEN} ${start("--buffer 1MiB")} ` +
        `kill -STOP $monitor; guest-vsock leave 1 7120 50000 1 > /dev/null; ${SETTLED} ` +
        `kill -CONT $monitor; ${stop()} kill $listen`,
      300_000,
    );
    const [sent, ending] = output.trimEnd().split("\n");
    const { packets, lost } = await counts();
    expect([ending, packets + lost]).toEqual(["status 0", Number(sent)]);
    expect(lost).toBeGreaterThan(0);
    expect(packets).toBeGreaterThan(0);
    expect(await prepare("wc -l < /tmp/monitor.out")).toBe(`${packets}\n`);
  }, 400_000);

  test.each(["INT", "TERM", "HUP", "QUIT"])(
    "removes its link when SIG%s ends it",
    async (signal) => {
      expect(
        await prepare(`${start("")} ls -d /sys/class/net/$link; ${stop(signal)} ${LINKS}`),
      ).toBe("/sys/class/net/vsockbox0\nstatus 0\nno links\n");
    },
  );

  test("removes its link when the reader of its output has closed", async () => {
    const output = await prepare(
      `mkfifo /tmp/monitor.fifo; (head -1 /tmp/monitor.fifo > /tmp/first &); ` +
        `${start("", "/tmp/monitor.fifo")} for i in 1 2 3 4; do vsockbox connect 1:7101 -n 2> /dev/null; done; ` +
        `wait $monitor; echo status $?; rm /tmp/monitor.fifo; cut -d ' ' -f 4- /tmp/first; ${LINKS}`,
    );
    expect(output).toMatch(
      /^status 141\n> 1:7101 REQUEST .*\nno links\n$|^status 141\n1:7101 REQUEST .*\nno links\n$/,
    );
  });

  test("ends though its output accepts no more", async () => {
    const output = await prepare(
      `mkfifo /tmp/monitor.fifo; (sleep 300 < /tmp/monitor.fifo & echo $! > /tmp/sleep.pid); ` +
        `${start("--payload hex --capture-bytes 4000", "/tmp/monitor.fifo")} ` +
        `${LISTEN} head -c 1000000 /dev/zero | vsockbox connect 1:7120; ${stop()} kill $listen; ` +
        `kill $(cat /tmp/sleep.pid); rm /tmp/monitor.fifo; ${LINKS}`,
    );
    expect(output).toBe("status 0\nno links\n");
  });

  test("has a link for each monitor, and removes those of killed ones", async () => {
    const killed = await prepare(
      `${start("")} first=$monitor; ${start("")} second=$monitor; kill -9 $first; wait $first; ${LINKS}; ` +
        `${start("")} ${LINKS}; kill $second; wait $second; ${stop()} ${LINKS}`,
    );
    expect(killed).toBe("vsockbox0\nvsockbox1\nvsockbox0\nvsockbox1\nstatus 0\nno links\n");
  });

  test("ends if its link is removed, and leaves links of others alone", async () => {
    const output = await prepare(
      `ip link add vsockbox0 type dummy 2> /dev/null; ${start("")} echo $link; ` +
        `ip link del $link; wait $monitor; echo status $?; ip link del vsockbox0 2> /dev/null; cat ${LOG}`,
    );
    expect(output).toMatch(/^vsockbox[01]\nstatus 69\n/);
    expect(output).toContain("another process has removed the link");
  });
});

/** Compares what `monitor --read --json` has of a file with what tshark has of it. */
async function expectSameAsTshark(file: Buffer): Promise<void> {
  using scratch = new ScratchDirectory();
  const path = scratch.file("x.pcap");
  writeFileSync(path, file);
  const fields = [
    ...["frame.time_epoch", "vsock.src_cid", "vsock.src_port", "vsock.dst_cid", "vsock.dst_port"],
    ...["vsock.op", "vsock.trans", "vsock.virtio.op", "vsock.virtio.type", "vsock.virtio.flags"],
    ...["vsock.virtio.len", "vsock.virtio.buf_alloc", "vsock.virtio.fwd_cnt"],
  ];
  const words = fields.flatMap((field) => ["-e", field]);
  const { stdout, exitCode } = Bun.spawnSync([
    ...["tshark", "-n", "-r", path, "-T", "fields", "-E", "separator=,"],
    ...words,
  ]);
  expect(exitCode).toBe(0);
  const expected = stdout.toString().trimEnd().split("\n");
  const read = await vsockbox(["monitor", "--read", path, "--json", "--quiet"]);
  const packets = read.stdout.trimEnd().split("\n").slice(0, -1);
  const ops = ["", "request", "response", "rst", "shutdown", "rw", "credit-update"];
  const kinds = ["unknown", "connect", "disconnect", "control", "payload"];
  const flagBits: Record<string, number> = { receive: 1, send: 2, eom: 1, eor: 2 };
  const shown = packets.map((line) => {
    const packet = JSON.parse(line) as Record<string, unknown>;
    const flags = (packet["flags"] as string[]).reduce(
      (bits, name) => bits + (flagBits[name] ?? 0),
      0,
    );
    const time = (Number(packet["time_ms"]) / 1000).toFixed(6);
    return [
      ...[
        `${time}000`,
        packet["src_cid"],
        packet["src_port"],
        packet["dst_cid"],
        packet["dst_port"],
      ],
      ...[kinds.indexOf(String(packet["kind"])), 2, ops.indexOf(String(packet["op"]))],
      ...[packet["type"] === "stream" ? 1 : 2, `0x${flags.toString(16).padStart(8, "0")}`],
      ...[packet["length_bytes"], packet["buf_alloc_bytes"], packet["fwd_cnt_bytes"]],
    ].join(",");
  });
  expect(shown).toEqual(expected);
}
