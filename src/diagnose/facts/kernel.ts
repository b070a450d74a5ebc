/** The kernel's release and its configuration. */
import type { SystemFiles } from "./system-files.ts";

/** A value of a configuration: built in, as a module, or another one. */
type ConfigValue = string;

/** The kernel. */
export interface KernelFacts {
  /** As `uname -r` prints it. */
  release: string;
  /** Major, minor and patch level; undefined for a release of another form. */
  version: KernelVersion | undefined;
  /** Options that are set, such as CONFIG_VSOCKETS to `m`; undefined if the configuration is not published. */
  config: ReadonlyMap<string, ConfigValue> | undefined;
}

/** Of `6.12.92-amd64`: 6, 12 and 92. */
export type KernelVersion = readonly [major: number, minor: number, patch: number];

/** Reads the release and, from /proc, /boot or /lib/modules, the configuration. */
export function readKernel(files: SystemFiles): KernelFacts {
  const release = files.text("/proc/sys/kernel/osrelease")?.trim() ?? "";
  const compressed = files.bytes("/proc/config.gz");
  const text =
    (compressed === undefined ? undefined : decompress(compressed)) ??
    files.text(`/boot/config-${release}`) ??
    files.text(`/lib/modules/${release}/config`);
  return {
    release,
    version: parseVersion(release),
    config: text === undefined ? undefined : parseConfig(text),
  };
}

function decompress(bytes: Uint8Array<ArrayBuffer>): string | undefined {
  try {
    return new TextDecoder().decode(Bun.gunzipSync(bytes));
  } catch {
    return undefined;
  }
}

/** Returns the numbers of a release; a missing patch level is 0. */
function parseVersion(release: string): KernelVersion | undefined {
  const match = /^(\d+)\.(\d+)(?:\.(\d+))?/.exec(release);
  if (match === null) return undefined;
  return [Number(match[1]), Number(match[2]), Number(match[3] ?? 0)];
}

/** Returns the options that a configuration sets: lines `CONFIG_NAME=VALUE`. */
function parseConfig(text: string): Map<string, ConfigValue> {
  const options = new Map<string, ConfigValue>();
  for (const [, name = "", value = ""] of text.matchAll(/^(CONFIG_\w+)=(.*)$/gm)) {
    options.set(name, value);
  }
  return options;
}
