import { describe, expect, test } from "bun:test";
import { loadCommands } from "../../../src/commands/index.ts";
import { completionScript, SHELLS } from "../../../src/ui/completion.ts";

const commands = await loadCommands();

/** What bash offers for the last of the words, with the real script. */
function bashOffers(...words: string[]): string[] {
  const script = `${completionScript("bash", commands)}
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _vsockbox
printf '%s\\n' "\${COMPREPLY[@]}"`;
  const { stdout, stderr, exitCode } = Bun.spawnSync(["bash", "-c", script, "bash", ...words]);
  expect([stderr.toString(), exitCode]).toEqual(["", 0]);
  return stdout.toString().split("\n").filter(Boolean);
}

describe("completion in bash", () => {
  test("offers the commands that begin with a word", () => {
    expect(bashOffers("vsockbox", "sh")).toEqual([
      "shell",
      "shutdown",
      "shell-client",
      "share",
      "shell-server",
    ]);
    expect(bashOffers("vsockbox", "")).toContain("exec");
  });

  test("offers the options of a command, long and short", () => {
    expect(bashOffers("vsockbox", "exec", "3", "--no")).toEqual(["--no-stdin"]);
    expect(bashOffers("vsockbox", "cp", "-")).toEqual(
      expect.arrayContaining(["-r", "--recursive", "--help"]),
    );
    expect(bashOffers("vsockbox", "cp", "--detach")).toEqual([]);
  });

  test("offers the second word of a command, and that command's options", () => {
    expect(bashOffers("vsockbox", "hybrid-proxy", "")).toEqual(["status", "capture"]);
    expect(bashOffers("vsockbox", "hybrid-proxy", "status", "--w")).toEqual(["--watch"]);
  });

  test("offers a first word that is not a command itself", () => {
    expect(bashOffers("vsockbox", "ben")).toEqual(["bench"]);
    expect(bashOffers("vsockbox", "bench", "")).toEqual(["serve", "run"]);
    expect(bashOffers("vsockbox", "bench", "run", "--stre")).toEqual(["--streams"]);
    expect(completionScript("zsh", commands)).toContain("'bench:serve, run'");
    expect(completionScript("fish", commands)).toContain("-f -a 'bench' -d 'serve, run'");
  });

  test("offers the values of a choice, and leaves the rest to the files", () => {
    expect(bashOffers("vsockbox", "install", "--service", "s")).toEqual(["systemd"]);
    expect(bashOffers("vsockbox", "cp", "app")).toEqual([]);
  });
});

describe("the completion script", () => {
  test.each([...SHELLS])("of %s has every command and option", (shell) => {
    const script = completionScript(shell, commands);
    for (const { name, args } of commands) {
      for (const word of name.split(" ")) expect(script).toContain(word);
      for (const option of Object.keys(args)) {
        if (args[option]?.type !== "flag") continue;
        const long = option.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
        expect(script).toContain(shell === "fish" ? `-l ${long} ` : `--${long}`);
      }
    }
  });

  test.each([...SHELLS].filter((shell) => Bun.which(shell) !== null))(
    "of %s has no syntax error",
    (shell) => {
      const script = completionScript(shell, commands);
      const { stderr, exitCode } = Bun.spawnSync([shell, "-n", "-c", script]);
      expect([stderr.toString(), exitCode]).toEqual(["", 0]);
    },
  );

  test("of zsh escapes what its option lists would read as syntax", () => {
    const script = completionScript("zsh", commands);
    expect(script).toContain(
      String.raw`--env-file'[Set the variables of a file, one NAME=VALUE per line]:FILE:_files' \ `.trim(),
    );
    expect(script).toContain(String.raw`'*'{-L,--local}'[`);
    expect(script).toContain(String.raw`:\[BIND\:\]PORT\:HOST\:PORT:'`);
    expect(script).toContain("(auto systemd openrc");
  });

  test("of fish joins the words of a command with two", () => {
    expect(completionScript("fish", commands)).toContain(
      "-n '__fish_seen_subcommand_from hybrid-proxy; and __fish_seen_subcommand_from status' -l watch -r",
    );
  });
});
