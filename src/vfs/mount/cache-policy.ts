/** What the kernel may keep, by `--cache`. */

/** The values of `--cache`. */
export const CACHE_MODES = ["none", "auto", "always"] as const;

/** One of {@link CACHE_MODES}. */
export type CacheMode = (typeof CACHE_MODES)[number];

/** What the kernel may keep, and for how long. */
export interface CachePolicy {
  /** How long names and attributes are valid, in milliseconds. */
  entryMs: number;
  attributesMs: number;
  /** How long a name is known not to exist, in milliseconds. */
  missingMs: number;
  /** Whether reads and writes bypass the page cache. */
  isDirect: boolean;
  /** Whether pages stay when a file is opened again: always, if it is unchanged, or never. */
  keepsPages: "always" | "unchanged" | "never";
  /** Whether the kernel holds written data for a while, and the names of directories and links. */
  usesWriteback: boolean;
}

/** Validity with `--cache always`: nothing changes on the host, in milliseconds. */
const LONG_MS = 24 * 3600 * 1000;
/** Validity with `--cache auto`, in milliseconds. */
const SHORT_MS = 1000;

/** Returns the policy of a mode. */
export function cachePolicy(mode: CacheMode): CachePolicy {
  switch (mode) {
    case "none":
      return {
        ...{ entryMs: 0, attributesMs: 0, missingMs: 0 },
        ...{ isDirect: true, keepsPages: "never", usesWriteback: false },
      };
    case "auto":
      return {
        ...{ entryMs: SHORT_MS, attributesMs: SHORT_MS, missingMs: 0 },
        ...{ isDirect: false, keepsPages: "unchanged", usesWriteback: false },
      };
    case "always":
      return {
        ...{ entryMs: LONG_MS, attributesMs: LONG_MS, missingMs: LONG_MS },
        ...{ isDirect: false, keepsPages: "always", usesWriteback: true },
      };
  }
}

/**
 * Returns the policy for a kernel. If it cannot map files with direct I/O, the page cache is used: pages are
 * dropped when a file is opened, and when its size or times, which each read asks for, are other ones.
 */
export function policyForKernel(policy: CachePolicy, mapsDirectIo: boolean): CachePolicy {
  return { ...policy, isDirect: policy.isDirect && mapsDirectIo };
}
