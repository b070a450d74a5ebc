/** All workloads, in the order of the table. */
import { APPENDS, FIO, HOLES, MAPS, REPLACED_FILES } from "./files.ts";
import { GIT } from "./git.ts";
import { MAKE } from "./make.ts";
import { NPM } from "./npm.ts";
import { SQLITE } from "./sqlite.ts";
import { ARCHIVES, LONG_PATHS, NAMES_OF_ANY_BYTES } from "./trees.ts";
import type { Workload } from "./workload.ts";

export const WORKLOADS: readonly Workload[] = [
  ...[GIT, NPM, ARCHIVES, HOLES, REPLACED_FILES, APPENDS, MAPS, NAMES_OF_ANY_BYTES],
  ...[LONG_PATHS, SQLITE, MAKE, FIO],
];
