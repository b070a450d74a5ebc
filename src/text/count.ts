/** Counts of things, with the noun in its number. */

/**
 * Returns a count and its noun: `1 session`, `2 sessions`, `0 sessions`.
 *
 * @param plural the noun for all counts but one; default: with an s at the end.
 */
export function countOf(count: number, singular: string, plural = `${singular}s`): string {
  return `${count} ${count === 1 ? singular : plural}`;
}
