/**
 * The system calls that a sandboxed command cannot make, as a classic BPF program for seccomp(2).
 * Pure: numbers in, bytes out.
 */

/** Processors that there is a filter for, as `process.arch` has them. */
export const SECCOMP_ARCHITECTURES = ["x64", "arm64"] as const;

/** One of {@link SECCOMP_ARCHITECTURES}. */
export type SeccompArchitecture = (typeof SECCOMP_ARCHITECTURES)[number];

/** A system call's number on each processor; undefined where that has no such call. */
export type CallNumbers = Readonly<Record<SeccompArchitecture, number | undefined>>;

const call = (x64: number | undefined, arm64: number | undefined): CallNumbers => ({ x64, arm64 });
const everywhere = (number: number): CallNumbers => call(number, number);

/**
 * Calls that give EPERM. Numbers: asm/unistd_64.h for x86-64, asm-generic/unistd.h for arm64.
 *
 * A deny list, since what a command of an agent needs is not known beforehand. What is on it is
 * what capabilities(7) puts under CAP_SYS_MODULE, CAP_SYS_BOOT, CAP_SYS_TIME, CAP_SYS_RAWIO,
 * CAP_SYS_PACCT, CAP_SYSLOG, CAP_SYS_PTRACE and (in part) CAP_SYS_ADMIN, so that also a root that
 * keeps its capabilities leaves the machine as it is, and what is a known way into the kernel
 * without any capability: bpf(2), perf_event_open(2), userfaultfd(2), io_uring(7), keyrings(7), and
 * user_namespaces(7), which give each user all capabilities over mounts and networks of its own.
 * Docker's default profile denies the same to a container without capabilities.
 */
export const DENIED_CALLS: Readonly<Record<string, CallNumbers>> = {
  // Other processes' memory and descriptors: ptrace(2), process_vm_readv(2), pidfd_getfd(2).
  ptrace: call(101, 117),
  process_vm_readv: call(310, 270),
  process_vm_writev: call(311, 271),
  pidfd_getfd: everywhere(438),
  // Another kernel, code in the kernel: kexec_load(2), init_module(2), bpf(2).
  kexec_load: call(246, 104),
  kexec_file_load: call(320, 294),
  create_module: call(174, undefined),
  init_module: call(175, 105),
  finit_module: call(313, 273),
  delete_module: call(176, 106),
  bpf: call(321, 280),
  // Large and often attacked: perf_event_open(2), userfaultfd(2), io_uring(7), keyrings(7).
  perf_event_open: call(298, 241),
  userfaultfd: call(323, 282),
  io_uring_setup: everywhere(425),
  io_uring_enter: everywhere(426),
  io_uring_register: everywhere(427),
  add_key: call(248, 217),
  request_key: call(249, 218),
  keyctl: call(250, 219),
  // Around path permissions: open_by_handle_at(2).
  open_by_handle_at: call(304, 265),
  // Mounts and namespaces: mount(2), pivot_root(2), mount_setattr(2), unshare(2), setns(2).
  mount: call(165, 40),
  umount2: call(166, 39),
  pivot_root: call(155, 41),
  open_tree: everywhere(428),
  move_mount: everywhere(429),
  fsopen: everywhere(430),
  fsconfig: everywhere(431),
  fsmount: everywhere(432),
  fspick: everywhere(433),
  mount_setattr: everywhere(442),
  open_tree_attr: everywhere(467),
  unshare: call(272, 97),
  setns: call(308, 268),
  // The machine for everybody: reboot(2), swapon(2), settimeofday(2), acct(2), quotactl(2)…
  reboot: call(169, 142),
  swapon: call(167, 224),
  swapoff: call(168, 225),
  settimeofday: call(164, 170),
  clock_settime: call(227, 112),
  adjtimex: call(159, 171),
  clock_adjtime: call(305, 266),
  acct: call(163, 89),
  quotactl: call(179, 60),
  quotactl_fd: everywhere(443),
  syslog: call(103, 116),
  sethostname: call(170, 161),
  setdomainname: call(171, 162),
  // Ports of the hardware: ioperm(2), iopl(2).
  iopl: call(172, undefined),
  ioperm: call(173, undefined),
  // Out of use, and not looked after: nfsservctl(2), lookup_dcookie(2), uselib(2), _sysctl(2).
  nfsservctl: call(180, 42),
  lookup_dcookie: call(212, 18),
  uselib: call(134, undefined),
  _sysctl: call(156, undefined),
};

/**
 * ptrace, kexec_load, process_vm_readv and process_vm_writev of the x32 ABI, which kernels before
 * 5.4 also take without the bit that says x32.
 */
export const X32_DENIED_CALLS: readonly number[] = [521, 528, 539, 540];

/** clone(2): EPERM where its flags ask for a new namespace, since that is what unshare(2) does. */
export const CLONE: CallNumbers = call(56, 220);

