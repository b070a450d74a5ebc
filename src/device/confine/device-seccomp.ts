/**
 * The seccomp filter of vhost-user devices: it allows the system calls of the device and of its runtime.
 * Pure: makes a program for the kernel's BPF; process/sandbox installs it.
 */
import {
  ACTION,
  ARGUMENT_BYTES,
  beginFilter,
  type CallNumbers,
  callOf,
  DATA_OFFSET,
  everywhere,
  type Instruction,
  load,
  OPCODE,
  returnAction,
  type SeccompArchitecture,
} from "../../process/sandbox/seccomp-program.ts";
import { CLONE, CLONE3, CLONE_NAMESPACE_FLAGS } from "../../process/sandbox/seccomp.ts";

/**
 * Calls that are allowed with all arguments. Those of each packet come first: kernels before 5.11, which
 * do not cache the calls that a filter always allows, evaluate the list each time.
 *
 * Numbers: asm/unistd_64.h for x86-64, asm-generic/unistd.h for arm64. The runtime's calls were recorded
 * with strace(1) from the start to the end of devices under load; alternatives of C libraries are added.
 */
export const ALLOWED_CALLS: Readonly<Record<string, CallNumbers>> = {
  // Each packet.
  epoll_wait: callOf(232, undefined),
  epoll_pwait: callOf(281, 22),
  epoll_pwait2: everywhere(441),
  readv: callOf(19, 65),
  writev: callOf(20, 66),
  read: callOf(0, 63),
  write: callOf(1, 64),
  recvfrom: callOf(45, 207),
  sendto: callOf(44, 206),
  futex: callOf(202, 98),
  // Connections. No bind and no listen: the listening sockets are open already.
  accept4: callOf(288, 242),
  connect: callOf(42, 203),
  shutdown: callOf(48, 210),
  recvmsg: callOf(47, 212),
  sendmsg: callOf(46, 211),
  getsockname: callOf(51, 204),
  getpeername: callOf(52, 205),
  getsockopt: callOf(55, 209),
  setsockopt: callOf(54, 208),
  // Descriptors.
  close: callOf(3, 57),
  close_range: everywhere(436),
  fcntl: callOf(72, 25),
  dup: callOf(32, 23),
  dup3: callOf(292, 24),
  lseek: callOf(8, 62),
  pread64: callOf(17, 67),
  // Captures: files are opened for writing before the filter is installed.
  pwrite64: callOf(18, 68),
  ftruncate: callOf(77, 46),
  epoll_ctl: callOf(233, 21),
  epoll_create1: callOf(291, 20),
  eventfd2: callOf(290, 19),
  timerfd_create: callOf(283, 85),
  timerfd_settime: callOf(286, 86),
  poll: callOf(7, undefined),
  ppoll: callOf(271, 73),
  // Types of files: descriptors of the VMM by /proc/self/fd, the sockets at the end.
  stat: callOf(4, undefined),
  lstat: callOf(6, undefined),
  fstat: callOf(5, 80),
  newfstatat: callOf(262, 79),
  statx: callOf(332, 291),
  access: callOf(21, undefined),
  faccessat: callOf(269, 48),
  faccessat2: everywhere(439),
  readlink: callOf(89, undefined),
  readlinkat: callOf(267, 78),
  getcwd: callOf(79, 17),
  unlink: callOf(87, undefined),
  unlinkat: callOf(263, 35),
  // Memory: the guest's, the heap, and pages for compiled code.
  mmap: callOf(9, 222),
  munmap: callOf(11, 215),
  mprotect: callOf(10, 226),
  mremap: callOf(25, 216),
  madvise: callOf(28, 233),
  brk: callOf(12, 214),
  membarrier: callOf(324, 283),
  // Threads for garbage collection and compilation; see clone below.
  set_robust_list: callOf(273, 99),
  rseq: callOf(334, 293),
  set_tid_address: callOf(218, 96),
  sched_yield: callOf(24, 124),
  sched_getaffinity: callOf(204, 123),
  gettid: callOf(186, 178),
  getpid: callOf(39, 172),
  getppid: callOf(110, 173),
  getuid: callOf(102, 174),
  geteuid: callOf(107, 175),
  getgid: callOf(104, 176),
  getegid: callOf(108, 177),
  // Signals to this process; see tgkill below.
  rt_sigaction: callOf(13, 134),
  rt_sigprocmask: callOf(14, 135),
  rt_sigreturn: callOf(15, 139),
  rt_sigsuspend: callOf(130, 133),
  rt_sigtimedwait: callOf(128, 137),
  sigaltstack: callOf(131, 132),
  restart_syscall: callOf(219, 128),
  // Time, random bytes, exit.
  clock_gettime: callOf(228, 113),
  clock_getres: callOf(229, 114),
  clock_nanosleep: callOf(230, 115),
  nanosleep: callOf(35, 101),
  gettimeofday: callOf(96, 169),
  time: callOf(201, undefined),
  getrandom: callOf(318, 278),
  uname: callOf(63, 160),
  sysinfo: callOf(99, 179),
  getrusage: callOf(98, 165),
  exit: callOf(60, 93),
  exit_group: callOf(231, 94),
};

