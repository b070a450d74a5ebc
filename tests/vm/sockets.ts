/** `vsockbox sockets` in the shared guest, beside `ss --vsock`. */
import { beforeAll, expect, test } from "bun:test";
import { findTool } from "../support/tools.ts";
import { describeVm, inGuest, prepare, unloadedModule } from "./support.ts";

/** A socket as both programs have it: type, state, ends, processes. */
type Row = string;

interface ListedObject {
  type: string;
  state: string;
  local_cid: number | null;
  local_port: number | null;
  peer_cid: number | null;
  peer_port: number | null;
  receive_shutdown: boolean;
  send_shutdown: boolean;
  uid: number | null;
  processes: { pid: number; name: string; fd: number }[];
}

/** The ss of iproute2 6.1 has no name for SOCK_SEQPACKET. */
const SS_TYPES: Readonly<Record<string, string>> = {
  v_str: "stream",
  v_seq: "seqpacket",
  "???": "seqpacket",
};
const SS_STATES: Readonly<Record<string, string>> = {
  ESTAB: "established",
  LISTEN: "listening",
  CLOSING: "closing",
  UNCONN: "closed",
  "SYN-SENT": "syn-sent",
};

/** Rows of `ss --no-header --numeric --processes`: type, state, two queues, two ends, processes. */
function rowsOfSs(text: string): Row[] {
  return text
    .trimEnd()
    .split("\n")
    .map((line) => {
      const [type = "", state = "", , , local, peer, users = ""] = line.split(/\s+/);
      const processes = [...users.matchAll(/\("([^"]*)",pid=(\d+),fd=(\d+)\)/g)]
        .map(([, name, pid, fd]) => `${name}/${pid}/${fd}`)
        .sort();
      return [SS_TYPES[type] ?? type, SS_STATES[state] ?? state, local, peer, ...processes].join(
        " ",
      );
    })
    .sort();
}

const objects = (text: string) =>
  text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as ListedObject);

function rowOf({ type, state, processes, ...ends }: ListedObject): Row {
  const local = `${ends.local_cid ?? "*"}:${ends.local_port ?? "*"}`;
  const peer = `${ends.peer_cid ?? "*"}:${ends.peer_port ?? "*"}`;
  const users = processes.map(({ name, pid, fd }) => `${name}/${pid}/${fd}`).sort();
  return [type, state, local, peer, ...users].join(" ");
}

const isOwn = (port: number | null) => port === 6100 || port === 6101;

async function listed(options = ""): Promise<ListedObject[]> {
  return objects(await prepare(`vsockbox sockets --json ${options}`));
}

describeVm("sockets", () => {
  test("names the kernel's module that is missing, with status 69", async () => {
    const { status, stdout, stderr } = await inGuest("vsockbox sockets");
    expect([status, stdout]).toEqual([69, ""]);
    expect(stderr).toContain(
      "cannot list vsock sockets: the kernel's module vsock_diag is not loaded",
    );
    expect(stderr).toContain("modprobe vsock_diag");
  });
});

