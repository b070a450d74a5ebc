import { describe, expect, test } from "bun:test";
import {
  ACTION,
  AUDIT_ARCH,
  encodeProgram,
  INSTRUCTION_BYTES,
  SECCOMP_ARCHITECTURES,
} from "../../../src/process/seccomp-program.ts";
import {
  CLONE,
  CLONE3,
  DENIED_CALLS,
  seccompProgram,
  X32_DENIED_CALLS,
} from "../../../src/process/seccomp.ts";
import { interpret, MAX_INSTRUCTIONS, systemCallsOf } from "../../support/seccomp.ts";

const AUDIT_ARCH_I386 = 0x4000_0003;
const AUDIT_ARCH_ARM = 0x4000_0028;

describe.each([...SECCOMP_ARCHITECTURES])("the filter for %s", (arch) => {
  const bytes = encodeProgram(seccompProgram(arch));
  const architecture = AUDIT_ARCH[arch];
  const judge = (number: number, firstArgument = 0n) =>
    interpret(bytes, { architecture, number, words: [firstArgument] });
  const denied = Object.entries(DENIED_CALLS).flatMap(([name, numbers]) => {
    const number = numbers[arch];
    return number === undefined ? [] : [{ name, number }];
  });
  const [clone = -1, clone3 = -1] = [CLONE[arch], CLONE3[arch]];

  test("is a program that the kernel would take", () => {
    expect(bytes.length % INSTRUCTION_BYTES).toBe(0);
    expect(bytes.length / INSTRUCTION_BYTES).toBeLessThanOrEqual(MAX_INSTRUCTIONS);
    for (const { jt, jf } of seccompProgram(arch)) {
      expect(Math.max(jt, jf)).toBeLessThanOrEqual(255);
    }
  });

  test("gives EPERM for every call on the list", () => {
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

  test("kills a program of another architecture", () => {
    const others = Object.values(AUDIT_ARCH).filter((other) => other !== architecture);
    for (const other of [...others, AUDIT_ARCH_I386, AUDIT_ARCH_ARM, 0]) {
      for (const number of [0, clone, 1000]) {
        expect(interpret(bytes, { architecture: other, number })).toBe(ACTION.KILL_PROCESS);
      }
    }
  });

  test("has each number once", () => {
    const numbers = [...denied.map(({ number }) => number), clone, clone3];
    expect(new Set(numbers).size).toBe(numbers.length);
  });

  const known = systemCallsOf(arch);
  if (known === undefined) console.warn(`SKIPPED: numbers for ${arch}: no cc or no header`);
  test.skipIf(known === undefined)("has the numbers of the kernel's headers", () => {
    const named = [...denied, { name: "clone", number: clone }, { name: "clone3", number: clone3 }];
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

test("the x32 calls of x86-64 give EPERM", () => {
  const bytes = encodeProgram(seccompProgram("x64"));
  for (const number of [0x4000_0000, 0x4000_0000 + 39, 0xffff_ffff]) {
    expect(interpret(bytes, { architecture: AUDIT_ARCH.x64, number })).toBe(ACTION.EPERM);
  }
});
