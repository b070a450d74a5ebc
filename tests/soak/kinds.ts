/** Every kind of session that a soak runs, as command lines of the executable under test. */

/** Where the services listen, and a directory for files. */
export interface Places {
  agent: string;
  shellServer: string;
  /** The agent of a guest that hangs on the device; undefined without a guest. */
  guest: string | undefined;
  directory: string;
  /** A file of some megabytes. */
  file: string;
  /** A directory with a few files. */
  tree: string;
}

/** One kind of session. */
export interface Kind {
  name: string;
  /** Makes the arguments; `id` is another one for each session. */
  args(places: Places, id: string): string[];
  /** What goes to standard input; undefined: nothing. */
  input?: string;
  /** Whether it runs on a terminal, with `input` typed. */
  terminal?: boolean;
  /** Whether only a signal ends it. */
  endless?: boolean;
  /** What `places` must have. */
  needsGuest?: boolean;
}

const bulk = "x".repeat(1_000_000);

/** All kinds. */
export const KINDS: readonly Kind[] = [
  { name: "exec", args: ({ agent }) => ["exec", agent, "-n", "--", "echo", "hello"] },
  { name: "exec with input", args: ({ agent }) => ["exec", agent, "--", "cat"], input: bulk },
  {
    name: "exec with output",
    args: ({ agent }) => ["exec", agent, "-n", "--", "head", "-c", "20000000", "/dev/zero"],
  },
  {
    name: "exec --json",
    args: ({ agent }) => ["exec", "--json", agent, "-n", "--", "sh", "-c", "echo a; echo b >&2"],
  },
  {
    name: "exec that does not read",
    args: ({ agent }) => ["exec", agent, "--", "sleep", "1"],
    input: bulk.repeat(4),
  },
  {
    name: "exec -t",
    args: ({ agent }) => ["exec", "-t", agent, "--", "sh", "-c", "read line; echo $line"],
    input: "typed\r",
    terminal: true,
  },
  { name: "shell", args: ({ agent }) => ["shell", agent], input: "echo a\rexit\r", terminal: true },
  {
    name: "shell with a paste",
    args: ({ agent }) => ["shell", agent],
    input: `${"echo pasted\r".repeat(2000)}exit\r`,
    terminal: true,
  },
  {
    name: "cp up",
    args: ({ agent, file, directory }, id) => ["cp", file, `${agent}:${directory}/up-${id}`],
  },
  {
    name: "cp down",
    args: ({ agent, file, directory }, id) => ["cp", `${agent}:${file}`, `${directory}/down-${id}`],
  },
  {
    name: "cp -r",
    args: ({ agent, tree, directory }, id) => [
      "cp",
      "-r",
      tree,
      `${agent}:${directory}/tree-${id}`,
    ],
  },
  { name: "ls", args: ({ agent, tree }) => ["ls", "-l", `${agent}:${tree}`] },
  { name: "info", args: ({ agent }) => ["info", agent] },
  { name: "ping", args: ({ agent }) => ["ping", "--count", "3", "--interval", "0.1", agent] },
  {
    name: "exec -d",
    args: ({ agent }) => ["exec", "-d", agent, "--", "sh", "-c", "echo detached; sleep 1"],
  },
  { name: "ps", args: ({ agent }) => ["ps", agent] },
  {
    name: "forward",
    args: ({ agent, directory }, id) => [
      ...["forward", agent, "-L", `${directory}/f-${id}.sock:127.0.0.1:9`],
    ],
    endless: true,
  },
  {
    name: "shell-client, a command",
    args: ({ shellServer }) => ["shell-client", shellServer, "echo hello; sleep 0.1"],
  },
  {
    name: "shell-client, a shell",
    args: ({ shellServer }) => ["shell-client", shellServer],
    input: "echo a\rexit\r",
    terminal: true,
  },
  {
    name: "shell-client -u",
    args: ({ shellServer, file, directory }, id) => [
      ...["shell-client", shellServer, "-u", `${file}:${directory}/su-${id}`],
    ],
  },
  {
    name: "shell-client -d",
    args: ({ shellServer, file, directory }, id) => [
      ...["shell-client", shellServer, "-d", `${file}:${directory}/sd-${id}`],
    ],
  },
  {
    name: "exec in the guest",
    args: ({ guest = "" }) => ["exec", guest, "-n", "--", "echo", "hello"],
    needsGuest: true,
  },
  {
    name: "input to the guest",
    args: ({ guest = "" }) => ["exec", guest, "--", "wc", "-c"],
    input: bulk,
    needsGuest: true,
  },
  {
    name: "output of the guest",
    args: ({ guest = "" }) => ["exec", guest, "-n", "--", "head", "-c", "4000000", "/dev/zero"],
    needsGuest: true,
  },
  {
    name: "cp to the guest",
    args: ({ guest = "", file }, id) => ["cp", file, `${guest}:/tmp/up-${id}`],
    needsGuest: true,
  },
  {
    name: "rm in the guest",
    args: ({ guest = "" }) => ["exec", guest, "-n", "--", "sh", "-c", "rm -f /tmp/up-* /tmp/.up-*"],
    needsGuest: true,
  },
];
