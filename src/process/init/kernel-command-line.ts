/** Parameters for init and for modules in the kernel's command line, /proc/cmdline. */

/** Splits into words; `"` keeps blanks together: Documentation/admin-guide/kernel-parameters.rst. */
export function kernelWords(line: string): string[] {
  return [...line.matchAll(/(?:"[^"]*"?|[^\s"])+/g)].map(([word]) => word.replaceAll('"', ""));
}

/** The words after `--`: arguments of init. */
export function initArguments(words: readonly string[]): string[] {
  const at = words.indexOf("--");
  return at === -1 ? [] : words.slice(at + 1);
}

/**
 * The parameters of a module. The kernel reads `NAME.PARAMETER=VALUE` for built-in modules; a program that
 * loads a module has to hand them on. Hyphens and underscores of the name are the same.
 *
 * @returns as in "device=512@0xfeb00e00:12 debug=1".
 */
export function moduleParameters(words: readonly string[], module: string): string {
  const at = words.indexOf("--");
  return words
    .slice(0, at === -1 ? words.length : at)
    .flatMap((word) => {
      const match = /^([\w-]+)\.(.+)$/s.exec(word);
      if (match?.[1]?.replaceAll("-", "_") !== module) return [];
      const parameter = match[2] ?? "";
      return [/\s/.test(parameter) ? parameter.replace(/=(.*)$/s, '="$1"') : parameter];
    })
    .join(" ");
}
