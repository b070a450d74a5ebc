/** The tables of docs/coming-from.md: the old line and ours do the same. */
import { describe, expect, test } from "bun:test";
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { PROGRAM_NAMES } from "../../src/commands/aliases.ts";
import { BINARY, eventually, shell, ScratchDirectory, type RunResult } from "../support/binary.ts";
import { readPage } from "../support/readme.ts";
import { overUnixSockets, typedTables, type TypedRow } from "../support/typed-tables.ts";

const tables = typedTables(readPage("docs/coming-from.md"));
const NOT_RUN = ["vsock", "Go", "VM", "terminal"];
const isServer = (command: string) => command.endsWith(" &");

/** The paths below a directory on which a process listens: a connection would be one too many. */
function listening(directory: string): Set<string> {
  const lines = readFileSync("/proc/net/unix", "utf8").split("\n");
  const paths = lines
    .map((line) => line.trim().split(/\s+/))
    .filter(([, , , flags]) => flags === "00010000")
    .map((fields) => fields[7] ?? "");
  return new Set(paths.filter((path) => path.startsWith(directory)));
}

/** A host and a guest in one directory, joined by a bridge in place of a VMM. */
class World implements AsyncDisposable {
  readonly #scratch = new ScratchDirectory();
  readonly root = this.#scratch.path;
  readonly #servers: Bun.Subprocess[] = [];
  readonly #env: Record<string, string>;

  constructor() {
    for (const name of ["bin", "home", "run", "srv", "work"]) mkdirSync(`${this.root}/${name}`);
    for (const name of Object.keys(PROGRAM_NAMES)) symlinkSync(BINARY, `${this.root}/bin/${name}`);
    const line = "echo one";
    const files = {
      "srv/a.txt": "content of a\n",
      "work/notes.txt": "notes\n",
      "work/setup.sh": `${line}\n`,
      "work/framed": `${String.fromCharCode(line.length)}\0${line}`,
      "work/connect-9999": "CONNECT 9999\nhello\n",
      "work/vms.yaml": `vms:\n  - guest_cid: 7\n    socket: ${this.root}/run/vhost7.sock\n    uds_path: ${this.root}/run/vm7.vsock\n`,
    };
    for (const [name, text] of Object.entries(files)) writeFileSync(`${this.root}/${name}`, text);
    this.#env = {
      PATH: `${this.root}/bin:${dirname(BINARY)}:${process.env["PATH"] ?? ""}`,
      HOME: `${this.root}/home`,
      XDG_RUNTIME_DIR: `${this.root}/run`,
    };
  }

  /** Runs a command in the background, until it listens on each socket of its command line. */
  async start(command: string): Promise<void> {
    const before = listening(this.root);
    const server = Bun.spawn(["bash", "-c", `exec ${command}`], {
      cwd: `${this.root}/work`,
      env: { ...process.env, VSOCKBOX_NO_VSOCK: "1", ...this.#env },
      stdio: ["ignore", "ignore", "ignore"],
    });
    this.#servers.push(server);
    const [config] = /[\w.]+\.yaml/.exec(command) ?? [];
    const names =
      config === undefined ? command : readFileSync(`${this.root}/work/${config}`, "utf8");
    const sockets = names.match(/\/[^\s,:=]*\/run\/\w+\.v?sock\b/g) ?? [];
    // The device answers `status` at a socket beside that of the VMM, which is made last.
    const controls = sockets.filter((path) => path.includes("vhost")).map((path) => `${path}.ctl`);
    const named = [...sockets, ...controls];
    await eventually(`${command} listens`, () => {
      if (server.exitCode !== null) throw new Error(`${command} has ended`);
      const now = listening(this.root);
      return now.size > before.size && named.every((path) => now.has(path));
    });
  }

  run(command: string): Promise<RunResult> {
    return shell(command, { cwd: `${this.root}/work`, env: this.#env });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const server of this.#servers) server.kill("SIGKILL");
    await Promise.all(this.#servers.map((server) => server.exited));
    this.#scratch[Symbol.dispose]();
  }
}

/** The line of a column as it is run: if the old one cannot run here, or does not exist, ours. */
function lineIn({ typed, now }: TypedRow, column: "typed" | "now"): string | undefined {
  const line = column === "typed" && typed?.notRun === undefined ? (typed ?? now) : now;
  return line?.notRun === undefined ? line?.command : undefined;
}

/** Runs the last row's line of one column, with the servers of the rows above it. */
async function runLine(rows: readonly TypedRow[], column: "typed" | "now") {
  await using world = new World();
  const { root } = world;
  await world.start(`vsockbox bridge --uds-path ${root}/run/vm4.vsock --to unix:${root}/run/guest`);
  await world.start(
    `vsockbox listen unix:${root}/run/service.sock --keep-open --exec 'echo served'`,
  );
  let command = "";
  for (const row of rows) {
    command = lineIn(row, column) ?? "";
    const line = overUnixSockets(command.replace(/ &$/, ""), row.on, root);
    if (isServer(command)) await world.start(line);
    else if (row === rows.at(-1)) {
      const { status, stdout, stderr } = await world.run(line);
      return { command, status, stdout: stdout.replaceAll(root, ""), stderr };
    }
  }
  throw new Error(`not a client: ${command}`);
}

describe.each(tables)("the table of $heading", ({ rows }) => {
  const cases = rows.flatMap((row, index) => {
    const command = lineIn(row, "now");
    if (command === undefined || isServer(command)) return [];
    return [{ command, above: rows.slice(0, index + 1) }];
  });

  test.each(cases)("$command", async ({ above }) => {
    const ours = await runLine(above, "now");
    expect(ours).toMatchObject({ status: 0 });
    if (above.every((row) => lineIn(row, "typed") === lineIn(row, "now"))) return;
    const typed = await runLine(above, "typed");
    expect(typed).toMatchObject({ status: 0 });
    expect(shown(typed.stdout)).toBe(shown(ours.stdout));
  });
});

/** Output without the differences that are meant: a VMM's answer, which ours reads, and the time. */
function shown(output: string): string {
  return output
    .replaceAll("\r", "")
    .replace(/^OK \d+\n/, "")
    .replaceAll(/\d+:\d\d/g, "0:00");
}

test("the page has a table for each of the tools, and reasons that it explains", () => {
  expect(tables.map(({ heading }) => heading)).toEqual([
    "vsock_guest_exec",
    "vsock-shell",
    "vhost-device-vsock",
    "matchlock's Go package",
    "socat, ncat and the vsock notes",
  ]);
  const lines = tables.flatMap(({ rows }) => rows.flatMap(({ typed, now }) => [typed, now]));
  const reasons = new Set(lines.flatMap((line) => line?.notRun ?? []));
  expect([...reasons].sort()).toEqual([...NOT_RUN].sort());
  for (const reason of NOT_RUN) expect(readPage("docs/coming-from.md")).toContain(`(${reason}) `);
});
