/** An empty value is an error in every option but those for which it has a meaning. */
import { expect, test } from "bun:test";
import { loadCommands } from "../../../src/commands/index.ts";
import { kebabCase } from "../../../src/ui/argument.ts";

/** Options that accept the empty text: no token, a shell line without a command, no arguments. */
const EMPTY_OPTIONS = ["agent-args", "command", "shell", "token-file"];

const options = (await loadCommands()).flatMap(({ name: command, args }) =>
  Object.entries(args).flatMap(([key, argument]) =>
    argument.type === "option" ? [{ command, name: kebabCase(key), argument }] : [],
  ),
);

function acceptsEmpty({ name, argument }: (typeof options)[number]): boolean {
  try {
    argument.read([""], `--${name}`);
    return true;
  } catch (thrown) {
    expect(thrown).toMatchObject({ code: "USAGE" });
    return false;
  }
}

test("an option refuses the empty value unless it has a meaning", () => {
  const accepting = options.filter(acceptsEmpty).map(({ name }) => name);
  expect([...new Set(accepting)].toSorted()).toEqual(EMPTY_OPTIONS);
  for (const name of ["user", "cwd"]) expect(options.map((option) => option.name)).toContain(name);
});
