/** Reading the output of pjdfstest, for tests/vfs-suites.ts. */

/** The variable that is set in the mount namespace of the suites. */
export const NAMESPACED = "VSOCKBOX_VFS_SUITES";

/** Results of a run. */
export interface SuiteSummary {
  passed: number;
  skipped: number;
  /** Names of the failed cases, sorted. */
  failed: string[];
}

/** Reads lines such as `unlink::eisdir   ok`. */
export function summaryOf(output: string): SuiteSummary {
  const cases = [...output.matchAll(/^(\w+(?:::\w+)+)\s+(ok|FAILED|skipped)$/gm)];
  const named = (result: string) => cases.filter((one) => one[2] === result).map((one) => one[1]);
  return {
    passed: named("ok").length,
    skipped: named("skipped").length,
    failed: named("FAILED")
      .filter((name) => name !== undefined)
      .toSorted(),
  };
}
