import { describe, expect, test } from "bun:test";
import { unknownCommandHint } from "../../../src/commands/foreign-words.ts";
import { COMMANDS } from "../../../src/commands/index.ts";

const NAMES = COMMANDS.map(({ name }) => name);
const hint = (word: string) => unknownCommandHint(word, NAMES);

describe("an unknown command", () => {
  test.each([
    ["run", "vsockbox exec TARGET -- COMMAND"],
    ["pull", "vsockbox cp TARGET:SRC DST"],
    ["push", "vsockbox cp SRC TARGET:DST"],
    ["scp", "vsockbox cp "],
    ["sftp", "vsockbox cp "],
    ["list", "vsockbox vms"],
    ["port-forward", "vsockbox forward TARGET -L "],
    ["nc", "vsockbox connect ADDRESS"],
    ["login", "vsockbox shell TARGET"],
    ["ssh", "vsockbox shell TARGET"],
    ["status", "vsockbox info TARGET"],
    ["inspect", "vsockbox info TARGET"],
    ["top", "vsockbox exec -t TARGET -- top"],
    ["log", "vsockbox logs TARGET ID"],
    ["SSH", "vsockbox shell TARGET"],
    ["reboot", "vsockbox shutdown --reboot TARGET"],
    ["poweroff", "vsockbox shutdown TARGET"],
    ["halt", "vsockbox shutdown TARGET"],
    ["del", "vsockbox rm TARGET:PATH"],
    ["rename", "vsockbox mv TARGET:SRC TARGET:DST"],
    ["version", "vsockbox --version"],
    ["vi", "vsockbox exec -t TARGET -- vi PATH"],

    ["dominfo", "vsockbox info TARGET"],
  ])("%s of another program leads to ours", (word, command) => {
    expect(hint(word)).toContain(`that is \`${command}`);
  });

  test.each(["ip", "df", "id", "cd", "pkill", "systemctl"])("%s runs in a guest", (word) => {
    expect(hint(word)).toBe(`\`vsockbox exec TARGET -- ${word}\` runs it in a guest`);
  });

  test.each(["start", "launch", "pause", "destroy", "prune", "stop"])("%s is explained", (word) => {
    expect(hint(word)).toMatch(/^(the VMM .*; )?`vsockbox /);
    expect(hint(word)).not.toContain("did you mean");
  });

  test.each([
    ["exce", "exec"],
    ["exe", "exec"],
    ["forwrd", "forward"],
    ["lss", "ls"],
    ["inf", "info"],
  ])("%s is a slip of %s", (word, command) => {
    expect(hint(word)).toBe(`did you mean \`vsockbox ${command}\`?`);
  });

  test("that is misspelled never leads to a command that destroys something", () => {
    const letters = "abcdefghijklmnopqrstuvwxyz-".split("");
    const words = new Set(["stop", "start", "restart", "delete", "remove"]);
    for (const name of ["rm", "kill", "shutdown"]) {
      for (let at = 0; at <= name.length; at++) {
        const [head, tail] = [name.slice(0, at), name.slice(at)];
        words
          .add(head)
          .add(head + tail.slice(1))
          .add(`${head}${tail.slice(1, 2)}${tail.slice(0, 1)}${tail.slice(2)}`);
        for (const letter of letters)
          words.add(head + letter + tail).add(head + letter + tail.slice(1));
      }
    }
    for (const word of words) {
      if (NAMES.includes(word)) continue;
      expect([word, hint(word)]).not.toEqual([
        word,
        expect.stringMatching(/\b(rm|kill|shutdown)\b/),
      ]);
    }
  });

  test("leads only to commands that there are", () => {
    for (const word of [
      "run",
      "pull",
      "list",
      "nc",
      "top",
      "status",
      "serve",
      "check",
      "initrd",
      "setup",
      "log",
      "device",
    ]) {
      const named = /`vsockbox ([a-z-]+)/.exec(hint(word))?.[1];
      expect([word, NAMES.includes(named ?? "")]).toEqual([word, true]);
    }
  });

  test.each(["qqqqqq", "", "constructor", "__proto__"])("%j has no meaning", (word) => {
    expect(hint(word)).toBe("`vsockbox --help` lists the commands");
  });
});
