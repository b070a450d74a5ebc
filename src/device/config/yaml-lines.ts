/**
 * In which lines of a YAML text the VMs and their keys stand, which the parser does not tell, and
 * which keys stand there twice, of which the parser gives the last one only. Block style alone: for
 * other texts the answer is empty or shorter, never an error.
 */

/** A VM of the list. */
export interface VmLocation {
  /** From 1. */
  line: number;
  /** The lines of each key, by the key with `-` for `_`. */
  keys: Map<string, number[]>;
}

const ITEM = /^( *)-( +)(?=\S)/;
const KEY = /^( *)(?:"([\w-]+)"|'([\w-]+)'|([\w-]+)) *:(?: |$)/;

/** The VMs below `vms:`, in order. */
export function locateVms(text: string): VmLocation[] {
  const found: VmLocation[] = [];
  let itemIndent: number | undefined;
  let keyIndent = 0;
  let inList = false;
  for (const [index, line] of text.split(/\r\n|\n|\r/).entries()) {
    if (/^ *(#|$)/.test(line)) continue;
    const item: RegExpExecArray | null = inList ? ITEM.exec(line) : null;
    const indent = item?.[1]?.length ?? 0;
    if (item !== null && indent === (itemIndent ?? indent)) {
      itemIndent = indent;
      keyIndent = item[0].length;
      found.push({ line: index + 1, keys: new Map() });
    } else if (/^\S/.test(line)) {
      inList = /^(vms|"vms"|'vms') *: *(#.*)?$/.test(line);
      continue;
    }
    const key = KEY.exec(item === null ? line : line.replace("-", " "));
    const keys = found.at(-1)?.keys;
    if (!inList || key === null || keys === undefined || key[1]?.length !== keyIndent) continue;
    const name = (key[2] ?? key[3] ?? key[4] ?? "").replaceAll("_", "-");
    keys.set(name, [...(keys.get(name) ?? []), index + 1]);
  }
  return found;
}
