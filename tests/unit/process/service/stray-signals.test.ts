import { describe, expect, test } from "bun:test";
import { constants } from "node:os";
import { straySignals } from "../../../../src/process/service/stray-signals.ts";

const { SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM, SIGPROF, SIGIO } = constants.signals;
const { SIGPWR, SIGSTKFLT, SIGXCPU, SIGXFSZ } = constants.signals;
const { SIGQUIT, SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV, SIGSYS } = constants.signals;

const bit = (signal: number) => 1n << BigInt(signal - 1);
const sorted = (numbers: number[]) => numbers.toSorted((a, b) => a - b);
const REAL_TIME = Array.from({ length: 30 }, (_, index) => 35 + index);
const TERMINATING = [
  ...[SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM, SIGPROF],
  ...[SIGIO, SIGPWR, SIGSTKFLT, SIGXCPU, SIGXFSZ],
];
const FAULTS = [SIGQUIT, SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV, SIGSYS];

describe("straySignals", () => {
  test("every signal whose default action ends a service", () => {
    expect(sorted(straySignals(0n, false))).toEqual(sorted([...TERMINATING, ...REAL_TIME]));
  });

  test("not those that have a handler", () => {
    const caught = bit(SIGUSR1) | bit(SIGPWR) | bit(64);
    const rest = [...TERMINATING, ...REAL_TIME].filter(
      (signal) => ![SIGUSR1, SIGPWR, 64].includes(signal),
    );
    expect(sorted(straySignals(caught, false))).toEqual(sorted(rest));
  });

  test("process 1 ignores faults as well, also if the runtime has handlers for them", () => {
    const caught = FAULTS.reduce((mask, signal) => mask | bit(signal), 0n);
    expect(sorted(straySignals(caught, true))).toEqual(
      sorted([...TERMINATING, ...REAL_TIME, ...FAULTS]),
    );
  });
});
