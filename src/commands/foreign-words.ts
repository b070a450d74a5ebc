/** What an unknown command may have meant: words of docker, kubectl and ssh, and slips of the pen. */
import { closest } from "../text/closest.ts";

/** What such a word is called here, as the command line that does it. */
const EQUIVALENTS: Readonly<Record<string, string>> = {
  copy: "vsockbox cp SRC... TARGET:DST",
  dir: "vsockbox ls TARGET:PATH",
  get: "vsockbox cp TARGET:SRC DST",
  put: "vsockbox cp SRC TARGET:DST",
  push: "vsockbox cp SRC TARGET:DST",
  pull: "vsockbox cp TARGET:SRC DST",
  rcp: "vsockbox cp SRC... TARGET:DST",
  rsync: "vsockbox cp -r --resume SRC TARGET:DST",
  scp: "vsockbox cp SRC... TARGET:DST",
  sftp: "vsockbox cp SRC... TARGET:DST",
  download: "vsockbox cp TARGET:SRC DST",
  upload: "vsockbox cp SRC TARGET:DST",

  run: "vsockbox exec TARGET -- COMMAND",
  command: "vsockbox exec TARGET -- COMMAND",
  execute: "vsockbox exec TARGET -- COMMAND",
  sh: "vsockbox exec TARGET --shell LINE",
  bash: "vsockbox shell TARGET",
  console: "vsockbox shell TARGET",
  enter: "vsockbox shell TARGET",
  login: "vsockbox shell TARGET",
  ssh: "vsockbox shell TARGET",
  top: "vsockbox exec -t TARGET -- top",

  jobs: "vsockbox ps TARGET",
  sessions: "vsockbox ps TARGET",
  status: "vsockbox info TARGET",
  describe: "vsockbox info TARGET",
  inspect: "vsockbox info TARGET",
  stats: "vsockbox info TARGET",
  log: "vsockbox logs TARGET ID",
  tail: "vsockbox logs -f TARGET ID",
  join: "vsockbox attach TARGET ID",

  list: "vsockbox vms",
  "list-vms": "vsockbox vms",
  machines: "vsockbox vms",
  profiles: "vsockbox vms",
  vm: "vsockbox vms",

  nc: "vsockbox connect ADDRESS",
  ncat: "vsockbox connect ADDRESS",
  netcat: "vsockbox connect ADDRESS",
  socat: "vsockbox connect ADDRESS",
  telnet: "vsockbox connect ADDRESS",
  dial: "vsockbox connect ADDRESS",
  expose: "vsockbox forward TARGET -L PORT:localhost:PORT",
  "port-forward": "vsockbox forward TARGET -L PORT:localhost:PORT",
  proxy: "vsockbox forward TARGET -L PORT:localhost:PORT",
  tunnel: "vsockbox forward TARGET -L PORT:localhost:PORT",

  daemon: "vsockbox agent",
  serve: "vsockbox agent",
  server: "vsockbox agent",
  "vhost-device-vsock": "vsockbox hybrid-proxy",
  device: "vsockbox hybrid-proxy",
  check: "vsockbox smoke",
  doctor: "vsockbox smoke",
  test: "vsockbox smoke",
  initrd: "vsockbox initramfs",
  setup: "vsockbox install",
};

/** Words for which the right answer is a sentence. */
const EXPLANATIONS: Readonly<Record<string, string>> = {
  start: "the VMM starts a VM; `vsockbox wait TARGET` waits until the agent in it is ready",
  stop: "the VMM stops a VM; `vsockbox --help` lists the commands that end things in a guest",
  restart: "the VMM restarts a VM; `vsockbox wait TARGET` waits until its agent is ready again",
  delete: "`vsockbox --help` lists the commands that remove things from a guest",
  remove: "`vsockbox --help` lists the commands that remove things from a guest",
};

/** Commands that cannot be undone: a slip of the pen must not lead to one. */
const NEVER_SUGGESTED: ReadonlySet<string> = new Set(["rm", "kill", "shutdown"]);

/**
 * Returns a hint for an unknown command.
 *
 * @param commands the names of all commands.
 */
export function unknownCommandHint(word: string, commands: readonly string[]): string {
  const lower = word.toLowerCase();
  const explanation = own(EXPLANATIONS, lower);
  if (explanation !== undefined) return explanation;
  const equivalent = own(EQUIVALENTS, lower);
  if (equivalent !== undefined) return `that is \`${equivalent}\` here`;
  const near = nearestCommand(lower, commands);
  return near === undefined
    ? "`vsockbox --help` lists the commands"
    : `did you mean \`vsockbox ${near}\`?`;
}

/** A word that is nearest to a destructive command is a slip of that one: then there is no answer. */
function nearestCommand(word: string, commands: readonly string[]): string | undefined {
  const near = closest(word, commands);
  return near === undefined || NEVER_SUGGESTED.has(near) ? undefined : near;
}

function own(table: Readonly<Record<string, string>>, key: string): string | undefined {
  return Object.hasOwn(table, key) ? table[key] : undefined;
}
