/**
 * The words that comments, help, errors and documents do without, and how often a text has them. Each of
 * them stands in place of a more precise term: "send" or "report" for "tell", "after" for "behind".
 */

/** A habit of language, and what it hides. */
export interface Habit {
  name: string;
  pattern: RegExp;
  /** The terms to write instead. */
  instead: string;
  /** Whether it also has a right use, so that only its frequency is held, not each one. */
  hasRightUse?: true;
  /** Whether texts that users see do without it although comments may have it. */
  isNotInTexts?: true;
}

export const HABITS: readonly Habit[] = [
  {
    name: "tell, say (of programs)",
    pattern: /\b(?:tells?|told|telling|says?|said|saying)\b/gi,
    instead: "send, notify, report, log, print, return, contain, show",
  },
  {
    name: "take (= accept)",
    pattern: /\b(?:takes?|taken|taking|took)\b/gi,
    instead: "accept, read, consume, receive",
    hasRightUse: true,
  },
  {
    name: "give (= return)",
    pattern: /\b(?:gives?|given|giving|gave)\b/gi,
    instead: "return, produce, provide",
    hasRightUse: true,
  },
  { name: "behind (= after)", pattern: /\bbehind\b(?! a NAT)/gi, instead: "after, following" },
  { name: "room", pattern: /\brooms?\b/gi, instead: "free space, capacity, buffers" },
  {
    name: "somebody, nobody, whoever, who comes",
    pattern: /\b(?:somebody|nobody|whoever|anybody|everybody|who comes|who come)\b/gi,
    instead: "the peer, a client, no process, any user that",
  },
  {
    name: "is no, are none",
    pattern: /(?<!\bthere )\b(?:is|are|was|were) (?:no|none)\b(?! (?:longer|more|less|fewer)\b)/gi,
    instead: "is not a, does not exist, there are no",
    hasRightUse: true,
    isNotInTexts: true,
  },
  {
    name: "where (= if, when)",
    pattern: /\bwhere\b/gi,
    instead: "if, when",
    hasRightUse: true,
  },
  {
    name: "away, gone, leaves, last words, farewell, deaf",
    pattern: /\b(?:away|gone|leaves|last words|farewell|deaf)\b/gi,
    instead: "disconnected, closed, exits, shutdown, RST",
    hasRightUse: true,
  },
  {
    name: "what is …, that which",
    pattern: /\b(?:what (?:is|are|was|were|it|they)|that which|those who)\b/gi,
    instead: "the noun: unread bytes, excess traffic",
    hasRightUse: true,
  },
  {
    name: "mend, look at, look for",
    pattern: /\b(?:mend(?:s|ed|ing)?|look(?:s|ed|ing)? (?:at|for|into))\b/gi,
    instead: "fix, inspect, poll, watch",
  },
  {
    name: "machine",
    pattern: /\bmachines?\b/gi,
    instead: "connection state, VM, host, architecture",
    hasRightUse: true,
  },
  { name: "directory", pattern: /\bfolders?\b/gi, instead: "directory" },
  {
    name: "I (of the program)",
    pattern: /\bI(?:'m)? (?:am|can|cannot|do|know|have|will)\b/g,
    instead: "the passive, or the noun",
  },
];

/** Occurrences of each habit in a text. */
export function countHabits(text: string): Map<string, number> {
  return new Map(HABITS.map(({ name, pattern }) => [name, text.match(pattern)?.length ?? 0]));
}

/** The number of words in a text. */
export function countWords(text: string): number {
  return text.match(/[A-Za-z][A-Za-z'-]*/g)?.length ?? 0;
}

/** The comments of a source file in TypeScript, JavaScript, Go, Rust or C, without the code in them. */
export function commentsOf(source: string): string {
  const found = source.matchAll(
    /"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)'|`(?:[^`\\]|\\.)*`|\/\*[\s\S]*?\*\/|\/\/[^\n]*/g,
  );
  return [...found]
    .map(([text]) => text)
    .filter((text) => text.startsWith("/"))
    .map((text) => text.replace(/`[^`\n]*`/g, " ").replace(/^\s*\*|\/\*+|\*\/|\/\/+!?/gm, " "))
    .join("\n");
}

/** The sentences of a source file that users may see: literals of at least two words. */
export function sentencesOf(source: string): string[] {
  const code = source.replace(/\/\*[\s\S]*?\*\/|^\s*\/\/[^\n]*/gm, "");
  return [...code.matchAll(/"((?:[^"\\\n]|\\.)*)"|`((?:[^`\\]|\\.)*)`/g)]
    .map(([, plain, template]) => (plain ?? template ?? "").replace(/\$\{[^}]*\}/g, "…"))
    .filter((text) => /[a-z]+ [a-z]+/i.test(text) && !text.includes(" -> "));
}

/** The titles of tests and of groups of tests in a source file. */
export function titlesOf(source: string): string[] {
  const title =
    /(?:\b(?:test|describe\w*)(?:\.\w+)*(?:<[^>]*>)?\(\s*(?:\[[^\]]*\],\s*)?|\)\(\s*)"((?:[^"\\\n]|\\.)*)",/g;
  return [...source.matchAll(title)].map(([, text = ""]) => text);
}

/** The prose of a Markdown document: without code. */
export function proseOf(document: string): string {
  return document.replace(/^```[\s\S]*?^```/gm, "").replace(/`[^`\n]*`/g, " ");
}
