/**
 * A child in namespaces of its own: clone(2), then a list of system calls in the child that ends with
 * execve(2).
 *
 * posix_spawn(3) makes no namespaces; unshare(2) makes none of users in a process with threads, which
 * the runtime has; and a fork of the runtime must not run its code. So the child runs 70 bytes of
 * machine code: system calls by a table that was filled in before, and nothing else.
 */
import { FFIType, linkSymbols, type Pointer, toArrayBuffer } from "bun:ffi";
import { constants } from "node:os";
import { writeFileSync, writeSync } from "node:fs";
import { reasonOf, VsockboxError } from "../errors.ts";
import { systemError } from "./errno.ts";
import { cString, cStringVector, lastErrno, libc, ptr } from "./libc.ts";
import { closeDescriptor, openPipe } from "./socket.ts";

/**
 * `long run(const struct step *)`, with a step of six 64-bit words: number and five arguments. The
 * first step is clone(2), whose result is returned in the parent. The child goes on with the following
 * ones, and exits with 127 when one fails.
 */
const CODE: Readonly<Record<string, string>> = {
  x64:
    "53 4889fb e823000000 4885c0 7402 5b c3" + // push rbx; mov rbx, rdi; call step; test rax, rax; je child; pop rbx; ret
    "4883c330 e813000000 4885c0 79f2" + // child: add rbx, 48; call step; test rax, rax; jns child
    "bf7f000000 b8e7000000 0f05 0f0b" + // mov edi, 127; mov eax, SYS_exit_group; syscall; ud2
    "488b03 488b7b08 488b7310 488b5318 4c8b5320 4c8b4328 0f05 c3", // step: rax, rdi, rsi, rdx, r10, r8 from [rbx]; syscall; ret
  arm64:
    "e90300aa ea031eaa 0a000094 400000b4 40015fd6" + // mov x9, x0; mov x10, x30; bl step; cbz x0, child; ret x10
    "29c10091 06000094 c0ffffb6" + // child: add x9, x9, 48; bl step; tbz x0, 63, child
    "e00f80d2 c80b80d2 010000d4 000020d4" + // mov x0, 127; mov x8, SYS_exit_group; svc 0; brk 0
    "280140f9 208540a9 228d41a9 241540f9 010000d4 c0035fd6", // step: x8, x0 to x4 from [x9]; svc 0; ret
};

const isArm64 = process.arch === "arm64";
const SYS = {
  read: isArm64 ? 63 : 0,
  clone: isArm64 ? 220 : 56,
  execve: isArm64 ? 221 : 59,
  setgroups: isArm64 ? 159 : 116,
  setresuid: isArm64 ? 147 : 117,
  setresgid: isArm64 ? 149 : 119,
};

const WORDS_OF_STEP = 6;

const PROT_READ_WRITE = 3;
const PROT_READ_EXEC = 5;
const MAP_PRIVATE_ANONYMOUS = 0x22;
const CODE_BYTES = 4096;

/** Which users of the namespace are which outside: 0 to `count` - 1 are those from `first` on. */
export interface UserMap {
  first: number;
  count: number;
}

/** What to start, for {@link startNamespacedChild}. */
export interface NamespacedChild {
  /** The file that is executed; it must be there in the child's root. */
  argv: readonly [string, ...string[]];
  env: Readonly<Record<string, string>>;
  /** A sum of `Namespace` of sandbox.ts. */
  namespaces: number;
  /** With a user namespace: who its users are outside. The child is its root. */
  users: UserMap | undefined;
}

type Run = (steps: Pointer) => number | bigint;
let code: Run | undefined;

function machineCode(): Run {
  if (code !== undefined) return code;
  const bytes = Buffer.from((CODE[process.arch] ?? "").replaceAll(" ", ""), "hex");
  const page = Number(
    libc().mmap(null, CODE_BYTES, PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS, -1, 0n),
  );
  const address = page as Pointer;
  const operation = "map code";
  if (page === -1) throw systemError(lastErrno(), { operation });
  new Uint8Array(toArrayBuffer(address, 0, CODE_BYTES)).set(bytes);
  if (libc().mprotect(address, CODE_BYTES, PROT_READ_EXEC) < 0) {
    throw systemError(lastErrno(), { operation });
  }
  const { pointer, i64_fast } = FFIType;
  const { run } = linkSymbols({
    run: { ptr: address, args: [pointer], returns: i64_fast },
  }).symbols;
  code = run;
  return run;
}

/**
 * Starts a program in new namespaces, in this process's group and session, with its descriptors and its
 * blocked signals. Returns its pid in this process's namespace.
 *
 * @throws {VsockboxError} REFUSED without CAP_SYS_ADMIN, UNAVAILABLE if the kernel cannot make one of
 * them.
 */
export function startNamespacedChild(child: NamespacedChild): number {
  const { argv, env, namespaces, users } = child;
  const run = machineCode();
  const path = cString(argv[0]);
  const words = cStringVector(argv);
  const settings = cStringVector(Object.entries(env).map(([name, value]) => `${name}=${value}`));
  const mapped = openPipe();
  const byte = new Uint8Array(8);
  const steps: (readonly (number | bigint)[])[] = [
    [SYS.clone, BigInt(namespaces | constants.signals.SIGCHLD)],
  ];
  if (users !== undefined) {
    steps.push([SYS.read, mapped.read, ptr(byte), 1]);
    steps.push([SYS.setgroups, 0, 0], [SYS.setresgid, 0, 0, 0], [SYS.setresuid, 0, 0, 0]);
  }
  steps.push([SYS.execve, ptr(path), ptr(words.vector), ptr(settings.vector)]);
  const table = new BigUint64Array(steps.length * WORDS_OF_STEP);
  for (const [index, step] of steps.entries()) table.set(step.map(BigInt), index * WORDS_OF_STEP);
  try {
    const pid = Number(run(ptr(table)));
    // The table points into these; they must not be collected before.
    if (pid < 0 || words.strings.length + settings.strings.length + path.length === 0) {
      throw cannotClone(-pid, users !== undefined);
    }
    if (users !== undefined) mapUsers(pid, users, mapped.write);
    return pid;
  } finally {
    closeDescriptor(mapped.read);
    closeDescriptor(mapped.write);
  }
}

function mapUsers(pid: number, { first, count }: UserMap, mapped: number): void {
  const line = `0 ${first} ${count}\n`;
  try {
    writeFileSync(`/proc/${pid}/uid_map`, line);
    writeFileSync(`/proc/${pid}/gid_map`, line);
  } catch (thrown) {
    libc().kill(pid, constants.signals.SIGKILL);
    const { errno } = reasonOf(thrown);
    throw new VsockboxError({
      code: "REFUSED",
      operation: "make a user namespace",
      message: `the users ${first} to ${first + count - 1} cannot be mapped into it`,
      errno,
      hint: "they must exist in the agent's own user namespace; or name another user with --user",
    });
  }
  writeSync(mapped, Uint8Array.of(1));
}

/** @param hasUsers whether a user namespace was among them. */
function cannotClone(errno: number, hasUsers: boolean) {
  const ENOSPC = 28;
  if (hasUsers && errno === ENOSPC) {
    return systemError(errno, {
      operation: "make a user namespace",
      code: "UNAVAILABLE",
      hint: "user.max_user_namespaces of sysctl(8) allows no more; or name another user with --user",
    });
  }
  return systemError(errno, {
    operation: hasUsers ? "make a user namespace" : "make a PID namespace",
    hint: "it needs CAP_SYS_ADMIN: start the agent as root with all capabilities",
  });
}
