/** The indefinite article of a name. */

/** Returns the name after its article: `an Exec`, `a Stdin`. For names that are pronounced as spelled. */
export function withArticle(name: string): string {
  return `${/^[aeiou]/i.test(name) ? "an" : "a"} ${name}`;
}
