/** Lengths of functions in formatted sources: from the line that opens a block to the one that closes it. */

/** A function, or the callback of a test or of a group of tests. */
export interface MeasuredFunction {
  kind: "group" | "test" | "function";
  /** The line that opens it, from 1. */
  line: number;
  /** Lines of its body. */
  lineCount: number;
}

/** Ends of lines that open the body of a function; the formatter puts each closing brace below. */
const OPENS = /(?:=>|\)(?:: [^=;]+)?) \{$/;
const STATEMENT = /^\s*(?:\} )?(?:if|for|while|switch|catch|else|try|do|return|throw|class)\b/;

/** Returns the functions of a source, in the order of their first lines. */
export function measuredFunctions(source: string): MeasuredFunction[] {
  const lines = source.split("\n");
  return lines.flatMap((text, index) => {
    if (!OPENS.test(text) || STATEMENT.test(text)) return [];
    const indent = /^\s*/.exec(text)?.[0] ?? "";
    const end = lines.findIndex((other, at) => at > index && other.startsWith(`${indent}}`));
    const lineCount = end === -1 ? 0 : end - index - 1;
    return [{ kind: kindOf(lines, index), line: index + 1, lineCount }];
  });
}

function kindOf(lines: readonly string[], index: number): MeasuredFunction["kind"] {
  const text = lines[index] ?? "";
  const isCallback = text.endsWith("=> {");
  if (!isCallback) return "function";
  // A call whose arguments are on lines of their own begins above.
  for (const line of [text, lines[index - 1] ?? ""]) {
    const call = /\b(describe|test)\w*(?:\.\w+)*[<(]/.exec(line)?.[1];
    if (call !== undefined) return call === "test" ? "test" : "group";
  }
  if (/^\s*\]?.*\)\("/.test(text)) return groupOrTest(lines, index);
  return "function";
}

/** The kind of `])("title", … => {`: that of the nearest call above with less or equal indentation. */
function groupOrTest(lines: readonly string[], index: number): MeasuredFunction["kind"] {
  for (let at = index; at >= 0; at--) {
    const call = /^\s*(describe|test)\b/.exec(lines[at] ?? "")?.[1];
    if (call !== undefined) return call === "test" ? "test" : "group";
  }
  return "function";
}
