/** Proposals for misspelled words. */

/** Words, or candidates, of at most this many letters may differ by one edit only. */
const SHORT_WORD_LETTERS = 4;

/**
 * Returns the candidate that the word is most likely a misspelling of: one that begins with the word,
 * or differs by at most two edits (one if the word or the candidate is short). An edit inserts, removes
 * or replaces a letter, or swaps two neighbours.
 */
export function closest(word: string, candidates: readonly string[]): string | undefined {
  const ranked = candidates
    .map((candidate) => ({
      candidate,
      distance: candidate.startsWith(word) && word.length > 1 ? 1 : editDistance(word, candidate),
    }))
    .filter(({ candidate, distance }) => distance <= allowedEdits(word, candidate))
    .sort((a, b) => a.distance - b.distance);
  return ranked[0]?.candidate;
}

/** Fewer than the word has letters: otherwise nothing of it need be left. */
function allowedEdits(word: string, candidate: string): number {
  const shorter = Math.min(word.length, candidate.length);
  return Math.min(shorter <= SHORT_WORD_LETTERS ? 1 : 2, word.length - 1);
}

/** The distance of optimal string alignment: Levenshtein's, with a swap of neighbours as one edit. */
function editDistance(a: string, b: string): number {
  const rows = [Array.from({ length: b.length + 1 }, (_, index) => index)];
  const at = (i: number, j: number) => rows[i]?.[j] ?? 0;
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    rows.push(row);
    for (let j = 1; j <= b.length; j++) {
      const replaced = at(i - 1, j - 1) + (a[i - 1] === b[j - 1] ? 0 : 1);
      const swaps = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      row.push(
        Math.min(
          replaced,
          at(i - 1, j) + 1,
          at(i, j - 1) + 1,
          swaps ? at(i - 2, j - 2) + 1 : Infinity,
        ),
      );
    }
  }
  return at(a.length, b.length);
}
