/** Text on a terminal, cut to its width. */

/** Truncates a text to the columns: some characters have two columns, some none. */
export function cutToColumns(text: string, columns: number): string {
  if (Bun.stringWidth(text) <= columns) return text;
  let width = 0;
  for (const { segment, index } of new Intl.Segmenter().segment(text)) {
    width += Bun.stringWidth(segment);
    if (width > columns) return text.slice(0, index);
  }
  return text;
}
