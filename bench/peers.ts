/**
 * The agent beside what people use otherwise, over Unix sockets in the same run, in turns: ssh and scp with
 * a master connection to `sshd -i`, and tar pipes through `exec`. Prints a table;
 * `bun run bench/peers.ts [--mib N] [--rounds N] [--scratch DIR] [--output DIR]`.
 */
import { mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { hasSsh, SSH_HOST, SshServer } from "./ssh-server.ts";
import { alone, type BenchRow, compared, thisMachine, versionOf } from "./table.ts";
import { median, TransferBench, VSOCKBOX } from "./transfer-bench.ts";
import { writeTables } from "./write-tables.ts";

/** Commands of a row, for each of the rounds. */
const COMMANDS_PER_ROUND = 10;

/** Files of the tree are as many as MiB of the big file, at most this many. */
const MAX_FILES = 10_000;
const FILES_PER_MIB = 10;
const FILE_BYTES = 1024;

using bench = new TransferBench();
const address = `unix:${bench.file("agent.sock")}`;
const target = bench.file("copied");
await using _agent = await bench.serve(["agent", "--listen", address, "-q"], address);
await using ssh = hasSsh() ? await SshServer.start(bench) : undefined;

/** Runs a command to its end; returns its time in milliseconds. */
async function timed(command: readonly string[]): Promise<number> {
  const begin = performance.now();
  const child = Bun.spawn([...command], { stdio: ["ignore", "ignore", "inherit"] });
  if ((await child.exited) !== 0) throw new Error(`${command.join(" ")} has failed`);
  return performance.now() - begin;
}

/** Runs ours and the peer's command in turns; returns the medians in milliseconds. */
async function inTurns(
  ways: readonly (readonly string[])[],
  count: number,
  after: () => void,
): Promise<number[]> {
  const times: number[][] = ways.map(() => []);
  for (let round = 0; round < count; round++) {
    for (const [index, command] of ways.entries()) {
      times[index]?.push(await timed(command));
      after();
    }
  }
  return times.map(median);
}

const removeTarget = () => rmSync(target, { recursive: true, force: true });

async function commands(): Promise<BenchRow[]> {
  const ours = [VSOCKBOX, "exec", address, "-n", "--", "true"];
  const peers = ssh === undefined ? [] : [["ssh", ...ssh.options, SSH_HOST, "true"]];
  const count = bench.rounds * COMMANDS_PER_ROUND;
  const [own = 0, peer] = await inTurns([ours, ...peers], count, () => undefined);
  const what = `one command, median of ${count}`;
  if (peer === undefined) return [alone(what, own, "ms")];
  const beside = { name: "ssh with ControlMaster", value: peer, unit: "ms" };
  return [compared(what, { value: own, unit: "ms" }, beside, "less")];
}

async function copies(): Promise<BenchRow[]> {
  const remote = (path: string) => `${address}:${path}`;
  const scp = (from: string, to: string) =>
    ssh === undefined ? [] : [["scp", "-q", ...ssh.options, from, to]];
  const ways = {
    "cp up": [
      [VSOCKBOX, "cp", "-q", bench.source, remote(target)],
      ...scp(bench.source, `${SSH_HOST}:${target}`),
    ],
    "cp down": [
      [VSOCKBOX, "cp", "-q", remote(bench.source), target],
      ...scp(`${SSH_HOST}:${bench.source}`, target),
    ],
  };
  const found: BenchRow[] = [];
  for (const [name, all] of Object.entries(ways)) {
    const [own = 0, peer] = await inTurns(all, bench.rounds, removeTarget);
    const rate = (milliseconds: number) => (bench.mib * 1024 * 1024) / 1000 / milliseconds;
    const what = `${name}, ${bench.mib} MiB, median of ${bench.rounds}`;
    const ours = { value: rate(own), unit: "MB/s" };
    found.push(
      peer === undefined
        ? alone(what, ours.value, ours.unit)
        : compared(what, ours, { name: "scp", value: rate(peer), unit: "MB/s" }, "more"),
    );
  }
  return found;
}

/** A tree of small files, which each way copies to a directory that does not exist. */
async function trees(): Promise<BenchRow[]> {
  const count = Math.min(MAX_FILES, bench.mib * FILES_PER_MIB);
  const tree = bench.file("tree");
  mkdirSync(tree);
  const content = crypto.getRandomValues(new Uint8Array(FILE_BYTES));
  for (let index = 0; index < count; index++) writeFileSync(join(tree, `${index}`), content);
  const pipe =
    `mkdir ${target} && tar -C ${tree} -cf - . | ` +
    `${VSOCKBOX} exec ${address} -- tar -C ${target} -xf -`;
  const ways: [string, string[]][] = [["tar through exec", ["sh", "-c", pipe]]];
  if (ssh !== undefined) {
    const words = ["scp", "-q", "-r", ...ssh.options, tree, `${SSH_HOST}:${target}`];
    ways.push(["scp -r", words]);
  }
  const ours = [VSOCKBOX, "cp", "-q", "-r", tree, `${address}:${target}`];
  const check = () => {
    const copied = readdirSync(target).length;
    if (copied !== count) throw new Error(`${copied} of ${count} files were copied`);
    removeTarget();
  };
  const all = [ours, ...ways.map(([, command]) => command)];
  const [own = 0, ...peers] = await inTurns(all, bench.rounds, check);
  const perSecond = (milliseconds: number) => (count * 1000) / milliseconds;
  const what = `cp -r of ${count} files of 1 KiB, files a second, median of ${bench.rounds}`;
  return ways.map(([name], index) => {
    const beside = { name, value: perSecond(peers[index] ?? Number.NaN), unit: "/s" };
    return compared(what, { value: perSecond(own), unit: "/s" }, beside, "more");
  });
}

const rows = [...(await commands()), ...(await copies()), ...(await trees())];
const peers = [
  ...(ssh === undefined ? [] : [{ name: "OpenSSH", version: versionOf("ssh", "-V") }]),
  { name: "tar", version: versionOf("tar", "--version") },
];
const title = "Commands and copies beside ssh, scp and tar";
writeTables([{ id: "peers", title, machine: thisMachine(), peers, rows }], bench.output);
