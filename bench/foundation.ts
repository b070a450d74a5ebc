/**
 * Start-up, memory and throughput of the executable beside others in the same run, over Unix
 * sockets on this machine. Prints a table; `bun run bench/foundation.ts [--quick] [--output DIR]`.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { alone, type BenchRow, compared, thisMachine, versionOf } from "./table.ts";
import { median } from "./transfer-bench.ts";
import { outputOption, writeTables } from "./write-tables.ts";

const ROOT = join(import.meta.dir, "..");
const VSOCKBOX = join(ROOT, "dist/vsockbox");
const { values: options } = parseArgs({
  options: { ...outputOption, quick: { type: "boolean", default: false } },
});
const STARTS = options.quick ? 5 : 40;
const BULK_BYTES = options.quick ? 50_000_000 : 2_000_000_000;
const ROUNDS = options.quick ? 1 : 5;

const scratch = mkdtempSync(join(tmpdir(), "vsockbox-bench-"));
const rows: BenchRow[] = [];

function milliseconds(command: [string, ...string[]]): number {
  const begin = performance.now();
  const { exitCode } = Bun.spawnSync(command, { stdio: ["ignore", "ignore", "ignore"] });
  if (exitCode !== 0) throw new Error(`${command.join(" ")} exited with ${exitCode}`);
  return performance.now() - begin;
}

/** A compiled program that does nothing: what every Bun executable costs. */
async function emptyProgram(): Promise<string> {
  const source = join(scratch, "empty.ts");
  writeFileSync(source, "export {};\n");
  const outfile = join(scratch, "empty");
  const built = await Bun.build({
    entrypoints: [source],
    minify: true,
    bytecode: true,
    format: "esm",
    compile: { outfile, autoloadDotenv: false, autoloadBunfig: false },
  });
  if (!built.success) throw new Error("the empty program does not build");
  return outfile;
}

async function startUp(): Promise<void> {
  const empty = await emptyProgram();
  const times: { ours: number[]; empty: number[]; exec: number[] } = {
    ours: [],
    empty: [],
    exec: [],
  };
  for (let round = 0; round < STARTS; round++) {
    times.ours.push(milliseconds([VSOCKBOX, "--version"]));
    times.empty.push(milliseconds([empty]));
  }
  const [ours, base] = [median(times.ours), median(times.empty)];
  const beside = { name: "empty Bun executable", value: base, unit: "ms" };
  const what = `start-up of \`vsockbox --version\`, median of ${STARTS}`;
  rows.push(compared(what, { value: ours, unit: "ms" }, beside, "less"));
}

function memory(pid: number): { rss: number; anonymous: number } {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const field = (name: string) => Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)?.[1]) / 1024;
  return { rss: field("VmRSS"), anonymous: field("RssAnon") };
}

async function listening(command: [string, ...string[]], socket: string): Promise<Bun.Subprocess> {
  const child = Bun.spawn(command, { stdio: ["ignore", "ignore", "ignore"] });
  while (!existsSync(socket)) await Bun.sleep(5);
  return child;
}

async function idleAgent(): Promise<void> {
  const socket = join(scratch, "agent.sock");
  const agent = await listening([VSOCKBOX, "agent", "--listen", `unix:${socket}`, "-q"], socket);
  await Bun.sleep(2000);
  const idle = memory(agent.pid);
  const before = milliseconds([VSOCKBOX, "exec", `unix:${socket}`, "-n", "--", "true"]);
  const times = Array.from({ length: STARTS }, () =>
    milliseconds([VSOCKBOX, "exec", `unix:${socket}`, "-n", "--", "true"]),
  );
  const after = memory(agent.pid);
  const memories = {
    "RSS of an idle agent, fresh": idle,
    [`the same after ${STARTS + 1} commands`]: after,
  };
  for (const [what, { rss, anonymous }] of Object.entries(memories)) {
    rows.push(alone(what, rss, "MiB"), alone("of that anonymous", anonymous, "MiB"));
  }
  rows.push(
    alone(`one \`vsockbox exec … true\`, median of ${STARTS}`, median(times), "ms"),
    alone("the first of them", before, "ms"),
  );
  agent.kill();
  await agent.exited;
}

const seconds = (line: string) => milliseconds(["sh", "-c", line]) / 1000;
const rate = (time: number) => BULK_BYTES / 1e6 / time;

async function bulk(): Promise<void> {
  const [agentSocket, listenSocket, socatSocket] = ["a", "l", "s"].map((name) =>
    join(scratch, name),
  );
  const source = `head -c ${BULK_BYTES} /dev/zero`;
  const agent = await listening(
    [VSOCKBOX, "agent", "--listen", `unix:${agentSocket}`, "-q"],
    agentSocket ?? "",
  );
  const listener = await listening(
    [VSOCKBOX, "listen", `unix:${listenSocket}`, "-k", "-q", "--exec", source],
    listenSocket ?? "",
  );
  const hasSocat = Bun.which("socat") !== null;
  const socat = hasSocat
    ? await listening(
        ["socat", "-b262144", `UNIX-LISTEN:${socatSocket},fork`, `EXEC:${source},pipes`],
        socatSocket ?? "",
      )
    : undefined;
  const results: { exec: number[]; connect: number[]; socat: number[] } = {
    exec: [],
    connect: [],
    socat: [],
  };
  for (let round = 0; round < ROUNDS; round++) {
    results.exec.push(
      rate(seconds(`${VSOCKBOX} exec unix:${agentSocket} -n -- ${source} > /dev/null`)),
    );
    results.connect.push(rate(seconds(`${VSOCKBOX} connect -n unix:${listenSocket} > /dev/null`)));
    if (hasSocat) {
      results.socat.push(
        rate(seconds(`socat -b262144 -u UNIX-CONNECT:${socatSocket} - > /dev/null`)),
      );
    }
  }
  for (const [name, values] of [
    ["a command's output through `exec`", results.exec],
    ["a command's output through `listen --exec` and `connect`", results.connect],
  ] as const) {
    rows.push(bulkRow(name, values, "socat EXEC to socat", results.socat));
  }
  for (const child of [agent, listener, socat]) {
    child?.kill();
    await child?.exited;
  }
}

