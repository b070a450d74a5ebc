/** The router: the first word picks a command, which is loaded only then. */
import { runCommand, type SubCommandsDef } from "citty";
import { commandLineError } from "./errors.ts";
import { endOnQuit, surviveEndingSignals } from "./process/signals.ts";
import { aliasedCommand, isInit, subCommand } from "./commands/aliases.ts";
import { COMMANDS, loadCommands } from "./commands/index.ts";
import { ignoresStraySignals, isServer } from "./commands/lifetimes.ts";
import { asksFor } from "./ui/parse-words.ts";
import { print, printStyled, printJson, reportError } from "./ui/report.ts";
import { COMMIT, TARGET, VERSION } from "./version.ts";

async function main(programName: string, words: readonly string[]): Promise<number> {
  const [first, ...rest] = words;
  // Before the name is read: the executable may have been copied to another program's name.
  if (first?.startsWith("__") === true) {
    const { runInternal } = await import("./commands/internal-words.ts");
    const status = await runInternal(first);
    if (status !== undefined) return status;
  }
  if (isInit(programName, process.pid)) {
    const { runInit } = await import("./commands/guest/init-run.ts");
    return runInit();
  }
  const alias = aliasedCommand(programName);
  if (alias !== undefined) {
    return first === "--version" || first === "-V" ? version(rest) : run(alias, words);
  }
  switch (first) {
    case undefined:
    case "help":
    case "--help":
    case "-h":
      return help(rest[0] === undefined ? undefined : (subCommand(rest[0], rest[1]) ?? rest[0]));
    case "--version":
    case "-V":
      return version(rest);
    default:
      return run(first, rest);
  }
}

async function load(name: string) {
  const entry = COMMANDS.find((candidate) => candidate.name === name);
  if (entry !== undefined) return (await entry.load()).command;
  const { unknownCommandHint } = await import("./commands/foreign-words.ts");
  throw commandLineError(
    undefined,
    `unknown command ${JSON.stringify(name)}`,
    unknownCommandHint(
      name,
      COMMANDS.map((candidate) => candidate.name),
    ),
  );
}

/** Routes to the command of this name, or to the one that its first word stands for. */
async function run(name: string, words: readonly string[]): Promise<number> {
  const inner = subCommand(name, words[0]);
  if (inner !== undefined) return run(inner, words.slice(1));
  if (isGroup(name)) return await runGroup(name, words[0]);
  await load(name);
  let status = 0;
  const subCommands: SubCommandsDef = Object.fromEntries(
    COMMANDS.map(({ name: known }) => [
      known,
      {
        run: async () => {
          status = await runLoaded(known, words);
        },
      },
    ]),
  );
  // citty picks the command; its words have a parser of their own, which is strict.
  await runCommand({ subCommands }, { rawArgs: [name] });
  return status;
}

/** The commands whose names begin with this word and go on. */
function commandsOf(word: string) {
  return COMMANDS.filter(({ name }) => name.startsWith(`${word} `));
}

/** Whether this word alone is not a command: it begins the names of several. */
function isGroup(word: string): boolean {
  return COMMANDS.every(({ name }) => name !== word) && commandsOf(word).length > 0;
}

/** Prints the commands of a group, or reports the word that is not one of them. */
async function runGroup(name: string, word: string | undefined): Promise<number> {
  if (word === "--help" || word === "-h") return help(name);
  throw commandLineError(
    undefined,
    word === undefined
      ? `${name}: expected a command`
      : `unknown command ${JSON.stringify(`${name} ${word}`)}`,
    commandsOf(name)
      .map((inner) => `\`vsockbox ${inner.name}\``)
      .join(" or "),
  );
}

async function runLoaded(name: string, words: readonly string[]): Promise<number> {
  const command = await load(name);
  if (asksFor(command, words, "--help", "-h")) return help(name);
  if (isServer(name)) surviveEndingSignals();
  if (ignoresStraySignals(name)) {
    const { ignoreStraySignals } = await import("./process/service/stray-signals.ts");
    ignoreStraySignals();
    endOnQuit();
  }
  try {
    return await command.run(words);
  } catch (thrown) {
    // A program that asked for JSON receives it for an invalid command line too.
    if ("json" in command.args && asksFor(command, words, "--json")) {
      const { printJsonError } = await import("./commands/shared/json-error.ts");
      printJsonError(thrown);
    }
    throw thrown;
  }
}

async function help(name: string | undefined): Promise<number> {
  const { commandHelp, groupHelp, helpStyle, overview } = await import("./ui/help-text.ts");
  const style = helpStyle();
  let text: string;
  if (name === undefined) text = overview(await loadCommands(), VERSION, style);
  else if (isGroup(name)) text = groupHelp(name, await loadCommands(), style);
  else text = commandHelp(await load(name), style);
  printStyled(text.trimEnd());
  return 0;
}

function version(words: readonly string[]): number {
  if (words.length > 1 || (words.length === 1 && words[0] !== "--json")) {
    throw commandLineError(
      "--version",
      `unexpected argument ${JSON.stringify(words.find((word) => word !== "--json"))}`,
    );
  }
  if (words.length === 0) print(`vsockbox ${VERSION} (${COMMIT.slice(0, 12)})`);
  else printJson({ version: VERSION, commit: COMMIT, target: TARGET, bun: Bun.version });
  return 0;
}

try {
  process.exit(await main(process.argv0, process.argv.slice(2)));
} catch (thrown) {
  const { commandHint } = await import("./commands/shared/error-hints.ts");
  process.exit(reportError(thrown, commandHint(thrown)));
}
