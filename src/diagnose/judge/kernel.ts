/** Judges the kernel: whether it has AF_VSOCK, what its version lacks, and its known defects. */
import type { KernelVersion } from "../facts/kernel.ts";
import { MODULE_OPTIONS } from "../facts/modules.ts";
import type { VsockFacts } from "../facts/system-facts.ts";
import { error, type Finding, info, ok, type Remedy, warning } from "../finding.ts";
import { asRoot } from "../as-root.ts";

/** What AF_VSOCK lacks before a version. */
const ADDITIONS: readonly { since: KernelVersion; lacks: string }[] = [
  { since: [4, 8, 0], lacks: "virtio transports, which all VMs of today use" },
  { since: [5, 6, 0], lacks: "CID 1, this machine itself (vsock_loopback)" },
  { since: [5, 11, 0], lacks: "sibling: addresses" },
  { since: [5, 14, 0], lacks: "SOCK_SEQPACKET over virtio" },
];

/** A defect of some versions. */
interface Defect {
  /** The versions that have it, the second bound excluded. */
  affected: readonly (readonly [from: KernelVersion, to: KernelVersion])[];
  message: string;
  hint: string;
}

/** No version is as high. */
const ALL: KernelVersion = [Number.MAX_SAFE_INTEGER, 0, 0];

const DEFECTS: readonly Defect[] = [
  {
    // "vsock: Keep the binding until socket destruction", fixed in 6.6.79 and 6.12.16.
    affected: [
      [
        [6, 6, 0],
        [6, 6, 79],
      ],
      [
        [6, 12, 0],
        [6, 12, 16],
      ],
    ],
    message: "this version has CVE-2025-21756: a local user can become root through AF_VSOCK",
    hint: "update the kernel, unless your distribution's changelog has the fix",
  },
];

/** Behaviour that some programs do not expect. */
const HABITS: readonly Defect[] = [
  {
    // "vsock/virtio: reset connection on receiving queue overflow", in 6.12.92 and 7.1; libkrun #795.
    affected: [
      [
        [6, 12, 92],
        [6, 13, 0],
      ],
      [[7, 1, 0], ALL],
    ],
    message: "it resets a connection (ENOBUFS) whose reader has some 450 small packets unread",
    hint: "vsockbox sends large packets and has a larger buffer; other programs raise SO_VM_SOCKETS_BUFFER_MAX_SIZE and SO_VM_SOCKETS_BUFFER_SIZE",
  },
];

/**
 * Judges whether AF_VSOCK exists, and which version it has.
 *
 * @param transport the remedy of the transport that is needed, whose command loads vsock as well.
 */
export function judgeKernel(facts: VsockFacts, transport: Remedy): Finding[] {
  return [
    ...judgeSwitch(facts),
    ...judgePresence(facts, transport),
    ...judgeVersion(facts.kernel.version),
  ];
}

function judgeSwitch({ switchedOff }: VsockFacts): Finding[] {
  if (switchedOff === undefined) return [];
  const message = `AF_VSOCK is switched off by VSOCKBOX_NO_VSOCK=${switchedOff}`;
  const hint = "unix: and hybrid: addresses work all the same";
  return [error("vsock-disabled", "REFUSED", message, { fix: "unset VSOCKBOX_NO_VSOCK", hint })];
}

function judgePresence({ kernel, modules, uid }: VsockFacts, transport: Remedy): Finding[] {
  const { state, load } = modules.vsock;
  const name = `Linux ${kernel.release}`;
  switch (state) {
    case "loaded":
      return [ok("kernel", `${name} has AF_VSOCK: the module vsock is loaded`)];
    case "built-in":
      return [ok("kernel", `${name} has AF_VSOCK built in`)];
    case "loadable": {
      const fix = transport.fix ?? load.map((command) => asRoot(command, uid)).join(" && ");
      return [error("vsock-not-loaded", "UNAVAILABLE", `${name} has not loaded vsock`, { fix })];
    }
    case "missing":
      return [
        error("vsock-not-loaded", "UNAVAILABLE", `the module vsock of ${name} is not installed`, {
          hint: `install the modules of this kernel into /lib/modules/${kernel.release}`,
        }),
      ];
    case "absent":
      return [
        error("kernel-without-vsock", "UNAVAILABLE", `${name} has no AF_VSOCK`, {
          hint: `boot a kernel with ${MODULE_OPTIONS.vsock}, or use unix: and hybrid: addresses`,
        }),
      ];
  }
}

/** Judges a version alone; distributions fix defects without changing it. */
function judgeVersion(version: KernelVersion | undefined): Finding[] {
  if (version === undefined) return [];
  const has = ({ affected }: Defect) =>
    affected.some(([from, to]) => compare(version, from) >= 0 && compare(version, to) < 0);
  const lacking = ADDITIONS.filter(({ since }) => compare(version, since) < 0);
  return [
    ...DEFECTS.filter(has).map(({ message, hint }) => warning("kernel-defect", message, { hint })),
    ...HABITS.filter(has).map(({ message, hint }) => info("kernel-defect", message, { hint })),
    ...lacking.map(({ since, lacks }) => {
      const message = `this version lacks ${lacks}`;
      return info("kernel-lacks", message, {
        hint: `Linux ${since[0]}.${since[1]} and later have it`,
      });
    }),
  ];
}

function compare(a: KernelVersion, b: KernelVersion): number {
  return a[0] - b[0] || a[1] - b[1] || a[2] - b[2];
}
