/** Completion scripts for shells, made from the definitions of the commands. */
import type { Command } from "./command-definition.ts";
import { type ListedArgument, listOptions } from "./option-term.ts";

/** The shells that have a completion script. */
export const SHELLS = ["bash", "zsh", "fish"] as const;

/** One of {@link SHELLS}. */
export type CompletionShell = (typeof SHELLS)[number];

/** Returns the script that adds the completion of vsockbox to a shell. */
export function completionScript(shell: CompletionShell, commands: readonly Command[]): string {
  switch (shell) {
    case "bash":
      return bashScript(commands);
    case "zsh":
      return zshScript(commands);
    case "fish":
      return fishScript(commands);
  }
}

const optionsOf = ({ args }: Command) => listOptions(args).flatMap(({ list }) => list);

/** Both forms of an option, the short one first. */
const formsOf = ({ short, long }: ListedArgument) =>
  short === undefined ? [long] : [`-${short}`, long];

/** Returns the words that may follow a word: the names of commands have two words at most. */
function secondWords(commands: readonly Command[], first: string): string[] {
  return commands
    .map(({ name }) => name.split(" "))
    .filter(([word, second]) => word === first && second !== undefined)
    .map(([, second = ""]) => second);
}

const firstWords = (commands: readonly Command[]) =>
  firstCommands(commands).map(({ name }) => name);

/** The first words of all commands; one that is not a command itself has its second words as its summary. */
function firstCommands(commands: readonly Command[]): Pick<Command, "name" | "summary">[] {
  const found = new Map<string, Pick<Command, "name" | "summary">>();
  for (const command of commands) {
    const [first = "", second] = command.name.split(" ");
    if (second === undefined) found.set(first, command);
    else if (!found.has(first)) {
      found.set(first, { name: first, summary: secondWords(commands, first).join(", ") });
    }
  }
  return [...found.values()];
}

