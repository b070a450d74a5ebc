import { describe, expect, test } from "bun:test";
import {
  ALLOWED_CALLS,
  deviceProgram,
  FIRST_PROBED,
  JUDGED_CALLS,
} from "../../../../src/device/confine/device-seccomp.ts";
import {
  ACTION,
  AUDIT_ARCH,
  encodeProgram,
  SECCOMP_ARCHITECTURES,
} from "../../../../src/process/sandbox/seccomp-program.ts";
import { DENIED_CALLS } from "../../../../src/process/sandbox/seccomp.ts";
import { interpret, MAX_INSTRUCTIONS, systemCallsOf } from "../../../support/seccomp.ts";

const PID = 4711;
const [AF_UNIX, AF_INET, AF_INET6, AF_NETLINK, AF_PACKET, AF_VSOCK] = [1n, 2n, 10n, 16n, 17n, 40n];

describe.each([...SECCOMP_ARCHITECTURES])("a device's filter for %s", (arch) => {
  const program = deviceProgram(arch, { families: [1], pid: PID });
  const bytes = encodeProgram(program);
  const architecture = AUDIT_ARCH[arch];
  const judge = (number: number, ...words: bigint[]) =>
    interpret(bytes, { architecture, number, words });
  const judgeCall = (name: string, ...words: bigint[]) => {
    const number = JUDGED_CALLS[name]?.[arch];
    if (number === undefined) throw new Error(`${arch} has no ${name}`);
    return judge(number, ...words);
  };
  const numbersOf = (calls: typeof ALLOWED_CALLS) =>
    Object.values(calls).flatMap((numbers) => numbers[arch] ?? []);

  test("is a program that the kernel would accept", () => {
    expect(program.length).toBeLessThanOrEqual(MAX_INSTRUCTIONS);
    for (const { jt, jf } of program) {
      expect(Math.max(jt, jf)).toBeLessThanOrEqual(255);
      expect(Math.min(jt, jf)).toBeGreaterThanOrEqual(0);
    }
  });

  test("allows the calls on its list, and no others", () => {
    const [allowed, judged] = [numbersOf(ALLOWED_CALLS), numbersOf(JUDGED_CALLS)];
    expect(new Set([...allowed, ...judged]).size).toBe(allowed.length + judged.length);
    for (let number = 0; number < 1000; number++) {
      if (judged.includes(number)) continue;
      const refusal = number >= FIRST_PROBED ? ACTION.ENOSYS : ACTION.EPERM;
      expect([number, judge(number)]).toEqual([
        number,
        allowed.includes(number) ? ACTION.ALLOW : refusal,
      ]);
    }
  });

  test("allows nothing that a command of the agent may not do", () => {
    for (const number of numbersOf(DENIED_CALLS)) expect(judge(number)).not.toBe(ACTION.ALLOW);
  });

  test("opens sockets of its families alone", () => {
    expect(judgeCall("socket", AF_UNIX)).toBe(ACTION.ALLOW);
    for (const family of [0n, AF_INET, AF_INET6, AF_NETLINK, AF_PACKET, AF_VSOCK, -1n]) {
      expect(judgeCall("socket", family)).toBe(ACTION.EPERM);
    }
    const forwarding = encodeProgram(deviceProgram(arch, { families: [1, 40], pid: PID }));
    const number = JUDGED_CALLS["socket"]?.[arch] ?? -1;
    const withVsock = (family: bigint) =>
      interpret(forwarding, { architecture, number, words: [family] });
    expect([AF_UNIX, AF_VSOCK, AF_INET].map(withVsock)).toEqual([
      ACTION.ALLOW,
      ACTION.ALLOW,
      ACTION.EPERM,
    ]);
  });

  test("opens files for reading alone", () => {
    const [readOnly, cloexec, directory] = [0n, 0o2000000n, arch === "x64" ? 0o200000n : 0o40000n];
    const opens = (flags: bigint) => [
      judgeCall("openat", -100n, 0n, flags),
      ...(arch === "x64" ? [judgeCall("open", 0n, flags)] : []),
    ];
    for (const flags of [readOnly, cloexec, directory, directory | cloexec]) {
      expect(new Set(opens(flags))).toEqual(new Set([ACTION.ALLOW]));
    }
    // O_WRONLY, O_RDWR, O_CREAT, O_TRUNC, O_APPEND, O_TMPFILE.
    const tmpfile = 0o20000000n | directory;
    for (const flags of [1n, 2n, 3n, 0o100n, 0o1000n, 0o2000n, tmpfile]) {
      expect(new Set(opens(flags | cloexec))).toEqual(new Set([ACTION.EPERM]));
    }
  });

  test("starts threads, but no processes and no namespaces", () => {
    const [SIGCHLD, threadFlags, vfork] = [17n, 0x3d_0f00n, 0x4111n];
    expect(judgeCall("clone", threadFlags)).toBe(ACTION.ALLOW);
    for (const flags of [0n, SIGCHLD, vfork, 0x100n]) {
      expect(judgeCall("clone", flags)).toBe(ACTION.EPERM);
    }
    for (const bit of [17n, 25n, 26n, 27n, 28n, 29n, 30n]) {
      expect(judgeCall("clone", threadFlags | (1n << bit))).toBe(ACTION.EPERM);
    }
    expect(judgeCall("clone3")).toBe(ACTION.ENOSYS);
  });

  test("sends signals to itself alone", () => {
    expect(judgeCall("tgkill", BigInt(PID))).toBe(ACTION.ALLOW);
    for (const pid of [0n, 1n, -1n, BigInt(PID + 1)]) {
      expect(judgeCall("tgkill", pid)).toBe(ACTION.EPERM);
    }
    expect(judgeCall("prlimit64", 0n)).toBe(ACTION.ALLOW);
    expect(judgeCall("prlimit64", 1n)).toBe(ACTION.EPERM);
  });

  test("names its threads, and controls nothing else", () => {
    const [PR_SET_NAME, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_SET_MM] = [15n, 4n, 22n, 35n];
    expect(judgeCall("prctl", PR_SET_NAME)).toBe(ACTION.ALLOW);
    for (const option of [PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_SET_MM]) {
      expect(judgeCall("prctl", option)).toBe(ACTION.EPERM);
    }
    const [TCGETS, TIOCSTI, FIONREAD] = [0x5401n, 0x5412n, 0x541bn];
    expect(judgeCall("ioctl", 0n, TCGETS)).toBe(ACTION.ALLOW);
    expect(judgeCall("ioctl", 0n, FIONREAD)).toBe(ACTION.ALLOW);
    expect(judgeCall("ioctl", 0n, TIOCSTI)).toBe(ACTION.EPERM);
  });

  test("kills a program of another architecture, and knows no x32", () => {
    for (const other of [...Object.values(AUDIT_ARCH), 0x4000_0003, 0x4000_0028, 0]) {
      if (other === architecture) continue;
      expect(interpret(bytes, { architecture: other, number: 0 })).toBe(ACTION.KILL_PROCESS);
    }
    for (const number of [0x4000_0000, 0x4000_0001, 0xffff_ffff]) {
      expect(judge(number)).toBe(ACTION.ENOSYS);
    }
  });

  const known = systemCallsOf(arch);
  if (known === undefined) console.warn(`SKIPPED: numbers for ${arch}: no cc or no header`);
  test.skipIf(known === undefined)("has the numbers of the kernel's headers", () => {
    const calls = Object.entries({ ...ALLOWED_CALLS, ...JUDGED_CALLS });
    const here = calls.filter(([, numbers]) => numbers[arch] !== undefined);
    const compared = here.filter(([name]) => known?.has(name));
    for (const [name, numbers] of compared) {
      expect([name, numbers[arch]]).toEqual([name, known?.get(name)]);
    }
    // Some older headers lack some of the newest calls.
    expect(compared.length).toBeGreaterThan(here.length - 5);
    const missing = calls.filter(
      ([name, numbers]) => known?.has(name) && numbers[arch] === undefined,
    );
    expect(missing.map(([name]) => name)).toEqual([]);
  });
});