describeVm("sockets with vsock_diag", () => {
  beforeAll(async () => {
    await prepare(
      `insmod ${unloadedModule("vsock_diag")}; ` +
        "vsockbox agent --allow-local --listen vsock::6100 --ready-listen none > /dev/null 2>&1 & " +
        "vsockbox listen vsock::6101 -k -q --seqpacket --exec cat & " +
        "vsockbox wait 1:6100 --agent --timeout 120; " +
        "vsockbox exec 1:6100 -n -- sleep 94 & " +
        "(sleep 93 | vsockbox connect 1:6101 --seqpacket) & " +
        "for port in 6100 6101; do until [ $(vsockbox sockets --state established --port $port --json | wc -l) = 2 ]; do sleep 0.1; done; done",
    );
  });

  test("are those of `ss --vsock`, with states, types, ends and processes", async () => {
    expect(findTool("ss")).toBeDefined();
    const text = await prepare(
      "vsockbox sockets --json; echo ---; ss --vsock --all --numeric --processes --no-header",
    );
    const [json = "", ss = ""] = text.split("---\n");
    const found = objects(json);
    expect(found.map(rowOf).sort()).toEqual(rowsOfSs(ss));
    // Other tests have left listeners in the guest.
    const own = found.filter(({ local_port, peer_port }) => isOwn(local_port) || isOwn(peer_port));
    const kinds = new Set(own.map(({ type, state }) => `${type} ${state}`));
    expect([...kinds].sort()).toEqual([
      "seqpacket established",
      "seqpacket listening",
      "stream established",
      "stream listening",
    ]);
    expect(new Set(own.map(({ uid }) => uid))).toEqual(new Set([0]));
  });

  test("are selected by state, CID and port, and ordered with listeners first", async () => {
    const listening = await listed("--listening");
    expect(new Set(listening.map(({ state }) => state))).toEqual(new Set(["listening"]));
    const own = listening.filter(({ local_port }) => isOwn(local_port));
    expect(own.map((socket) => [socket.local_cid, socket.local_port])).toEqual([
      [null, 6100],
      [null, 6101],
    ]);
    const ofPort = await listed("--port 6100");
    expect(
      ofPort.map(({ state, local_port, peer_port }) => [
        state,
        local_port === 6100,
        peer_port === 6100,
      ]),
    ).toEqual([
      ["listening", true, false],
      ["established", true, false],
      ["established", false, true],
    ]);
    expect((await listed("--state established --cid 1 --port 6101")).length).toBe(2);
    expect(await listed("--cid 77")).toEqual([]);
  });

  test("are a table for people", async () => {
    const text = await prepare("vsockbox sockets --listening --port 6100");
    const [head, first] = text.split("\n");
    expect(head).toMatch(/^TYPE +STATE +LOCAL +PEER +USER +PROCESS$/);
    expect(first).toMatch(
      /^stream +listening +\*:6100 +\*:\* +root +vsockbox \(pid \d+, fd \d+\)$/,
    );
  });

  test("name the directions that are shut down", async () => {
    const text = await prepare(
      "vsockbox listen vsock::6102 -q --exec 'sleep 92' & " +
        "until vsockbox sockets --listening --port 6102 | grep -q 6102; do sleep 0.1; done; " +
        "vsockbox connect 1:6102 -n & " +
        "until vsockbox sockets --port 6102 | grep -q shut; do sleep 0.1; done; " +
        "vsockbox sockets --port 6102; vsockbox sockets --port 6102 --json; " +
        "kill $(pidof sleep)",
    );
    expect(text).toMatch(/ \(send shut down\) +\*:\d+ +1:6102 /);
    const ends = objects(text.slice(text.indexOf("{"))).map((socket) => [
      socket.peer_port === 6102,
      socket.send_shutdown,
      socket.receive_shutdown,
    ]);
    expect(ends).toContainEqual([true, true, false]);
    expect(ends).toContainEqual([false, false, false]);
  });

  test("of other users have no process without the right to read them", async () => {
    const { status, stdout, stderr } = await inGuest(
      "vsockbox exec 1:6100 --user guest -- vsockbox sockets --listening",
    );
    expect(status).toBe(0);
    expect(stdout).toMatch(/\*:6100 +\*:\* +- +-\n/);
    expect(stderr).toMatch(/the sockets of \d+ processes are hidden[^]*as root/);
  });

  test("belong to a network namespace", async () => {
    const count = "vsockbox sockets --port 6103 --json";
    const { stdout } = await inGuest(
      "unshare -n vsockbox listen vsock::6103 -q & listener=$!; " +
        `until vsockbox sockets --net-namespace /proc/$listener/ns/net --port 6103 | grep -q 6103; do sleep 0.1; done; ` +
        `${count} | wc -l; ${count} --net-namespace /proc/$listener/ns/net | wc -l; kill $listener`,
    );
    expect(stdout).toBe("0\n1\n");
    expect(await inGuest("vsockbox sockets --net-namespace /etc/passwd")).toMatchObject({
      status: 74,
      stderr: expect.stringContaining("cannot use network namespace /etc/passwd: invalid argument"),
    });
  });

  test("are not asked for if AF_VSOCK is switched off", async () => {
    expect(await inGuest("VSOCKBOX_NO_VSOCK=1 vsockbox sockets")).toMatchObject({
      status: 77,
      stderr: expect.stringContaining("AF_VSOCK is switched off"),
    });
  });
});
