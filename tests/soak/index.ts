/**
 * A soak: clients of every kind against an agent, a shell-server and a device with a guest, four at
 * once, a third of them ended by a signal at a random moment. Afterwards the three services must hold
 * what they held before: descriptors, terminals, child processes, memory, and no processor time.
 *
 *     bun run tests/soak [--minutes 5] [--seed N] [--clients 4] [--no-guest]
 *
 * Exit status: 0 if so, 1 if not.
 */
import { mkdirSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { bootGuest, type Guest } from "../../src/vm/guest.ts";
import { Random } from "../fuzz/random.ts";
import { BINARY, eventually, Running, ScratchDirectory, vsockbox } from "../support/binary.ts";
import { atRest } from "../support/process-state.ts";
import { type Kind, KINDS, type Places } from "./kinds.ts";
import { type Complaint, runSession } from "./session.ts";

const { values: options } = parseArgs({
  options: {
    minutes: { type: "string", default: "5" },
    seed: { type: "string", default: "1" },
    clients: { type: "string", default: "4" },
    "no-guest": { type: "boolean", default: false },
  },
});

/** Memory that a service may hold beyond what it held after the warm-up, in bytes. */
const GROWTH_MAX_BYTES = 64 * 1024 * 1024;

/** What a service holds. */
interface Holdings {
  descriptors: number;
  terminals: number;
  children: number;
  residentBytes: number;
}

function holdings(pid: number): Holdings {
  const links = readdirSync(`/proc/${pid}/fd`).map((fd) => {
    try {
      return readlinkSync(`/proc/${pid}/fd/${fd}`);
    } catch {
      return "";
    }
  });
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim();
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return {
    descriptors: links.length,
    terminals: links.filter((link) => link.includes("ptmx")).length,
    children: children === "" ? 0 : children.split(" ").length,
    residentBytes: 1024 * Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1]),
  };
}

const print = (line: string) => void process.stdout.write(`${line}\n`);
const mebibytes = (bytes: number) => (bytes / 1024 / 1024).toFixed(1);

async function bootOnDevice(socket: string, address: string): Promise<Guest> {
  const guest = await bootGuest({
    vmm: "uml",
    binary: BINARY,
    environment: { VSOCKBOX_TEST_VM: "1", NO_COLOR: "1" },
    memoryMib: 1024,
    vsockDevices: [socket],
  });
  await guest.run("(vsockbox agent -q > /tmp/agent.log 2>&1 &)");
  const { status, stderr } = await vsockbox(["wait", address, "--timeout", "60"]);
  if (status !== 0) throw new Error(stderr);
  return guest;
}

/** Removes what sessions have left in the directory; nothing else writes there. */
function clear(directory: string): void {
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory);
}

async function main(): Promise<number> {
  using scratch = new ScratchDirectory();
  const directory = scratch.file("d");
  mkdirSync(directory);
  const places: Places = {
    agent: `unix:${scratch.file("agent.sock")}`,
    shellServer: `unix:${scratch.file("shell.sock")}`,
    guest: options["no-guest"] ? undefined : `hybrid:${scratch.file("vm.sock")}`,
    directory,
    file: scratch.file("file"),
    tree: scratch.file("tree"),
  };
  writeFileSync(places.file, Buffer.alloc(8 * 1024 * 1024, 7));
  mkdirSync(places.tree);
  for (let count = 0; count < 50; count++) writeFileSync(`${places.tree}/${count}`, "content\n");

  await using agent = new Running(["agent", "--listen", places.agent, "-q"]);
  await using shellServer = new Running(["shell-server", "--listen", places.shellServer]);
  const socket = scratch.file("vhost.sock");
  const vm = `guest-cid=4,socket=${socket},uds-path=${scratch.file("vm.sock")}`;
  await using device = new Running(["hybrid-proxy", "--vm", vm]);
  for (const address of [places.agent, places.shellServer]) {
    await eventually(`${address} is there`, async () => {
      return (await vsockbox(["wait", address, "--timeout", "1"])).status === 0;
    });
  }
  const guest = places.guest === undefined ? undefined : await bootOnDevice(socket, places.guest);
  const services = { agent, "shell-server": shellServer, device };
  const kinds = KINDS.filter(({ needsGuest }) => needsGuest !== true || guest !== undefined);
  try {
    const seed = Number(options.seed);
    const random = new Random();
    random.begin(seed, 0);
    const chance = () => random.next() / 2 ** 32;
    const complaints: Complaint[] = [];
    const run = async (kind: Kind, id: string, killed: () => number) => {
      const complaint = await runSession(kind, places, id, killed);
      if (complaint === undefined) return;
      complaints.push(complaint);
      print(`WRONG ${complaint.kind}: ${complaint.what}`);
    };

    // What the first sessions load or keep for good belongs to the beginning.
    for (let round = 0; round < 3; round++) {
      for (const [index, kind] of kinds.entries())
        await run(kind, `w${round}-${index}`, () => 0.99);
    }
    const pids = Object.values(services).map(({ pid }) => pid);
    await atRest(...pids);
    const before = pids.map(holdings);

    const end = performance.now() + Number(options.minutes) * 60_000;
    let sessions = 0;
    const client = async () => {
      while (performance.now() < end) {
        const kind = kinds[Math.floor(chance() * kinds.length)];
        if (kind !== undefined) await run(kind, String(sessions++), chance);
        if (sessions % 200 === 0) clear(directory);
      }
    };
    await Promise.all(Array.from({ length: Number(options.clients) }, client));
    print(`${sessions} sessions, seed ${seed}`);

    let failures = complaints.length;
    for (const [index, [name, service]] of Object.entries(services).entries()) {
      const [first, { pid }] = [before[index], service];
      if (first === undefined) continue;
      const isBack = () => {
        const now = holdings(pid);
        return (
          now.descriptors <= first.descriptors &&
          now.terminals <= first.terminals &&
          now.children <= first.children
        );
      };
      const back = await eventually(`${name} holds what it held`, isBack, 60_000).then(
        () => true,
        () => false,
      );
      const rests = await atRest(pid).then(
        () => true,
        () => false,
      );
      const now = holdings(pid);
      const grown = now.residentBytes - first.residentBytes;
      const isFine = back && rests && grown <= GROWTH_MAX_BYTES;
      if (!isFine) failures++;
      print(
        `${isFine ? "ok  " : "FAIL"} ${name}: descriptors ${first.descriptors} -> ${now.descriptors}, ` +
          `terminals ${first.terminals} -> ${now.terminals}, children ${first.children} -> ${now.children}, ` +
          `memory ${mebibytes(first.residentBytes)} -> ${mebibytes(now.residentBytes)} MiB, ` +
          `${rests ? "at rest" : "NOT at rest"}`,
      );
    }
    return failures === 0 ? 0 : 1;
  } finally {
    await guest?.stop();
  }
}

process.exit(await main());
