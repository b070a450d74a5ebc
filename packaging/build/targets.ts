/** What can be built, and under which names. */
import { existsSync } from "node:fs";
import type { Architecture } from "../../src/elf/elf-head.ts";

/** What Bun compiles for, by our names: glibc has none in Bun's. */
export const COMPILE_TARGETS = {
  "linux-x64-glibc": "bun-linux-x64",
  "linux-arm64-glibc": "bun-linux-arm64",
  "linux-x64-musl": "bun-linux-x64-musl",
  "linux-arm64-musl": "bun-linux-arm64-musl",
} as const;

/** A build that asks for the system's loader and libraries. */
export type DynamicTarget = keyof typeof COMPILE_TARGETS;

/** The self-contained builds, by the dynamic builds that they are made from. */
export const SELF_CONTAINED: Readonly<Record<string, DynamicTarget>> = {
  "linux-x64": "linux-x64-glibc",
  "linux-arm64": "linux-arm64-glibc",
};

/** Every target of a release. */
export const RELEASE_TARGETS: readonly string[] = [
  ...Object.keys(COMPILE_TARGETS),
  ...Object.keys(SELF_CONTAINED),
];

/** A target of the build. */
export interface Job {
  /** The target as reported by the executable. */
  target: string;
  compiled: DynamicTarget;
  architecture: Architecture;
  selfContained: boolean;
  /** The file's name. */
  name: string;
  /** Made of the running Bun, so that it needs no network, and can be tried. */
  isHost: boolean;
}

/** The dynamic build for this host. */
export function hostTarget(): DynamicTarget {
  const arch = process.arch === "arm64" ? "arm64" : "x64";
  const musl = existsSync(`/lib/ld-musl-${arch === "arm64" ? "aarch64" : "x86_64"}.so.1`);
  const glibc =
    existsSync("/lib/ld-linux-aarch64.so.1") || existsSync("/lib64/ld-linux-x86-64.so.2");
  return `linux-${arch}-${musl && !glibc ? "musl" : "glibc"}`;
}

function job(target: string, compiled: DynamicTarget, name: string): Job {
  return {
    target,
    compiled,
    architecture: compiled.includes("arm64") ? "arm64" : "x64",
    selfContained: target !== compiled,
    name,
    isHost: compiled === hostTarget(),
  };
}

/** `vsockbox` for this host; self-contained if that is possible and `dynamic` is not set. */
export function ownJob(dynamic: boolean): Job {
  const host = hostTarget();
  const selfContained = host.endsWith("-glibc") && !dynamic;
  return job(selfContained ? host.replace("-glibc", "") : host, host, "vsockbox");
}

/**
 * `vsockbox-TARGET` for each target.
 *
 * @throws {Error} if one is unknown.
 */
export function releaseJobs(targets: readonly string[]): Job[] {
  const unknown = targets.find((target) => !RELEASE_TARGETS.includes(target));
  if (unknown !== undefined) {
    throw new Error(`no target is called "${unknown}": there are ${RELEASE_TARGETS.join(", ")}`);
  }
  return RELEASE_TARGETS.filter((target) => targets.includes(target)).map((target) =>
    job(target, SELF_CONTAINED[target] ?? (target as DynamicTarget), `vsockbox-${target}`),
  );
}
