/** The system calls that a sandboxed command of the agent cannot make, as a filter. Pure. */
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
} from "./seccomp-program.ts";

/**
 * Calls that return EPERM. Numbers: asm/unistd_64.h for x86-64, asm-generic/unistd.h for arm64.
 *
 * A deny list, since the needs of an agent's command are not known beforehand. The calls on it are
 * what capabilities(7) puts under CAP_SYS_MODULE, CAP_SYS_BOOT, CAP_SYS_TIME, CAP_SYS_RAWIO,
 * CAP_SYS_PACCT, CAP_SYSLOG, CAP_SYS_PTRACE and (in part) CAP_SYS_ADMIN, so that also a root that
 * keeps its capabilities does not change the system, and known attack surfaces of the kernel
 * without any capability: bpf(2), perf_event_open(2), userfaultfd(2), io_uring(7), keyrings(7), and
 * user_namespaces(7), which grant each user all capabilities over mounts and networks of its own.
 * Container engines deny the same to a container without capabilities.
 */
export const DENIED_CALLS: Readonly<Record<string, CallNumbers>> = {
  // Other processes' memory and descriptors: ptrace(2), process_vm_readv(2), pidfd_getfd(2).
  ptrace: callOf(101, 117),
  process_vm_readv: callOf(310, 270),
  process_vm_writev: callOf(311, 271),
  pidfd_getfd: everywhere(438),
  kcmp: callOf(312, 272),
  // Another kernel, code in the kernel: kexec_load(2), init_module(2), bpf(2).
  kexec_load: callOf(246, 104),
  kexec_file_load: callOf(320, 294),
  create_module: callOf(174, undefined),
  init_module: callOf(175, 105),
  finit_module: callOf(313, 273),
  delete_module: callOf(176, 106),
  bpf: callOf(321, 280),
  // Large and often attacked: perf_event_open(2), userfaultfd(2), io_uring(7), keyrings(7).
  perf_event_open: callOf(298, 241),
  userfaultfd: callOf(323, 282),
  io_uring_setup: everywhere(425),
  io_uring_enter: everywhere(426),
  io_uring_register: everywhere(427),
  add_key: callOf(248, 217),
  request_key: callOf(249, 218),
  keyctl: callOf(250, 219),
  // Around path permissions, and over all files: open_by_handle_at(2), fanotify(7).
  open_by_handle_at: callOf(304, 265),
  fanotify_init: callOf(300, 262),
  // Mounts and namespaces: mount(2), pivot_root(2), mount_setattr(2), unshare(2), setns(2).
  mount: callOf(165, 40),
  umount2: callOf(166, 39),
  pivot_root: callOf(155, 41),
  open_tree: everywhere(428),
  move_mount: everywhere(429),
  fsopen: everywhere(430),
  fsconfig: everywhere(431),
  fsmount: everywhere(432),
  fspick: everywhere(433),
  mount_setattr: everywhere(442),
  open_tree_attr: everywhere(467),
  unshare: callOf(272, 97),
  setns: callOf(308, 268),
  // Changes for all users of the system: reboot(2), swapon(2), settimeofday(2), acct(2), quotactl(2)…
  reboot: callOf(169, 142),
  swapon: callOf(167, 224),
  swapoff: callOf(168, 225),
  settimeofday: callOf(164, 170),
  clock_settime: callOf(227, 112),
  adjtimex: callOf(159, 171),
  clock_adjtime: callOf(305, 266),
  acct: callOf(163, 89),
  quotactl: callOf(179, 60),
  quotactl_fd: everywhere(443),
  syslog: callOf(103, 116),
  vhangup: callOf(153, 58),
  sethostname: callOf(170, 161),
  setdomainname: callOf(171, 162),
  // Memory of other processes and of all: move_pages(2), numa(7).
  move_pages: callOf(279, 239),
  migrate_pages: callOf(256, 238),
  mbind: callOf(237, 235),
  set_mempolicy: callOf(238, 237),
  get_mempolicy: callOf(239, 236),
  set_mempolicy_home_node: everywhere(450),
  // Ports of the hardware: ioperm(2), iopl(2).
  iopl: callOf(172, undefined),
  ioperm: callOf(173, undefined),
  // Out of use: nfsservctl(2), lookup_dcookie(2), uselib(2), _sysctl(2), sysfs(2), ustat(2)…
  nfsservctl: callOf(180, 42),
  lookup_dcookie: callOf(212, 18),
  uselib: callOf(134, undefined),
  _sysctl: callOf(156, undefined),
  sysfs: callOf(139, undefined),
  ustat: callOf(136, undefined),
  get_kernel_syms: callOf(177, undefined),
  query_module: callOf(178, undefined),
};

/**
 * ioctl, ptrace, kexec_load, process_vm_readv and process_vm_writev of the x32 ABI, which kernels before
 * 5.4 also accept without the bit of x32.
 */
export const X32_DENIED_CALLS: readonly number[] = [514, 521, 528, 539, 540];

/** clone(2). */
export const CLONE: CallNumbers = callOf(56, 220);

/**
 * clone3(2): ENOSYS, since a filter cannot read the flags, which it has a pointer to. The C libraries
 * then call clone(2).
 */
export const CLONE3: CallNumbers = everywhere(435);