/** Calls that are allowed only with some arguments; see {@link deviceProgram}. */
export const JUDGED_CALLS: Readonly<Record<string, CallNumbers>> = {
  socket: callOf(41, 198),
  open: callOf(2, undefined),
  openat: callOf(257, 56),
  clone: CLONE,
  clone3: CLONE3,
  tgkill: callOf(234, 131),
  prlimit64: callOf(302, 261),
  prctl: callOf(157, 167),
  ioctl: callOf(16, 29),
};

/**
 * From this number on, the first that all architectures share, forbidden calls fail with ENOSYS: C
 * libraries try such calls and fall back to older ones. Below it, EPERM. asm-generic/unistd.h.
 */
export const FIRST_PROBED = 424;

/** CLONE_THREAD, linux/sched.h. */
const CLONE_THREAD = 0x1_0000;

/**
 * O_WRONLY, O_RDWR, O_CREAT, O_TRUNC, O_APPEND and O_TMPFILE without its O_DIRECTORY;
 * asm-generic/fcntl.h.
 */
const OPEN_CHANGES = 0o3 | 0o100 | 0o1000 | 0o2000 | 0o20000000;

/** PR_SET_NAME, PR_GET_NAME and PR_SET_VMA, linux/prctl.h: names of threads and of memory. */
const PRCTL_OPTIONS = [15, 16, 0x5356_4d41] as const;

/** TCGETS, TIOCGWINSZ, FIONREAD, FIONBIO and FIOCLEX, asm-generic/ioctls.h. */
const IOCTL_REQUESTS = [0x5401, 0x5413, 0x541b, 0x5421, 0x5451] as const;

/** Options of a filter. */
export interface DeviceCalls {
  /** Address families of sockets. */
  families: readonly number[];
  /** This process: the only target of signals and of prlimit. */
  pid: number;
}

/** Returns the filter for an architecture. */
export function deviceProgram(arch: SeccompArchitecture, calls: DeviceCalls): Instruction[] {
  const blocks = Object.entries(judgements(calls)).flatMap(([name, judgement]) => {
    const number = JUDGED_CALLS[name]?.[arch];
    if (number === undefined) return [];
    const skip: Instruction = { code: OPCODE.JUMP_EQUAL, jt: 0, jf: judgement.length, k: number };
    return [skip].concat(judgement);
  });
  const tail = [
    ...blocks,
    { code: OPCODE.JUMP_AT_LEAST, jt: 1, jf: 0, k: FIRST_PROBED },
    returnAction(ACTION.EPERM),
    returnAction(ACTION.ENOSYS),
    returnAction(ACTION.ALLOW),
  ];
  const numbers = Object.values(ALLOWED_CALLS).flatMap((known) => known[arch] ?? []);
  const jumps = numbers.map((k, index): Instruction => {
    const between = numbers.length - index - 1;
    return { code: OPCODE.JUMP_EQUAL, jt: between + tail.length - 1, jf: 0, k };
  });
  return [...beginFilter(arch), ...jumps, ...tail];
}

/** Returns the code for {@link JUDGED_CALLS}. The kernel reads 32 bits of each of these arguments. */
function judgements({ families, pid }: DeviceCalls): Record<string, Instruction[]> {
  return {
    socket: isOneOf(0, families),
    open: hasNone(1, OPEN_CHANGES),
    openat: hasNone(2, OPEN_CHANGES),
    clone: [
      load(argument(0)),
      { code: OPCODE.JUMP_ANY_BIT, jt: 1, jf: 0, k: CLONE_NAMESPACE_FLAGS },
      { code: OPCODE.JUMP_ANY_BIT, jt: 1, jf: 0, k: CLONE_THREAD },
      returnAction(ACTION.EPERM),
      returnAction(ACTION.ALLOW),
    ],
    // A filter cannot read its flags, which are in memory; C libraries fall back to clone.
    clone3: [returnAction(ACTION.ENOSYS)],
    tgkill: isOneOf(0, [pid]),
    prlimit64: isOneOf(0, [0, pid]),
    prctl: isOneOf(0, PRCTL_OPTIONS),
    ioctl: isOneOf(1, IOCTL_REQUESTS),
  };
}

const argument = (index: number) => DATA_OFFSET.arguments + index * ARGUMENT_BYTES;

function isOneOf(index: number, values: readonly number[]): Instruction[] {
  return [
    load(argument(index)),
    ...values.map((k, position): Instruction => {
      return { code: OPCODE.JUMP_EQUAL, jt: values.length - position, jf: 0, k };
    }),
    returnAction(ACTION.EPERM),
    returnAction(ACTION.ALLOW),
  ];
}

function hasNone(index: number, bits: number): Instruction[] {
  return [
    load(argument(index)),
    { code: OPCODE.JUMP_ANY_BIT, jt: 0, jf: 1, k: bits },
    returnAction(ACTION.EPERM),
    returnAction(ACTION.ALLOW),
  ];
}
