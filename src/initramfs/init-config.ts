/**
 * What the init of an image is to do: a small JSON file in the image. Bytes in, values out.
 *
 * ```json
 * {
 *   "version": 1,
 *   "kernel": "6.1.0-13-amd64",
 *   "modules": ["vsock", "vmw_vsock_virtio_transport_common"],
 *   "mounts": [{ "source": "src", "directory": "/work" }],
 *   "command": ["agent"],
 *   "on_exit": "poweroff"
 * }
 * ```
 */
import { VsockboxError } from "../errors.ts";
import { parseJson } from "../json/bounded-json.ts";

/** Its path in the image. */
export const INIT_CONFIG_PATH = "/etc/vsockbox/init.json";

/** Actions after the command's end. */
export const EXIT_ACTIONS = ["poweroff", "reboot", "halt", "restart"] as const;

/** One of {@link EXIT_ACTIONS}. */
export type ExitAction = (typeof EXIT_ACTIONS)[number];

/** A directory of the host that the guest mounts. */
export interface InitMount {
  /** What `vsockbox mount` calls the source; undefined: the host's first export. */
  source: string | undefined;
  /** Absolute path in the guest. */
  directory: string;
}

/** What the init does. */
export interface InitConfig {
  /** The version of Linux that the modules are for, as `uname -r` prints it; undefined without modules. */
  kernel: string | undefined;
  /** Names of packed modules, in load order. */
  modules: readonly string[];
  /** Mounted before the command is run. */
  mounts: readonly InitMount[];
  /** Words of vsockbox's command line, or a program that begins with `/` and its arguments. */
  command: readonly [string, ...string[]];
  /** What comes when that ends. */
  onExit: ExitAction;
}

/** The defaults. */
export const DEFAULT_INIT_CONFIG: InitConfig = {
  kernel: undefined,
  modules: [],
  mounts: [],
  command: ["agent"],
  onExit: "poweroff",
};

/** The number of this format. */
const VERSION = 1;

/** To be put at {@link INIT_CONFIG_PATH}. */
export function encodeInitConfig(config: InitConfig): Uint8Array {
  const { kernel, modules, command, onExit } = config;
  const mounts = config.mounts.length === 0 ? undefined : config.mounts;
  const fields = { version: VERSION, kernel, modules, mounts, command, on_exit: onExit };
  return new TextEncoder().encode(`${JSON.stringify(fields, undefined, 2)}\n`);
}

/**
 * Parses the file. Missing fields are as in {@link DEFAULT_INIT_CONFIG}; unknown fields are ignored.
 *
 * @throws {VsockboxError} CONFIG, naming the field that is wrong.
 */
export function decodeInitConfig(bytes: Uint8Array): InitConfig {
  const fields = objectOf(bytes);
  if (fields["version"] !== VERSION) {
    throw wrong(
      `version is ${JSON.stringify(fields["version"])}, and this program reads ${VERSION}`,
    );
  }
  const { kernel } = fields;
  if (kernel !== undefined && typeof kernel !== "string") throw wrong("kernel is not a string");
  const modules = fields["modules"] ?? DEFAULT_INIT_CONFIG.modules;
  // They become file names.
  if (!isWords(modules) || modules.some((name) => !/^\w+$/.test(name))) {
    throw wrong("modules is not a list of module names");
  }
  const command = fields["command"] ?? DEFAULT_INIT_CONFIG.command;
  if (!isWords(command) || !hasFirst(command)) throw wrong("command is not a list of words");
  const onExit = EXIT_ACTIONS.find(
    (action) => action === (fields["on_exit"] ?? DEFAULT_INIT_CONFIG.onExit),
  );
  if (onExit === undefined) throw wrong(`on_exit is not one of ${EXIT_ACTIONS.join(", ")}`);
  return { kernel, modules, mounts: mountsOf(fields["mounts"] ?? []), command, onExit };
}

function mountsOf(value: unknown): InitMount[] {
  const list: readonly unknown[] = Array.isArray(value) ? value : [undefined];
  return list.map((one) => {
    const { source, directory } = (typeof one === "object" && one !== null ? one : {}) as {
      readonly [key: string]: unknown;
    };
    const isSource = source === undefined || (typeof source === "string" && isWords([source]));
    if (isSource && isWords([directory]) && (directory as string).startsWith("/")) {
      return { source, directory: directory as string };
    }
    throw wrong("mounts is not a list of sources and absolute directories");
  });
}

function objectOf(bytes: Uint8Array): Record<string, unknown> {
  let value: unknown;
  try {
    value = parseJson("instructions", bytes);
  } catch (cause) {
    throw wrong("it is not JSON", cause);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw wrong("it is not a JSON object");
  }
  return { ...value };
}

function isWords(value: unknown): value is string[] {
  return (
    Array.isArray(value) &&
    value.every((word) => typeof word === "string" && word !== "" && !word.includes("\0"))
  );
}

function hasFirst(words: string[]): words is [string, ...string[]] {
  return words.length > 0;
}

function wrong(message: string, cause?: unknown): VsockboxError {
  return new VsockboxError({
    code: "CONFIG",
    operation: "read",
    address: INIT_CONFIG_PATH,
    message,
    hint: "`vsockbox initramfs` writes it",
    cause,
  });
}