/** A row of rates; socat may be missing. */
function bulkRow(name: string, ours: number[], peer: string, peers: number[]): BenchRow {
  const what = `${name}, ${BULK_BYTES / 1e9} GB, median of ${ROUNDS}`;
  if (peers.length === 0) return alone(what, median(ours), "MB/s");
  const beside = { name: peer, value: median(peers), unit: "MB/s" };
  return compared(what, { value: median(ours), unit: "MB/s" }, beside, "more");
}

/** Input of a command, which counts it: a reader that drops it would end without it. */
async function bulkInput(): Promise<void> {
  const [agentSocket, socatSocket] = [join(scratch, "input-agent"), join(scratch, "input-socat")];
  const source = `head -c ${BULK_BYTES} /dev/zero`;
  const agent = await listening(
    [VSOCKBOX, "agent", "--listen", `unix:${agentSocket}`, "-q"],
    agentSocket,
  );
  const hasSocat = Bun.which("socat") !== null;
  const results: { exec: number[]; socat: number[] } = { exec: [], socat: [] };
  for (let round = 0; round < ROUNDS; round++) {
    results.exec.push(
      rate(seconds(`${source} | ${VSOCKBOX} exec unix:${agentSocket} -- wc -c > /dev/null`)),
    );
    if (hasSocat) results.socat.push(await socatInput(source, socatSocket));
  }
  rows.push(
    bulkRow("a command's input through `exec`", results.exec, "socat to socat EXEC", results.socat),
  );
  agent.kill();
  await agent.exited;
}

/** From pipe to pipe: the receiving end is waited for, since the sending one exits with bytes on the way. */
async function pipeToPipe(receive: string, send: string, socket: string): Promise<number> {
  rmSync(socket, { force: true });
  const receiver = await listening(["sh", "-c", `${receive} | cat > /dev/null`], socket);
  const begin = performance.now();
  seconds(`head -c ${BULK_BYTES} /dev/zero | ${send}`);
  await receiver.exited;
  return rate((performance.now() - begin) / 1000);
}

/** Standard input to standard output, by vsockbox, by socat, and by the floor of all such programs. */
async function connectToListen(): Promise<void> {
  const socket = join(scratch, "pump");
  const loop = `${process.execPath} ${join(ROOT, "bench/loop.ts")}`;
  const ways: Record<string, readonly [receive: string, send: string]> = {
    vsockbox: [`${VSOCKBOX} listen -q unix:${socket}`, `${VSOCKBOX} connect unix:${socket}`],
    loop: [`${loop} recv ${socket}`, `${loop} send ${socket}`],
    ...(Bun.which("socat") === null
      ? {}
      : {
          socat: [
            `socat -b262144 -u UNIX-LISTEN:${socket} -`,
            `socat -b262144 -u - UNIX-CONNECT:${socket}`,
          ],
        }),
  };
  const results: Record<string, number[]> = {};
  for (let round = 0; round < ROUNDS; round++) {
    for (const [name, [receive, send]] of Object.entries(ways)) {
      (results[name] ??= []).push(await pipeToPipe(receive, send, socket));
    }
  }
  const { vsockbox = [], socat = [], loop: plain = [] } = results;
  const name = "`connect` to `listen`, pipes at both ends";
  rows.push(bulkRow(name, vsockbox, "socat to socat", socat));
  rows.push(bulkRow(`${name}, beside a loop`, vsockbox, "read(2) and write(2) of 256 KiB", plain));
}

/** Until the receiving end has exited, since the sending one exits with bytes on the way. */
async function socatInput(source: string, socket: string): Promise<number> {
  rmSync(socket, { force: true });
  const receiver = await listening(
    ["socat", "-b262144", "-u", `UNIX-LISTEN:${socket}`, "EXEC:wc -c,pipes"],
    socket,
  );
  const begin = performance.now();
  seconds(`${source} | socat -b262144 -u - UNIX-CONNECT:${socket}`);
  await receiver.exited;
  return rate((performance.now() - begin) / 1000);
}

try {
  await startUp();
  await idleAgent();
  await bulk();
  await bulkInput();
  await connectToListen();
  const title = "Start-up, memory, bulk output";
  const version = versionOf("socat", "-V");
  const peers = version === null ? [] : [{ name: "socat", version }];
  const table = { id: "foundation", title, machine: thisMachine(), peers, rows };
  writeTables([table], options.output);
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