/** Returns a text as one word of any of the shells. */
function quote(text: string): string {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`;
}

function bashScript(commands: readonly Command[]): string {
  const replies = (list: readonly string[]) =>
    `COMPREPLY=($(compgen -W ${quote(list.join(" "))} -- "$current")); return`;
  const doubles = firstWords(commands).filter((first) => secondWords(commands, first).length > 0);
  const nested = commands.filter(({ name }) => name.includes(" ")).map(({ name }) => quote(name));
  const values = commands.flatMap((command) =>
    optionsOf(command).flatMap((listed) =>
      formsOf(listed).flatMap((form) => bashValues(command.name, form, listed)),
    ),
  );
  return `${[
    "# Completion of vsockbox for bash: source this file, or install it as",
    "# /usr/share/bash-completion/completions/vsockbox.",
    "_vsockbox() {",
    "  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}",
    "  local command=${COMP_WORDS[1]}",
    "  COMPREPLY=()",
    '  if [ "$COMP_CWORD" -eq 1 ]; then',
    `    ${replies([...firstWords(commands), "help", "--help", "--version"])}`,
    "  fi",
    '  case "${COMP_WORDS[1]} ${COMP_WORDS[2]}" in',
    `    ${nested.join("|")}) command="\${COMP_WORDS[1]} \${COMP_WORDS[2]}" ;;`,
    "  esac",
    '  case "$command $previous" in',
    ...values,
    "  esac",
    '  case "$current" in',
    "    -*)",
    '      case "$command" in',
    ...commands.map(
      (command) =>
        `        ${quote(command.name)}) ${replies(optionsOf(command).flatMap(formsOf))} ;;`,
    ),
    "      esac",
    "      ;;",
    "    *)",
    '      case "$COMP_CWORD $command" in',
    ...doubles.map(
      (first) => `        ${quote(`2 ${first}`)}) ${replies(secondWords(commands, first))} ;;`,
    ),
    "      esac",
    "      ;;",
    "  esac",
    "}",
    "complete -o default -F _vsockbox vsockbox",
  ].join("\n")}\n`;
}

/** The values of an option, if they can be listed. */
function bashValues(command: string, form: string, { argument }: ListedArgument): string[] {
  if (argument.choices === undefined) return [];
  const words = quote(argument.choices.join(" "));
  return [
    `    ${quote(`${command} ${form}`)}) COMPREPLY=($(compgen -W ${words} -- "$current")); return ;;`,
  ];
}

function zshScript(commands: readonly Command[]): string {
  const names = firstCommands(commands);
  return `${[
    "#compdef vsockbox",
    "# Completion of vsockbox for zsh: install it as _vsockbox in a directory of $fpath.",
    "_vsockbox() {",
    "  local -a commands",
    "  commands=(",
    ...names.map(
      ({ name, summary }) => `    ${quote(`${name}:${summary.replaceAll(":", "\\:")}`)}`,
    ),
    "  )",
    "  if (( CURRENT == 2 )); then",
    "    _describe command commands",
    "    return",
    "  fi",
    "  local command=${words[2]}",
    "  shift words; (( CURRENT-- ))",
    "  if (( CURRENT > 2 )); then",
    '    case "$command ${words[2]}" in',
    `      ${commands
      .filter(({ name }) => name.includes(" "))
      .map(({ name }) => quote(name))
      .join("|")}) command="$command \${words[2]}"; shift words; (( CURRENT-- )) ;;`,
    "    esac",
    "  fi",
    '  case "$command" in',
    ...commands.flatMap((command) => [
      `    ${quote(command.name)})`,
      "      _arguments -s \\",
      ...optionsOf(command).map((listed) => `        ${zshOption(listed)} \\`),
      "        '*:argument:_default'",
      "      ;;",
    ]),
    "  esac",
    "}",
    '_vsockbox "$@"',
  ].join("\n")}\n`;
}

function zshOption(listed: ListedArgument): string {
  const { short, long, valueName, argument } = listed;
  const escaped = (text: string) => text.replaceAll(/[[\]:\\]/g, (character) => `\\${character}`);
  const action = zshAction(listed);
  const value = valueName === "" ? "" : `:${escaped(valueName)}:${action}`;
  const text = quote(`[${escaped(argument.summary)}]${value}`);
  const repeated = argument.isRepeatable ? "'*'" : "";
  return short === undefined
    ? `${repeated}${long}${text}`
    : `${repeated}{-${short},${long}}${text}`;
}

function zshAction({ argument: { choices, completes } }: ListedArgument): string {
  if (choices !== undefined) return `(${choices.join(" ")})`;
  if (completes === undefined) return "";
  return completes === "file" ? "_files" : "_files -/";
}

function fishScript(commands: readonly Command[]): string {
  const first = firstCommands(commands);
  return `${[
    "# Completion of vsockbox for fish: install it as",
    "# ~/.config/fish/completions/vsockbox.fish.",
    ...first.map(
      ({ name, summary }) =>
        `complete -c vsockbox -n __fish_use_subcommand -f -a ${quote(name)} -d ${quote(summary)}`,
    ),
    ...commands.flatMap((command) =>
      optionsOf(command).map((listed) => fishOption(command, listed)),
    ),
  ].join("\n")}\n`;
}

function fishOption(
  { name }: Command,
  { short, long, valueName, argument }: ListedArgument,
): string {
  const condition = name
    .split(" ")
    .map((word) => `__fish_seen_subcommand_from ${word}`)
    .join("; and ");
  return [
    `complete -c vsockbox -n ${quote(condition)}`,
    ...(short === undefined ? [] : [`-s ${short}`]),
    `-l ${long.slice("--".length)}`,
    ...(valueName === "" ? [] : ["-r"]),
    ...(argument.choices === undefined ? [] : [`-f -a ${quote(argument.choices.join(" "))}`]),
    `-d ${quote(argument.summary)}`,
  ].join(" ");
}
