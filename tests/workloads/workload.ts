/** What a workload of tests/vfs-workloads.ts works with, and how its content is compared. */
import { existsSync } from "node:fs";
import { join } from "node:path";

/** A directory of an export, of its own for a workload: on the host, and on the mount. */
export interface WorkPlace {
  /** The directory on the host. */
  readonly source: string;
  /** A directory of the host that is not exported. */
  readonly scratch: string;
  /** The compiled tests/fixtures/workload-files.c, seen from the directory on the mount. */
  readonly program: string;
  /** The same program on the host. */
  readonly hostProgram: string;
  /** Whether a change on the host is visible on the mount: not with `--cache always`. */
  readonly seesHostChanges: boolean;
  /** Whether the mount's programs run on an emulated processor. */
  readonly isEmulated: boolean;
  /** Runs a line of bash in the directory on the mount, and returns its output; any other status than 0 is an error. */
  mounted(line: string): Promise<string>;
  /** Runs a line of bash in the directory on the host. */
  host(line: string): Promise<string>;
}

/** Programs at work in a directory. */
export interface Workload {
  name: string;
  /** Programs that it needs. */
  programs: readonly string[];
  /** @throws an error with the reason if anything is not as on a local file system. */
  run(place: WorkPlace): Promise<void>;
}

/** Variables of all commands: no configuration of this machine's user, and one identity for git. */
export const ENVIRONMENT: Readonly<Record<string, string>> = {
  LC_ALL: "C",
  TZ: "UTC",
  GIT_CONFIG_NOSYSTEM: "1",
  GIT_CONFIG_COUNT: "1",
  GIT_CONFIG_KEY_0: "safe.directory",
  GIT_CONFIG_VALUE_0: "*",
  GIT_AUTHOR_NAME: "a",
  GIT_AUTHOR_EMAIL: "a@example.org",
  GIT_COMMITTER_NAME: "a",
  GIT_COMMITTER_EMAIL: "a@example.org",
  npm_config_audit: "false",
  npm_config_fund: "false",
  npm_config_offline: "true",
  npm_config_update_notifier: "false",
};

/** A line of bash that prints the names below the working directory, with facts; directories have no sizes. */
export const LISTING = `find . -mindepth 1 \\( -type d -printf '%P %y %m %T@\\n' -o -printf '%P %y %m %n %s %T@ %l\\n' \\) | sort`;

/** The same without times. */
export const LISTING_WITHOUT_TIMES = LISTING.replaceAll(" %T@", "");

/** A line of bash that prints the hash of each file below the working directory. */
export const HASHES = "find . -type f -print0 | sort -z | xargs -0r sha256sum";

const SHOWN_CHARACTERS = 200;

/** @throws an error with the first line that differs. */
export function expectSame(what: string, actual: string, expected: string): void {
  if (actual === expected) return;
  const [lines, wanted] = [actual.split("\n"), expected.split("\n")];
  const at = lines.findIndex((line, index) => line !== wanted[index]);
  const show = (line: string | undefined) => JSON.stringify(line?.slice(0, SHOWN_CHARACTERS));
  throw new Error(`${what}: ${show(lines[at])} instead of ${show(wanted[at])}`);
}

/** @throws an error if the condition does not hold. */
export function expectThat(what: string, holds: boolean): void {
  if (!holds) throw new Error(`not so: ${what}`);
}

/** @throws an error unless nothing has this name in the directory on the host. */
export function expectRemoved(place: WorkPlace, name: string): void {
  expectThat(`the host has no ${name}`, !existsSync(join(place.source, name)));
}
