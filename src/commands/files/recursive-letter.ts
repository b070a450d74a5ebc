/** `-R` of cp(1) and rm(1), which there means the same as `-r`. */

/** Writes `-R` as `-r`, also among joined letters; words after `--` are unchanged. */
export function withRecursiveLetter(words: readonly string[]): string[] {
  const end = words.indexOf("--");
  return words.map((word, index) => {
    const isLetters = /^-[A-Za-z]+$/.test(word) && (end === -1 || index < end);
    return isLetters ? word.replaceAll("R", "r") : word;
  });
}
