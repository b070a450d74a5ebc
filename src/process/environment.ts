/** The environment that commands inherit, byte for byte. */
import { readFileSync } from "node:fs";

/** PATH of a command if nothing has set one, as in an init's empty environment. */
export const DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

const EQUALS = 0x3d;

/** Latin-1 has a character for every byte, so that byte strings can be keys. */
const keyOf = (bytes: Uint8Array) => Buffer.from(bytes).toString("latin1");

/** A setting as execve(2) receives it: `NAME=VALUE`. A setting without `=` is a name alone. */
export function splitSetting(setting: Uint8Array): { name: Uint8Array; value: Uint8Array } {
  const equals = setting.indexOf(EQUALS);
  const end = equals === -1 ? setting.length : equals;
  return { name: setting.subarray(0, end), value: setting.subarray(end + 1) };
}

/** The text of bytes; undefined if they are not UTF-8. */
export function decodeUtf8(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

function isSettings(
  added: Readonly<Record<string, string>> | readonly Uint8Array[],
): added is readonly Uint8Array[] {
  return Array.isArray(added);
}

/** An immutable set of environment variables. Names and values are bytes. */
export class Environment {
  readonly #settings: ReadonlyMap<string, Uint8Array>;

  private constructor(settings: ReadonlyMap<string, Uint8Array>) {
    this.#settings = settings;
  }

  /** An environment of `NAME=VALUE` settings; of equal names the last one counts. */
  static of(settings: Iterable<Uint8Array>): Environment {
    const map = new Map<string, Uint8Array>();
    for (const setting of settings) map.set(keyOf(splitSetting(setting).name), setting);
    return new Environment(map);
  }

  /** An environment of names and values in UTF-8. */
  static fromRecord(record: Readonly<Record<string, string>>): Environment {
    return Environment.of(
      Object.entries(record).map(([name, value]) => Buffer.from(`${name}=${value}`)),
    );
  }

  /** These variables and `added`, which replaces variables of the same name. */
  with(added: Readonly<Record<string, string>> | readonly Uint8Array[]): Environment {
    const more = isSettings(added) ? Environment.of(added) : Environment.fromRecord(added);
    return new Environment(new Map([...this.#settings, ...more.#settings]));
  }

  /** These variables without those of the names. */
  without(names: readonly string[]): Environment {
    const left = new Map(this.#settings);
    for (const name of names) left.delete(keyOf(Buffer.from(name)));
    return new Environment(left);
  }

  /** A variable's value; undefined if it is not set. */
  get(name: string): Uint8Array | undefined {
    const setting = this.#settings.get(keyOf(Buffer.from(name)));
    return setting && splitSetting(setting).value;
  }

  /** `NAME=VALUE` settings, for execve(2). */
  toSettings(): Uint8Array[] {
    return [...this.#settings.values()];
  }

  /** Names and values as text; undefined if one of them is not UTF-8. */
  toRecord(): Record<string, string> | undefined {
    const entries: [string, string][] = [];
    for (const setting of this.#settings.values()) {
      const text = decodeUtf8(setting);
      if (text === undefined) return undefined;
      const equals = text.indexOf("=");
      entries.push(equals === -1 ? [text, ""] : [text.slice(0, equals), text.slice(equals + 1)]);
    }
    return Object.fromEntries(entries);
  }
}

/** This process's environment, with a PATH in it. */
export function ownEnvironment(): Environment {
  return Environment.of([Buffer.from(`PATH=${DEFAULT_PATH}`), ...ownSettings()]);
}

/** The environment of this process byte for byte. The runtime's strings lose bytes that are not UTF-8. */
export function ownSettings(): Uint8Array[] {
  const decoded = Object.entries(process.env).flatMap(([name, value]) =>
    value === undefined ? [] : [`${name}=${value}`],
  );
  if (!decoded.some((setting) => setting.includes("\uFFFD"))) return decoded.map(toBytes);
  const raw = new Map(rawSettings().map((bytes) => [new TextDecoder().decode(bytes), bytes]));
  return decoded.map((setting) => raw.get(setting) ?? toBytes(setting));
}

const toBytes = (text: string): Uint8Array => new TextEncoder().encode(text);

/** The environment with which this process was started; empty without /proc. */
function rawSettings(): Uint8Array[] {
  try {
    return splitAtNul(readFileSync("/proc/self/environ"));
  } catch {
    return [];
  }
}

/** NUL-terminated strings, as proc(5) has the command line and the environment. */
export function splitAtNul(text: Uint8Array): Uint8Array[] {
  const strings: Uint8Array[] = [];
  let begin = 0;
  for (let end = text.indexOf(0); end !== -1; end = text.indexOf(0, begin)) {
    strings.push(text.subarray(begin, end));
    begin = end + 1;
  }
  return strings;
}
