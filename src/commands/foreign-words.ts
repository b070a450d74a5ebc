/** Hints for unknown commands: words of docker, kubectl, ssh, virsh and their like, and misspellings. */
import { closest } from "../text/closest.ts";

/** What such a word is called here, as the command line that does it. */
const EQUIVALENTS: Readonly<Record<string, string>> = {
  copy: "vsockbox cp SRC... TARGET:DST",
  dir: "vsockbox ls TARGET:PATH",
  del: "vsockbox rm TARGET:PATH",
  erase: "vsockbox rm TARGET:PATH",
  unlink: "vsockbox rm TARGET:PATH",
  rmdir: "vsockbox rm -r TARGET:PATH",
  ll: "vsockbox ls -l TARGET:PATH",
  move: "vsockbox mv TARGET:SRC TARGET:DST",
  rename: "vsockbox mv TARGET:SRC TARGET:DST",
  view: "vsockbox cat TARGET:PATH",
  type: "vsockbox cat TARGET:PATH",
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
  cmd: "vsockbox exec TARGET -- COMMAND",
  "qemu-agent-command": "vsockbox exec TARGET -- COMMAND",
  sh: "vsockbox exec TARGET --shell LINE",
  bash: "vsockbox shell TARGET",
  rsh: "vsockbox shell TARGET",
  console: "vsockbox shell TARGET",
  enter: "vsockbox shell TARGET",
  login: "vsockbox shell TARGET",
  ssh: "vsockbox shell TARGET",
  top: "vsockbox exec -t TARGET -- top",
  htop: "vsockbox exec -t TARGET -- htop",
  vi: "vsockbox exec -t TARGET -- vi PATH",
  vim: "vsockbox exec -t TARGET -- vim PATH",
  nano: "vsockbox exec -t TARGET -- nano PATH",

  halt: "vsockbox shutdown TARGET",
  poweroff: "vsockbox shutdown TARGET",
  reboot: "vsockbox shutdown --reboot TARGET",
  reset: "vsockbox shutdown --reboot TARGET",

  jobs: "vsockbox ps TARGET",
  sessions: "vsockbox ps TARGET",
  status: "vsockbox info TARGET",
  describe: "vsockbox info TARGET",
  inspect: "vsockbox info TARGET",
  stats: "vsockbox info TARGET",
  dominfo: "vsockbox info TARGET",
  uname: "vsockbox info TARGET",
  uptime: "vsockbox info TARGET",
  free: "vsockbox info TARGET",
  log: "vsockbox logs TARGET ID",
  tail: "vsockbox logs --follow TARGET ID",
  join: "vsockbox attach TARGET ID",
  signal: "vsockbox kill --signal SIGNAL TARGET ID",

  list: "vsockbox vms",
  domid: "vsockbox vms",
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
  ready: "vsockbox wait TARGET",
  check: "vsockbox smoke",
  doctor: "vsockbox smoke",
  test: "vsockbox smoke",
  initrd: "vsockbox initramfs",
  setup: "vsockbox install",

  ver: "vsockbox --version",
  version: "vsockbox --version",
};

/** Programs that people run in a guest, and type without `exec`. */
const GUEST_PROGRAMS: ReadonlySet<string> = new Set(
  "cd chmod chown date df dmesg du echo env find grep head hostname id ip journalctl killall lsmod mount pgrep pkill python python3 service ss sudo systemctl tar touch umount whoami".split(
    " ",
  ),
);

/** Words whose answer is a sentence. */
const EXPLANATIONS: Readonly<Record<string, string>> = {
  start: "the VMM starts a VM; `vsockbox wait TARGET` waits until the agent in it is ready",
  boot: "the VMM starts a VM; `vsockbox wait TARGET` waits until the agent in it is ready",
  launch: "the VMM starts a VM; `vsockbox wait TARGET` waits until the agent in it is ready",
  create: "the VMM creates a VM; `vsockbox demo` boots a throw-away one",
  stop: "the VMM stops a VM; `vsockbox --help` lists the commands that end things in a guest",
  destroy: "the VMM stops a VM; `vsockbox --help` lists the commands that end things in a guest",
  restart: "the VMM restarts a VM; `vsockbox wait TARGET` waits until its agent is ready again",
  pause: "the VMM pauses a VM; `vsockbox wait TARGET` waits until its agent answers again",
  suspend: "the VMM pauses a VM; `vsockbox wait TARGET` waits until its agent answers again",
  resume: "the VMM resumes a VM; `vsockbox wait TARGET` waits until its agent answers again",
  delete: "`vsockbox --help` lists the commands that remove things from a guest",
  remove: "`vsockbox --help` lists the commands that remove things from a guest",
  prune: "`vsockbox --help` lists the commands that remove things from a guest",
  undefine: "`vsockbox --help` lists the commands that remove things from a guest",
};

/** Commands that cannot be undone: a misspelled word must not lead to one. */
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
  if (GUEST_PROGRAMS.has(lower)) return `\`vsockbox exec TARGET -- ${lower}\` runs it in a guest`;
  const near = nearestCommand(lower, commands);
  return near === undefined
    ? "`vsockbox --help` lists the commands"
    : `did you mean \`vsockbox ${near}\`?`;
}

/** Returns undefined also for a word that is nearest to a destructive command. */
function nearestCommand(word: string, commands: readonly string[]): string | undefined {
  const near = closest(word, commands);
  return near === undefined || NEVER_SUGGESTED.has(near) ? undefined : near;
}

function own(table: Readonly<Record<string, string>>, key: string): string | undefined {
  return Object.hasOwn(table, key) ? table[key] : undefined;
}
