/** Options of mount(8) and fstab(5), as its `-o` has them. */
import { invalidValue } from "../../errors.ts";
import { EXPORT_NAME_RULE, isExportName } from "../../protocols/vfs/export-name.ts";
import { CACHE_MODES, type CacheMode } from "../../vfs/mount/cache-policy.ts";

/** What `-o` may set; undefined: the option of the command line counts. */
export interface FstabOptions {
  isReadOnly?: boolean;
  reconnects?: boolean;
  hasXattrs?: boolean;
  isShared?: boolean;
  checksPermissions?: boolean;
  cache?: CacheMode;
  exportName?: string;
}

/** Options that mount(8), systemd and other programs read, or that describe what is so anyway. */
const IGNORED = new Set(
  "auto async atime comment defaults dev diratime exec group _netdev noatime noauto nodev nodiratime nofail noiversion nomand nosuid nouser noowner nogroup owner relatime rw strictatime suid sync user users".split(
    " ",
  ),
);

const FLAGS: Readonly<Record<string, FstabOptions>> = {
  ro: { isReadOnly: true },
  reconnect: { reconnects: true },
  xattr: { hasXattrs: true },
  allow_other: { isShared: true },
  owner_only: { isShared: false },
  default_permissions: { checksPermissions: true },
  no_permissions: { checksPermissions: false },
};

/**
 * Reads a list of options with commas between; the last of several counts.
 *
 * @throws {VsockboxError} USAGE for an option that is not known, or a name that no export can have.
 */
export function readFstabOptions(text: string): FstabOptions {
  const found: FstabOptions = {};
  for (const word of text.split(",").filter((part) => part !== "")) {
    Object.assign(found, readOption(word));
  }
  return found;
}

function readOption(word: string): FstabOptions {
  const [name = "", value] = word.split(/=(.*)/s);
  if (IGNORED.has(name) || name.startsWith("x-")) return {};
  const flag = value === undefined && Object.hasOwn(FLAGS, name) ? FLAGS[name] : undefined;
  if (flag !== undefined) return flag;
  if (name === "export" && value !== undefined) {
    if (isExportName(value)) return { exportName: value };
    throw invalidValue({ value: word, name: "--options", message: `expected ${EXPORT_NAME_RULE}` });
  }
  const mode = name === "cache" ? CACHE_MODES.find((one) => one === value) : undefined;
  if (mode !== undefined) return { cache: mode };
  throw invalidValue({
    value: word,
    name: "--options",
    message: `expected ${Object.keys(FLAGS).join(", ")}, export=NAME or cache=${CACHE_MODES.join("|")}`,
  });
}

/** Letters of mount(8) for its helpers that mean nothing here: sloppy, fake, without mtab. */
const HELPER_LETTERS = /^-[sfn]+$/;
/** Those with a value: the type, and a namespace. */
const HELPER_VALUES = new Set(["-t", "-N"]);

/** Changes the words that mount(8) passes to `mount.vsockbox` into ours: a mount in the background. */
export function helperWords(words: readonly string[]): readonly string[] {
  const kept = words
    .map((word) => (word === "-o" ? "--options" : word))
    .filter(
      (word, index) =>
        !HELPER_LETTERS.test(word) &&
        !HELPER_VALUES.has(word) &&
        !HELPER_VALUES.has(words[index - 1] ?? ""),
    );
  return kept.includes("--daemon") ? kept : ["--daemon", ...kept];
}
