/** JSON that costs many times its size, in a guest with 768 MB: nothing is killed, nothing grows. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { bootGuest, type Guest } from "../../src/vm/guest.ts";
import { BINARY } from "../support/binary.ts";
import { runIn } from "../support/guest-lines.ts";
import { describeUml } from "./support.ts";

const MEMORY_MIB = 768;

/** Payload of a bomb: 60 MiB, below the limit of a frame. */
const BOMB_BYTES = 60 * 1024 * 1024;
const BOMB_LENGTH = String.raw`\003\300\000\000`;

/** What an agent may hold of a bomb, in kB: the frame as it grows by doubling, and four times it. */
const BOMB_KB = (5.5 * BOMB_BYTES) / 1024;

/** What it may take of a peer that has not shown the token, in kB. */
const UNKNOWN_KB = 48 * 1024;

/** A frame of this type, in octal, whose payload is one character all over. */
const bomb = (type: string, character: string) =>
  `(printf '\\${type}${BOMB_LENGTH}'; head -c ${BOMB_BYTES} /dev/zero | tr '\\000' '${character}')`;

/** An agent, with the token if it wants one. */
const at = (port: number) =>
  port === 5041 ? `local:${port} --token-file /tmp/token` : `local:${port}`;

describeUml("JSON bombs in a guest with 768 MB", () => {
  let guest: Guest;
  const run = (line: string, timeoutMs = 240_000) => runIn(guest, line, timeoutMs);

  beforeAll(async () => {
    guest = await bootGuest({
      vmm: "uml",
      binary: BINARY,
      environment: { VSOCKBOX_TEST_VM: "1", NO_COLOR: "1" },
      memoryMib: MEMORY_MIB,
    });
    await run("echo a-secret-of-this-test > /tmp/token; chmod 600 /tmp/token");
    for (const [port, options] of [
      [5040, ""],
      [5041, "--token-file /tmp/token"],
    ] as const) {
      await run(
        `(vsockbox agent --listen vsock::${port} --ready-listen none --allow-local ${options} -q > /tmp/${port}.log 2>&1 & echo $! > /tmp/${port}.pid); for i in $(seq 400); do vsockbox exec -n ${at(port)} -- true 2> /dev/null && break; sleep 0.3; done`,
      );
    }
  });
  afterAll(() => guest?.[Symbol.dispose]());

  /** What a command takes at its highest, in the unit of this busybox, which is not always kB. */
  const rssOf = (said: string) =>
    Number(/Maximum resident set size[^:]*: ([0-9]+)/.exec(said)?.[1]);
  const idleRss = async () => rssOf(await run("busybox time -v vsockbox --version 2>&1"));
  const peakKb = async (port: number) =>
    Number(await run(`awk '/^VmHWM/ { print $2 }' /proc/$(cat /tmp/${port}.pid)/status`));
  const answers = async (port: number) => {
    const line = `vsockbox exec -n ${at(port)} -- echo alive`;
    expect(await run(line)).toBe("alive\n");
    expect(await run("dmesg | grep -ci 'out of memory\\|oom' || true")).toBe("0\n");
  };

  test("one after another, to an agent without a token", async () => {
    await answers(5040);
    const before = await peakKb(5040);
    for (const [type, character] of [
      ["001", "["],
      ["016", "["],
      ["017", '"'],
      ["011", "{"],
    ] as const) {
      await run(
        `${bomb(type, character)} | timeout 120 vsockbox connect local:5040 > /dev/null; true`,
      );
      await answers(5040);
    }
    expect((await peakKb(5040)) - before).toBeLessThan(BOMB_KB);
  }, 600_000);

  test("eight at once, to an agent with a token", async () => {
    await answers(5041);
    const before = await peakKb(5041);
    const one = (type: string) =>
      `(${bomb(type, "[")} | timeout 120 vsockbox connect local:5041 > /dev/null 2>&1) &`;
    await run(
      `${["100", "001", "016", "100", "011", "017", "100", "003"].map(one).join(" ")} wait`,
    );
    await answers(5041);
    expect((await peakKb(5041)) - before).toBeLessThan(UNKNOWN_KB);
  }, 600_000);

  test("to a client, from another listener at the agent's port", async () => {
    await run(`cat > /tmp/bomb.sh <<'END'\n${bomb("100", "[")}\nEND\nchmod 755 /tmp/bomb.sh`);
    await run(
      "(vsockbox listen vsock::5042 -k --allow-local --exec 'sh /tmp/bomb.sh' > /tmp/5042.log 2>&1 & echo $! > /tmp/5042.pid); until grep -q listening /tmp/5042.log; do sleep 0.1; done",
    );
    for (const words of ["exec -n local:5042 -- true", "ls local:5042:/", "info local:5042"]) {
      const said = await run(`busybox time -v vsockbox ${words} 2>&1; true`);
      expect(said).toMatch(/Hello frame of 62914560 bytes is above the limit of 65536/);
      expect(rssOf(said)).toBeLessThan(3 * (await idleRss()));
    }
    await run("kill $(cat /tmp/5042.pid)");
  }, 600_000);

  test("to guest-exec-host --report", async () => {
    const said = await run(
      `(busybox time -v vsockbox guest-exec-host vsock::5043 --allow-local --once --report true > /tmp/host.log 2>&1; echo done >> /tmp/host.log) & until grep -q listening /tmp/host.log 2> /dev/null; do sleep 0.1; done; ${bomb("133", "[")} | timeout 120 vsockbox connect local:5043 > /dev/null 2>&1; for i in $(seq 400); do grep -q done /tmp/host.log && break; sleep 0.3; done; cat /tmp/host.log`,
    );
    expect(said).toMatch(/a line of more than|nested more than/);
    // The longest line of a report has 11 MiB.
    expect(rssOf(said)).toBeLessThan(4 * (await idleRss()));
  }, 600_000);
});
