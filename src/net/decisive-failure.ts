/** Which of several failures explains why none of a host's addresses could be connected to. */

/** Errors of an address that this system cannot reach at all, often since it has no IPv6. */
const UNUSABLE_ERRNOS: ReadonlySet<string | undefined> = new Set([
  "EADDRNOTAVAIL",
  "EAFNOSUPPORT",
  "ENETUNREACH",
]);

/** Returns the first failure of an address that this system can reach; the first of all without one. */
export function decisiveFailure<E extends { errno: string | undefined }>(
  failures: readonly E[],
): E | undefined {
  return failures.find(({ errno }) => !UNUSABLE_ERRNOS.has(errno)) ?? failures[0];
}
