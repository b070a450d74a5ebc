/** The imports of the sources, read from their text. */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";

/** One import: which file has it, and what it names. */
export interface Import {
  /** Path below the root, such as `agent/client/agent-client.ts`. */
  from: string;
  /** Path below the root for a file of the tree, otherwise the module's name, such as `node:fs`. */
  to: string;
  /** Whether only types are imported. */
  isType: boolean;
  /** Whether it is a call `import()`, which loads the file when it is needed. */
  isLazy: boolean;
}

const STATIC = /^(?:import|export)\s+(type\s+)?(?:[^;"]*?\sfrom\s+)?"([^"]+)"/gm;
const LAZY = /(typeof )?\bimport\(\s*"([^"]+)"\s*\)/g;

/** Returns all TypeScript files below `root` but declarations, sorted. */
export function sourceFiles(root: string): string[] {
  return readdirSync(root, { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith(".ts") && !path.endsWith(".d.ts"))
    .sort();
}

/** Returns the imports of one file of `root`, in the order of its text. */
export function importsOf(root: string, from: string): Import[] {
  return readImports(from, readFileSync(join(root, from), "utf8"));
}

/** Returns the imports in the text of a file. */
export function readImports(from: string, text: string): Import[] {
  const code = withoutComments(text);
  const resolve = (name: string) =>
    name.startsWith(".") ? relative(".", join(dirname(from), name)) : name;
  return [
    ...[...code.matchAll(STATIC)].map(([, type, name = ""]) => ({
      from,
      to: resolve(name),
      isType: type !== undefined,
      isLazy: false,
    })),
    ...[...code.matchAll(LAZY)].map(([, type, name = ""]) => ({
      from,
      to: resolve(name),
      isType: type !== undefined,
      isLazy: type === undefined,
    })),
  ];
}

/** Examples in docstrings have imports too. */
function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, "");
}

/** Returns one circle of `edges` as the path that leads back to its start; undefined if there is none. */
export function findCircle(
  edges: ReadonlyMap<string, Iterable<string>>,
): readonly string[] | undefined {
  const finished = new Set<string>();
  const path: string[] = [];
  const visit = (node: string): readonly string[] | undefined => {
    const start = path.indexOf(node);
    if (start >= 0) return [...path.slice(start), node];
    if (finished.has(node)) return undefined;
    path.push(node);
    for (const next of edges.get(node) ?? []) {
      const circle = visit(next);
      if (circle !== undefined) return circle;
    }
    path.pop();
    finished.add(node);
    return undefined;
  };
  for (const node of edges.keys()) {
    const circle = visit(node);
    if (circle !== undefined) return circle;
  }
  return undefined;
}
