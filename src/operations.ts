/**
 * What an operation that failed is called in the text of its error.
 *
 * Every error reads `cannot OPERATION OBJECT: REASON`, so an operation is a verb phrase that continues
 * "cannot": its first word is a key of {@link PHRASES}, which the compiler holds.
 */

/** The verbs of operations, each in the form that it has before an object. */
export const PHRASES = {
  accept: "accept",
  access: "access",
  add: "add",
  answer: "answer",
  apply: "apply",
  attach: "attach to",
  become: "become",
  bind: "bind to",
  bridge: "bridge to",
  bring: "bring",
  call: "call",
  capture: "capture to",
  change: "change",
  close: "close",
  complete: "complete",
  connect: "connect to",
  continue: "continue with",
  copy: "copy",
  create: "create",
  detach: "detach",
  disable: "disable",
  download: "download",
  drop: "drop",
  edit: "edit",
  end: "end",
  exec: "exec",
  find: "find",
  follow: "follow",
  forward: "forward to",
  get: "get",
  grant: "grant",
  halt: "halt",
  handle: "handle",
  hand: "hand",
  inspect: "inspect",
  install: "install",
  kill: "kill",
  limit: "limit",
  list: "list",
  listen: "listen on",
  load: "load",
  lock: "lock",
  look: "look",
  make: "make",
  map: "map",
  mask: "mask",
  mount: "mount",
  move: "move",
  name: "name",
  notify: "notify",
  open: "open",
  pack: "pack",
  parse: "parse",
  pass: "pass",
  perform: "perform",
  ping: "ping",
  power: "power",
  probe: "probe",
  query: "query",
  reach: "reach",
  read: "read",
  reboot: "reboot",
  receive: "receive",
  remove: "remove",
  rename: "rename",
  report: "report",
  resolve: "resolve",
  restrict: "restrict",
  run: "run",
  send: "send",
  serve: "serve",
  set: "set",
  start: "start",
  switch: "switch",
  tie: "tie",
  transfer: "transfer",
  uninstall: "uninstall",
  unmount: "unmount",
  upload: "upload",
  use: "use",
  wait: "wait for",
  walk: "walk",
  watch: "watch",
  write: "write",
} as const satisfies Readonly<Record<string, string>>;

/** A verb of {@link PHRASES}. */
export type Verb = keyof typeof PHRASES;

/** An operation: a verb alone, or a phrase that begins with one, such as "set the owner of". */
export type Operation = Verb | `${Verb} ${string}`;

/** Returns an operation with its object as it follows "cannot"; undefined: it has no object. */
export function operationPhrase(operation: Operation, object: string | undefined): string {
  if (object === undefined) return operation;
  const phrase = Object.hasOwn(PHRASES, operation) ? PHRASES[operation as Verb] : operation;
  return `${phrase} ${object}`;
}

/**
 * Returns a peer's word for an operation, or a command's name, as an operation. The text of such an error
 * is not made from it.
 */
export function foreignOperation(word: string): Operation {
  return word as Operation;
}

/** Operations of the runtime's file and process calls, by the call that an error names. */
const OPERATION_OF_CALL: Readonly<Record<string, Operation>> = {
  access: "access",
  chmod: "change the mode of",
  chown: "change the owner of",
  copyfile: "copy",
  fchmod: "change the mode of",
  fchown: "change the owner of",
  fstat: "inspect",
  fsync: "write",
  ftruncate: "write",
  futime: "set the time of",
  kill: "kill",
  link: "create",
  lstat: "inspect",
  lutime: "set the time of",
  mkdir: "create directory",
  mkdtemp: "create directory",
  mkfifo: "create",
  open: "open",
  openat: "open",
  reach: "reach",
  read: "read",
  readdir: "list",
  readlink: "read",
  realpath: "resolve",
  rename: "rename",
  rm: "remove",
  rmdir: "remove",
  scandir: "list",
  spawn: "start",
  stat: "inspect",
  statx: "inspect",
  symlink: "create",
  truncate: "write",
  unlink: "remove",
  utime: "set the time of",
  write: "write",
};

/** Returns the operation of a system call; one without a phrase of its own is named. */
export function operationOfCall(call: string): Operation {
  return OPERATION_OF_CALL[call] ?? `call ${call}`;
}
