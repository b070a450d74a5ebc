/** Values of the commands about directories are checked with the command line, before anything is opened. */
import { expect, test } from "bun:test";
import { loadCommands } from "../../../src/commands/index.ts";

const commands = new Map((await loadCommands()).map((command) => [command.name, command]));
const SOCKET = "unix:/nonexistent/x.sock";

test.each([
  ["mount /work --type ext4", 'invalid value "ext4" for --type: expected a type such as fuse.'],
  ["mount /work --type fuse.", 'invalid value "fuse." for --type'],
  ["mount /work --type fuse.a,b", 'invalid value "fuse.a,b" for --type'],
  ["mount /work --options ro,huh", 'invalid value "huh" for --options'],
  ["mount /work --options export=a/b", 'invalid value "export=a/b" for --options: expected a name'],
  ["mount /work --export a/b", 'invalid value "a/b" for --export: expected a name of at most 255'],
  ["mount /work --go-root work", 'invalid value "work" for --go-root: expected an absolute path'],
  ["mount /work --cache much", 'invalid value "much" for --cache'],
  ["mount /work --wait soon", 'invalid value "soon" for --wait'],
  ["export . --as a/b", 'invalid value "a/b" for --as: expected a name of at most 255 characters'],
  ["export . --hide a/b", 'invalid value "a/b" for --hide: expected a name without a slash'],
  ["export . --mount-point work", 'invalid value "work" for --mount-point'],
  ["export . --metrics x", 'invalid value "x" for --metrics: expected HOST:PORT or unix:PATH'],
  ["export . --squash 1", 'invalid value "1" for --squash'],
  ["export . --listen a/b", 'cannot parse address "a/b"'],
  ["export . --allow-cid x", 'invalid value "x" for --allow-cid'],
  ["share . 3:/work --hide a/b", 'invalid value "a/b" for --hide'],
  ["share . 3:/work --cache much", 'invalid value "much" for --cache'],
  ["watch 3:/work --exclude a/b", 'invalid value "a/b" for --exclude: expected a name without'],
  ["watch 3:/work --exclude b/", 'invalid value "b/" for --exclude'],
  ["sync . 3:/work --exclude a/b", 'invalid value "a/b" for --exclude'],
  ["sync . 3:/work --watch --debounce soon", 'invalid value "soon" for --debounce'],
  ["sync . 3:/work --debounce 1s", "sync: --debounce requires --watch"],
  [`bench run ${SOCKET} --test all`, 'invalid value "all" for --test'],
  [`bench run ${SOCKET} --streams 65`, 'invalid value "65" for --streams'],
  [`bench serve ${SOCKET} --max-clients 0`, 'invalid value "0" for --max-clients'],
])("vsockbox %s", (line, message) => {
  const words = line.split(" ");
  const command = commands.get(words[0] ?? "") ?? commands.get(words.slice(0, 2).join(" "));
  const rest = words.slice(command?.name.split(" ").length);
  expect(() => command?.parse(rest)).toThrow(message);
});

test("values that the kernel or an address can carry are accepted", () => {
  const mount = commands.get("mount");
  const parse = (...words: string[]) => mount?.parse(["/work", ...words]);
  expect(parse("--type", "fuse.src-1.2")).toMatchObject({ type: "fuse.src-1.2" });
  expect(parse("--options", "ro,export=my data")).toMatchObject({
    options: { isReadOnly: true, exportName: "my data" },
  });
  expect(parse()).toMatchObject({ type: "fuse.vsockbox", options: undefined, export: undefined });
  const exported = commands.get("export")?.parse([".", "--as", "a:b", "--hide", "*.pem"]);
  expect(exported).toMatchObject({ as: ["a:b"], hide: ["*.pem"] });
});
