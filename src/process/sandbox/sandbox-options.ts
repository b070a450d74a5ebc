/** The options of a sandbox: their words, and what each implies. */
import { invalidValue, type VsockboxError } from "../../errors.ts";
import { type LimitWord, lowestLimits, parseLimit, RESOURCE_LIMITS } from "./limits.ts";

/**
 * The options without a value, in the order in which they are listed; docs/sandbox.md has what each
 * protects against.
 *
 * - `no-new-privs`: set-user-ID programs and file capabilities have no effect;
 * - `drop-caps`: no capabilities, also for root, and no way to get them back; a root still owns the
 *   files of root;
 * - `protect-kernel`: a mount namespace in which /proc/sys, /sys and others are read-only, what shows
 *   the kernel's memory is masked, and /dev has a few devices; Landlock if the kernel has it;
 * - `pid-namespace`: no other processes are visible, and everything that the command started ends with
 *   it; implies `protect-kernel`, since it makes a mount namespace anyway;
 * - `user-namespace`: for a command of root: it is root of a user namespace, and an ordinary user of
 *   the machine; implies `pid-namespace`. Nothing for other users;
 * - `seccomp`: system calls that act on the kernel or on other processes fail with EPERM; implies
 *   `no-new-privs`, without which the kernel accepts no filter of an ordinary user;
 * - `no-network`: a network namespace with a loopback interface alone; implies `seccomp`, since
 *   AF_VSOCK is not part of it.
 */
export const SANDBOX_FLAGS = [
  "no-new-privs",
  "drop-caps",
  "protect-kernel",
  "pid-namespace",
  "user-namespace",
  "seccomp",
  "no-network",
] as const;

/** The value of `all`: every confinement that ordinary commands do not notice. */
export const ALL_OPTIONS = SANDBOX_FLAGS.filter((flag) => flag !== "no-network");

/** The words of the options, for help. */
export const SANDBOX_WORDS = `\`all\`, or with commas between: ${SANDBOX_FLAGS.join(", ")}; limits: processes=N, memory=SIZE, open-files=N, file-size=SIZE`;

/** What `all` was before there were others: a client of then means all that there is. */
const FIRST_OPTIONS = ["no-new-privs", "drop-caps", "pid-namespace", "seccomp"] as const;

/** What agents with the feature `sandbox` alone do not know. */
export const needsSandboxKernel = (words: readonly string[]): boolean =>
  words.some((word) => !FIRST_OPTIONS.some((known) => known === word));

const IMPLIED: Readonly<Partial<Record<string, readonly SandboxFlag[]>>> = {
  "pid-namespace": ["protect-kernel"],
  "user-namespace": ["pid-namespace", "protect-kernel"],
  "no-network": ["seccomp"],
  all: ALL_OPTIONS,
};

/** One of {@link SANDBOX_FLAGS}. */
export type SandboxFlag = (typeof SANDBOX_FLAGS)[number];

/** A flag, or a limit such as `processes=64`. */
export type SandboxOption = SandboxFlag | LimitWord;

/**
 * Reads the words of `--sandbox no-new-privs,processes=64`; `all` is {@link ALL_OPTIONS}. Each option
 * and what it implies comes once, in the order of {@link SANDBOX_FLAGS}, then the limits, of each the
 * lowest.
 *
 * @throws {VsockboxError} USAGE for an unknown word or a wrong value.
 */
export function parseSandbox(words: readonly string[]): SandboxOption[] {
  const limits: LimitWord[] = [];
  const flags = new Set<string>();
  for (const word of words) {
    const limit = parseLimit(word);
    if (limit !== undefined) limits.push(limit);
    else if (word === "all" || isFlag(word)) flags.add(word);
    else throw unknownOption(word, words);
  }
  if (FIRST_OPTIONS.every((option) => flags.has(option))) flags.add("all");
  const implied = new Set([...flags].flatMap((flag) => IMPLIED[flag] ?? []));
  return [
    ...SANDBOX_FLAGS.filter((flag) => flags.has(flag) || implied.has(flag)),
    ...lowestLimits(limits),
  ];
}

function unknownOption(word: string, words: readonly string[]): VsockboxError {
  const limits = Object.keys(RESOURCE_LIMITS).map((name) => `${name}=N`);
  return invalidValue({
    value: words.join(","),
    name: "--sandbox",
    message: `${JSON.stringify(word)} is not a sandbox option`,
    hint: `some of ${[...SANDBOX_FLAGS, ...limits].join(", ")} with commas between, or all`,
  });
}

function isFlag(word: string): boolean {
  return SANDBOX_FLAGS.some((flag) => flag === word);
}