/**
 * clone3(2): ENOSYS, since a filter cannot read the flags behind its pointer. The C libraries then
 * take clone(2).
 */
export const CLONE3: CallNumbers = everywhere(435);

/** CLONE_NEWNS, CLONE_NEWCGROUP, _NEWUTS, _NEWIPC, _NEWUSER, _NEWPID, _NEWNET. */
export const CLONE_NAMESPACE_FLAGS = 0x7e02_0000;

/** AUDIT_ARCH_X86_64 and AUDIT_ARCH_AARCH64, linux/audit.h. */
export const AUDIT_ARCH: Readonly<Record<SeccompArchitecture, number>> = {
  x64: 0xc000_003e,
  arm64: 0xc000_00b7,
};

/** From this number on, calls of x86-64 are those of the x32 ABI, asm/unistd.h. */
export const X32_FIRST = 0x4000_0000;

/** What the kernel does with a call, linux/seccomp.h. */
export const ACTION = {
  ALLOW: 0x7fff_0000,
  KILL_PROCESS: 0x8000_0000,
  EPERM: 0x0005_0001,
  ENOSYS: 0x0005_0026,
} as const;

/** One instruction, struct sock_filter. */
export interface Instruction {
  code: number;
  /** Instructions to skip where the condition holds, and where not. */
  jt: number;
  jf: number;
  k: number;
}

/** The instructions in use, linux/bpf_common.h. */
export const OPCODE = {
  /** BPF_LD | BPF_W | BPF_ABS */
  LOAD: 0x20,
  /** BPF_JMP | BPF_JEQ | BPF_K */
  JUMP_EQUAL: 0x15,
  /** BPF_JMP | BPF_JGE | BPF_K */
  JUMP_AT_LEAST: 0x35,
  /** BPF_JMP | BPF_JSET | BPF_K */
  JUMP_ANY_BIT: 0x45,
  /** BPF_RET | BPF_K */
  RETURN: 0x06,
} as const;

/** Where struct seccomp_data has what; of the first argument the low half. */
export const DATA_OFFSET = { number: 0, architecture: 4, firstArgument: 16 } as const;

const load = (offset: number): Instruction => ({ code: OPCODE.LOAD, jt: 0, jf: 0, k: offset });
const end = (action: number): Instruction => ({ code: OPCODE.RETURN, jt: 0, jf: 0, k: action });

/** The filter for a processor. */
export function seccompProgram(arch: SeccompArchitecture): Instruction[] {
  // A call of another architecture has other numbers: its program is none that may go on.
  const program: Instruction[] = [
    load(DATA_OFFSET.architecture),
    { code: OPCODE.JUMP_EQUAL, jt: 1, jf: 0, k: AUDIT_ARCH[arch] },
    end(ACTION.KILL_PROCESS),
    load(DATA_OFFSET.number),
  ];
  const denied = Object.values(DENIED_CALLS).flatMap((numbers) => numbers[arch] ?? []);
  if (arch === "x64") denied.push(...X32_DENIED_CALLS);
  const refusals: Omit<Instruction, "jt" | "jf">[] = [
    ...(arch === "x64" ? [{ code: OPCODE.JUMP_AT_LEAST, k: X32_FIRST }] : []),
    ...denied.map((number) => ({ code: OPCODE.JUMP_EQUAL, k: number })),
  ];
  const [clone, clone3] = [CLONE[arch] ?? 0, CLONE3[arch] ?? 0];
  const tail: Instruction[] = [
    { code: OPCODE.JUMP_EQUAL, jt: 5, jf: 0, k: clone3 },
    { code: OPCODE.JUMP_EQUAL, jt: 0, jf: 2, k: clone },
    load(DATA_OFFSET.firstArgument),
    { code: OPCODE.JUMP_ANY_BIT, jt: 1, jf: 0, k: CLONE_NAMESPACE_FLAGS },
    end(ACTION.ALLOW),
    end(ACTION.EPERM),
    end(ACTION.ENOSYS),
  ];
  const refusalInTail = tail.findIndex(({ k }) => k === ACTION.EPERM);
  const jumps = refusals.map(({ code, k }, index): Instruction => {
    const between = refusals.length - index - 1;
    return { code, jt: between + refusalInTail, jf: 0, k };
  });
  return [...program, ...jumps, ...tail];
}

/** Bytes of one struct sock_filter. */
export const INSTRUCTION_BYTES = 8;

/** The program as an array of struct sock_filter, little-endian as both processors are. */
export function encodeProgram(program: readonly Instruction[]): Uint8Array {
  const bytes = new Uint8Array(program.length * INSTRUCTION_BYTES);
  const view = new DataView(bytes.buffer);
  for (const [index, { code, jt, jf, k }] of program.entries()) {
    const offset = index * INSTRUCTION_BYTES;
    view.setUint16(offset, code, true);
    view.setUint8(offset + 2, jt);
    view.setUint8(offset + 3, jf);
    view.setUint32(offset + 4, k, true);
  }
  return bytes;
}
