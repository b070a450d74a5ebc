import { describe, expect, test } from "bun:test";
import {
  ACTION,
  AUDIT_ARCH,
  encodeProgram,
  INSTRUCTION_BYTES,
  SECCOMP_ARCHITECTURES,
} from "../../../../src/process/sandbox/seccomp-program.ts";
import {
  ALLOWED_FAMILIES,
  ALLOWED_PERSONALITIES,
  ARGUMENT_RULES,
  CLONE,
  CLONE3,
  DENIED_CALLS,
  DENIED_IOCTLS,
  seccompProgram,
  X32_DENIED_CALLS,
} from "../../../../src/process/sandbox/seccomp.ts";
import { interpret, MAX_INSTRUCTIONS, systemCallsOf } from "../../../support/seccomp.ts";

const AUDIT_ARCH_I386 = 0x4000_0003;
const AUDIT_ARCH_ARM = 0x4000_0028;

describe.each([...SECCOMP_ARCHITECTURES])("the filter for %s", (arch) => {
  const bytes = encodeProgram(seccompProgram(arch));
  const architecture = AUDIT_ARCH[arch];
  const judge = (number: number, ...words: bigint[]) =>
    interpret(bytes, { architecture, number, words });
  const ruled = (name: string) =>
    ARGUMENT_RULES.find((rule) => rule.name === name)?.call[arch] ?? -1;
  const denied = Object.entries(DENIED_CALLS).flatMap(([name, numbers]) => {
    const number = numbers[arch];
    return number === undefined ? [] : [{ name, number }];
  });
  const [clone = -1, clone3 = -1] = [CLONE[arch], CLONE3[arch]];

  test("is a program that the kernel would accept", () => {
    expect(bytes.length % INSTRUCTION_BYTES).toBe(0);
    expect(bytes.length / INSTRUCTION_BYTES).toBeLessThanOrEqual(MAX_INSTRUCTIONS);
    for (const { jt, jf } of seccompProgram(arch)) {
      expect(Math.max(jt, jf)).toBeLessThanOrEqual(255);
    }
  });

  test("returns EPERM for every call on the list", () => {
    for (const { name, number } of denied)
      expect([name, judge(number)]).toEqual([name, ACTION.EPERM]);
  });

  test("allows every other call", () => {
    const x32 = arch === "x64" ? X32_DENIED_CALLS : [];
    const refused = new Set([...denied.map(({ number }) => number), ...x32]);
    for (let number = 0; number < 1000; number++) {
      expect([number, judge(number)]).toEqual([
        number,
        number === clone3 ? ACTION.ENOSYS : refused.has(number) ? ACTION.EPERM : ACTION.ALLOW,
      ]);
    }
  });

  test("allows clone for processes and threads, not for namespaces", () => {
    const [SIGCHLD, threadFlags] = [17n, 0x3d_0f00n];
    expect(judge(clone, SIGCHLD)).toBe(ACTION.ALLOW);
    expect(judge(clone, threadFlags)).toBe(ACTION.ALLOW);
    // CLONE_NEWNS, _NEWCGROUP, _NEWUTS, _NEWIPC, _NEWUSER, _NEWPID, _NEWNET.
    for (const bit of [17n, 25n, 26n, 27n, 28n, 29n, 30n]) {
      expect(judge(clone, SIGCHLD | (1n << bit))).toBe(ACTION.EPERM);
    }
  });

  test.each(["socket", "socketpair"])("%s is for families that containers have", (name) => {
    const [AF_UNIX, AF_INET6, AF_NETLINK, AF_ALG, AF_VSOCK, AF_MAX] = [1, 10, 16, 38, 40, 46];
    expect(ALLOWED_FAMILIES).toEqual(expect.arrayContaining([AF_UNIX, AF_INET6, AF_NETLINK]));
    for (const family of [AF_ALG, AF_VSOCK]) expect(ALLOWED_FAMILIES).not.toContain(family);
    for (let family = 0; family <= AF_MAX; family++) {
      const isAllowed = ALLOWED_FAMILIES.includes(family);
      const action = isAllowed ? ACTION.ALLOW : ACTION.EAFNOSUPPORT;
      expect([family, judge(ruled(name), BigInt(family))]).toEqual([family, action]);
      // The kernel reads an int: the upper half of the register is not part of it.
      expect(judge(ruled(name), BigInt(family) | (1n << 32n))).toBe(action);
    }
  });

  test("ioctl does not type into terminals, whatever the upper half of the request", () => {
    const fd = 0n;
    const [TCGETS, TIOCSTI, TIOCLINUX] = [0x5401n, 0x5412n, 0x541cn];
    expect(DENIED_IOCTLS.map(BigInt)).toEqual([TIOCSTI, TIOCLINUX]);
    expect(judge(ruled("ioctl"), fd, TCGETS)).toBe(ACTION.ALLOW);
    expect(judge(ruled("ioctl"), TIOCSTI, TCGETS)).toBe(ACTION.ALLOW);
    for (const request of [TIOCSTI, TIOCLINUX]) {
      expect(judge(ruled("ioctl"), fd, request)).toBe(ACTION.EPERM);
      expect(judge(ruled("ioctl"), fd, request | (1n << 40n))).toBe(ACTION.EPERM);
    }
  });

  test("personality does not switch off address randomization", () => {
    const [ADDR_NO_RANDOMIZE, READ_IMPLIES_EXEC] = [0x4_0000n, 0x40_0000n];
    for (const allowed of ALLOWED_PERSONALITIES) {
      expect(judge(ruled("personality"), BigInt(allowed))).toBe(ACTION.ALLOW);
    }
    for (const persona of [ADDR_NO_RANDOMIZE, READ_IMPLIES_EXEC, 1n]) {
      expect(judge(ruled("personality"), persona)).toBe(ACTION.EPERM);
    }
  });

  test("kills a program of another architecture", () => {
    const others = Object.values(AUDIT_ARCH).filter((other) => other !== architecture);
    for (const other of [...others, AUDIT_ARCH_I386, AUDIT_ARCH_ARM, 0]) {
      for (const number of [0, clone, 1000]) {
        expect(interpret(bytes, { architecture: other, number })).toBe(ACTION.KILL_PROCESS);
      }
    }
  });

  test("has each number once", () => {
    const rules = ARGUMENT_RULES.map(({ call }) => call[arch] ?? -1);
    const numbers = [...denied.map(({ number }) => number), ...rules, clone3];
    expect(new Set(numbers).size).toBe(numbers.length);
  });

  const known = systemCallsOf(arch);
  if (known === undefined) console.warn(`SKIPPED: numbers for ${arch}: no cc or no header`);
  test.skipIf(known === undefined)("has the numbers of the kernel's headers", () => {
    const rules = ARGUMENT_RULES.map(({ name, call }) => ({ name, number: call[arch] ?? -1 }));
    const named = [...denied, ...rules, { name: "clone3", number: clone3 }];
    // Older headers lack the newest calls.
    const compared = named.filter(({ name }) => known?.has(name));
    for (const { name, number } of compared)
      expect([name, known?.get(name)]).toEqual([name, number]);
    expect(compared.length).toBeGreaterThan(named.length - 5);
    const missing = Object.keys(DENIED_CALLS).filter(
      (name) => known?.has(name) && DENIED_CALLS[name]?.[arch] === undefined,
    );
    expect(missing).toEqual([]);
  });
});

test("the x32 calls of x86-64 return EPERM", () => {
  const bytes = encodeProgram(seccompProgram("x64"));
  for (const number of [0x4000_0000, 0x4000_0000 + 39, 0xffff_ffff]) {
    expect(interpret(bytes, { architecture: AUDIT_ARCH.x64, number })).toBe(ACTION.EPERM);
  }
});
