/**
 * Start-up, memory and throughput of the executable beside others in the same run, over Unix
 * sockets on this machine. Prints a table; `bun run bench/foundation.ts`.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const ROOT = join(import.meta.dir, "..");
const VSOCKBOX = join(ROOT, "dist/vsockbox");
const STARTS = 40;
const BULK_BYTES = 2_000_000_000;
const ROUNDS = 5;

const scratch = mkdtempSync(join(tmpdir(), "vsockbox-bench-"));
const rows: [what: string, value: string, beside: string, ratio: string][] = [];

const median = (values: number[]) => values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0;

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
  rows.push([
    "start-up of `vsockbox --version`, median of 40",
    `${ours.toFixed(1)} ms`,
    `empty Bun executable: ${base.toFixed(1)} ms`,
    (ours / base).toFixed(2),
  ]);
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
  rows.push([
    "RSS of an idle agent, fresh",
    `${idle.rss.toFixed(1)} MiB`,
    `anonymous: ${idle.anonymous.toFixed(1)} MiB`,
    "",
  ]);
  rows.push([
    `the same after ${STARTS + 1} commands`,
    `${after.rss.toFixed(1)} MiB`,
    `anonymous: ${after.anonymous.toFixed(1)} MiB`,
    "",
  ]);
  rows.push([
    "one `vsockbox exec … true`, median of 40",
    `${median(times).toFixed(1)} ms`,
    `the first: ${before.toFixed(1)} ms`,
    "",
  ]);
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
  const beside = hasSocat ? median(results.socat) : Number.NaN;
  for (const [name, values] of [
    ["a command's output through `exec`", results.exec],
    ["a command's output through `listen --exec` and `connect`", results.connect],
  ] as const) {
    rows.push([
      `${name}, ${BULK_BYTES / 1e9} GB, median of ${ROUNDS}`,
      `${median(values).toFixed(0)} MB/s`,
      hasSocat ? `socat EXEC to socat: ${beside.toFixed(0)} MB/s` : "socat is missing",
      hasSocat ? (median(values) / beside).toFixed(2) : "",
    ]);
  }
  for (const child of [agent, listener, socat]) {
    child?.kill();
    await child?.exited;
  }
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
  rows.push([
    `a command's input through \`exec\`, ${BULK_BYTES / 1e9} GB, median of ${ROUNDS}`,
    `${median(results.exec).toFixed(0)} MB/s`,
    hasSocat ? `socat to socat EXEC: ${median(results.socat).toFixed(0)} MB/s` : "socat is missing",
    hasSocat ? (median(results.exec) / median(results.socat)).toFixed(2) : "",
  ]);
  agent.kill();
  await agent.exited;
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
  const cpu = /model name\s*:\s*(.*)/.exec(readFileSync("/proc/cpuinfo", "utf8"))?.[1] ?? "unknown";
  console.log(
    `Bun ${Bun.version}, ${process.platform} ${process.arch}, ${navigator.hardwareConcurrency} cores (${cpu})\n`,
  );
  console.log("| what | vsockbox | beside it | ratio |\n| --- | --- | --- | --- |");
  for (const row of rows) console.log(`| ${row.join(" | ")} |`);
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