/** CLONE_NEWNS, CLONE_NEWCGROUP, _NEWUTS, _NEWIPC, _NEWUSER, _NEWPID, _NEWNET. */
export const CLONE_NAMESPACE_FLAGS = 0x7e02_0000;

/**
 * Address families of sockets, bits/socket.h: AF_UNSPEC, AF_UNIX, AF_INET, AF_INET6, AF_NETLINK and
 * AF_PACKET, for which the kernel wants CAP_NET_RAW. The others are denied: AF_VSOCK reaches the host
 * and the agent itself, AF_ALG and the protocols that are loaded at their first use are ways into the
 * kernel.
 */
export const ALLOWED_FAMILIES: readonly number[] = [0, 1, 2, 10, 16, 17];

/** TIOCSTI and TIOCLINUX, asm-generic/ioctls.h: typing into a terminal. */
export const DENIED_IOCTLS: readonly number[] = [0x5412, 0x541c];

/** PER_LINUX, PER_LINUX32, both with UNAME26, and the question, linux/personality.h. */
export const ALLOWED_PERSONALITIES: readonly number[] = [0, 8, 0x2_0000, 0x2_0008, 0xffff_ffff];

/** What decides about a call by the lower 32 bits of one argument: all that the kernel reads of it. */
export interface ArgumentRule {
  name: string;
  call: CallNumbers;
  argument: number;
  /** The values that are meant. */
  opcode: typeof OPCODE.JUMP_EQUAL | typeof OPCODE.JUMP_ANY_BIT;
  values: readonly number[];
  /** What happens to them, and to all others. */
  matched: number;
  otherwise: number;
}

/** Calls that are allowed with some arguments. */
export const ARGUMENT_RULES: readonly ArgumentRule[] = [
  {
    // New namespaces, as by unshare(2).
    name: "clone",
    call: CLONE,
    argument: 0,
    opcode: OPCODE.JUMP_ANY_BIT,
    values: [CLONE_NAMESPACE_FLAGS],
    matched: ACTION.EPERM,
    otherwise: ACTION.ALLOW,
  },
  {
    name: "ioctl",
    call: callOf(16, 29),
    argument: 1,
    opcode: OPCODE.JUMP_EQUAL,
    values: DENIED_IOCTLS,
    matched: ACTION.EPERM,
    otherwise: ACTION.ALLOW,
  },
  familyRule("socket", callOf(41, 198)),
  familyRule("socketpair", callOf(53, 199)),
  {
    name: "personality",
    call: callOf(135, 92),
    argument: 0,
    opcode: OPCODE.JUMP_EQUAL,
    values: ALLOWED_PERSONALITIES,
    matched: ACTION.ALLOW,
    otherwise: ACTION.EPERM,
  },
];

function familyRule(name: string, call: CallNumbers): ArgumentRule {
  return {
    name,
    call,
    argument: 0,
    opcode: OPCODE.JUMP_EQUAL,
    values: ALLOWED_FAMILIES,
    matched: ACTION.ALLOW,
    otherwise: ACTION.EAFNOSUPPORT,
  };
}

/** From this number on, calls of x86-64 are those of the x32 ABI, asm/unistd.h. */
const X32_FIRST = 0x4000_0000;

/** The filter for a processor. */
export function seccompProgram(arch: SeccompArchitecture): Instruction[] {
  const denied = Object.values(DENIED_CALLS).flatMap((numbers) => numbers[arch] ?? []);
  if (arch === "x64") denied.push(...X32_DENIED_CALLS);
  const refusals: Omit<Instruction, "jt" | "jf">[] = [
    ...(arch === "x64" ? [{ code: OPCODE.JUMP_AT_LEAST, k: X32_FIRST }] : []),
    ...denied.map((number) => ({ code: OPCODE.JUMP_EQUAL, k: number })),
  ];
  return [
    ...beginFilter(arch),
    ...jumpAny(refusals, ACTION.EPERM),
    ...jumpAny([{ code: OPCODE.JUMP_EQUAL, k: CLONE3[arch] ?? 0 }], ACTION.ENOSYS),
    ...ARGUMENT_RULES.flatMap((rule) => argumentInstructions(rule, rule.call[arch] ?? 0)),
    returnAction(ACTION.ALLOW),
  ];
}

/** If one of the conditions holds, the action; if none does, what follows. */
function jumpAny(conditions: readonly Omit<Instruction, "jt" | "jf">[], action: number) {
  const always: Instruction = { code: OPCODE.JUMP_AT_LEAST, jt: 1, jf: 0, k: 0 };
  const jumps = conditions.map(({ code, k }, index): Instruction => {
    const between = conditions.length - index - 1;
    return { code, jt: between + 1, jf: 0, k };
  });
  return [...jumps, always, returnAction(action)];
}

/** A rule as instructions that end the filter if the call is the rule's, and else go on after them. */
function argumentInstructions(rule: ArgumentRule, number: number): Instruction[] {
  const { argument, opcode, values, matched, otherwise } = rule;
  const decision = [
    // The lower half of an argument comes first.
    load(DATA_OFFSET.arguments + argument * ARGUMENT_BYTES),
    ...jumpAny(
      values.map((value) => ({ code: opcode, k: value })),
      matched,
    ),
    returnAction(otherwise),
  ];
  return [{ code: OPCODE.JUMP_EQUAL, jt: 0, jf: decision.length, k: number }, ...decision];
}
