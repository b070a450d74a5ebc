import { describe, expect, test } from "bun:test";
import type { TopSample } from "../../../../src/commands/diagnose/top-samples.ts";
import { shareLines, topLines } from "../../../../src/commands/diagnose/top-view.ts";
import {
  agentConnection,
  agentSample,
  deviceSample,
  session,
  vm,
  vmConnection,
} from "../../../support/top-samples.ts";

const KIB = 1024;
const BEFORE = deviceSample(
  0,
  vm(4, 0, 0, [vmConnection(), vmConnection({ host_port: 4_294_967_294 })]),
);
const AFTER = deviceSample(
  1000,
  vm(4, 12 * KIB ** 2, KIB, [
    vmConnection({ bytes_to_guest: 12 * KIB ** 2, bytes_from_guest: KIB }),
    vmConnection({ host_port: 4_294_967_294, state: "guest-ended", type: "seqpacket" }),
  ]),
  vm(5, 0, 0, [], { vmm_connected: false, driver_ready: false }),
  vm(1_000_000, 7, 8, [], { driver_ready: false, uptime_seconds: 90_061 }),
);

const draw = (
  sample: TopSample,
  previous: TopSample | undefined,
  columns: number,
  rows = Infinity,
) => topLines(sample, previous, { columns, rows, order: "rate", hasKeys: false });

describe("the screen of VMs", () => {
  test("at 80 columns has states and rates", () => {
    expect(draw(AFTER, BEFORE, 80)).toEqual([
      "3 VMs, 2 connections",
      "",
      "    CID  STATE               UP  CONNS  TO GUEST  FROM GUEST  TOTAL TO",
      "      4  ready             1:36      2  12 MiB/s   1.0 KiB/s    12 MiB",
      "      5  no VMM            1:35      0         -           -       0 B",
      "1000000  no driver  1 d 1:01:01      0         -           -       7 B",
      "",
      "CID   HOST PORT  GUEST PORT  BY    STATE        TO GUEST  FROM GUEST   AGE",
      "  4        1024        5000  host  open         12 MiB/s   1.0 KiB/s  0:10",
      "  4  4294967294        5000  host  guest-ended     0 B/s       0 B/s  0:10",
    ]);
  });

  test("at 120 columns has totals, types, free and waiting bytes", () => {
    const [, , vms = "", , , , , connections = ""] = draw(AFTER, BEFORE, 120);
    expect(vms).toMatch(/TOTAL TO +TOTAL FROM +SOCKET$/);
    expect(connections).toBe(
      "CID   HOST PORT  GUEST PORT  BY    TYPE       STATE        TO GUEST  FROM GUEST    FREE  WAITING   AGE",
    );
  });

  test("at 200 columns aligns all of them", () => {
    const [, , head, first, , , , titles, connection] = draw(AFTER, BEFORE, 200);
    expect([head, first, titles, connection]).toEqual([
      "    CID  STATE               UP  CONNS  TO GUEST  FROM GUEST  TOTAL TO  TOTAL FROM  SOCKET",
      "      4  ready             1:36      2  12 MiB/s   1.0 KiB/s    12 MiB     1.0 KiB  /run/vm4.socket",
      "CID   HOST PORT  GUEST PORT  BY    TYPE       STATE        TO GUEST  FROM GUEST    FREE  WAITING   AGE",
      "  4        1024        5000  host  stream     open         12 MiB/s   1.0 KiB/s  64 KiB      0 B  0:10",
    ]);
  });

  test("without an earlier sample has no rates, and without VMs the reason", () => {
    expect(draw(AFTER, undefined, 80)[3]).toContain(
      "ready             1:36      2         -           -",
    );
    expect(draw(deviceSample(0), undefined, 80)).toEqual(["no hybrid-proxy of yours is running"]);
    expect(draw({ ...deviceSample(0), silentCount: 1 }, undefined, 80)).toEqual([
      "1 VM of a hybrid-proxy that does not answer",
    ]);
    const [title] = draw({ ...deviceSample(0, vm(3, 0, 0)), silentCount: 2 }, undefined, 80);
    expect(title).toBe("1 VM, 0 connections, 2 VMs of a hybrid-proxy that does not answer");
    expect(draw(deviceSample(0, vm(4, 0, 0)), undefined, 80).length).toBe(4);
  });
});

describe("the screen of an agent", () => {
  const sample = agentSample(1000, {
    connections: [
      agentConnection(1, { receivedBytes: 2048, requests: ["exec a", "get /b"], requestCount: 5 }),
      agentConnection(2, { requestCount: 0, requests: [] }),
    ],
    sessions: [
      session("aa", { name: "web", outputBytes: 512, command: "x".repeat(200) }),
      session("bb", { state: "ended (1)" }),
    ],
  });
  const before = agentSample(0, {
    connections: [agentConnection(1), agentConnection(2)],
    sessions: [session("aa"), session("bb")],
  });

  test("at 80 columns has what each connection and session does", () => {
    expect(draw(sample, before, 80)).toEqual([
      "web: guest, vsockbox 0.1.0, up 1:00",
      "load 0.5 0.25 0.1, memory 3.0 GiB of 4.0 GiB available",
      "2 connections, 1 detached session",
      "",
      "ID  PEER           AGE   RECEIVED   SENT  TOTAL RECEIVED  REQUESTS",
      " 1  vsock:2:1001  0:01  2.0 KiB/s  0 B/s         2.0 KiB  exec a, get /b, 3 more",
      " 2  vsock:2:1002  0:02      0 B/s  0 B/s             0 B  idle",
      "",
      "SESSION  NAME  PID  STATE      TIME   OUTPUT  COMMAND",
      `aa       web    77  running    0:05  512 B/s  ${"x".repeat(34)}`,
      "bb              77  ended (1)  0:05    0 B/s  command-of-bb",
    ]);
  });

  test("at 120 columns has totals", () => {
    const lines = draw(sample, before, 120);
    expect(lines[4]).toMatch(/TOTAL RECEIVED +TOTAL SENT +REQUESTS$/);
    expect(lines[8]).toMatch(/OUTPUT +TOTAL OUTPUT +COMMAND$/);
  });

  test("names an old agent's missing list of connections", () => {
    const old = agentSample(0, { connections: undefined });
    expect(draw(old, undefined, 80)[2]).toBe(
      "this agent does not list its connections, 0 detached sessions",
    );
  });

  test("obeys nothing that the guest sends", () => {
    const hostile = "\u001B[2J\u202E\n";
    const evil = agentSample(0, {
      target: hostile,
      facts: { ...sample.facts, hostname: hostile, version: hostile },
      sessions: [
        session(hostile, { name: hostile, pid: hostile, state: hostile, command: hostile }),
      ],
    });
    for (const line of draw(evil, undefined, 200)) expect(line).not.toMatch(/[\p{Cc}\u202E]/u);
  });
});

/** Titles of a table in the order in which they are left out as the screen becomes narrower. */
function leftOut(sample: TopSample, previous: TopSample, line: number): string[] {
  const titlesAt = (columns: number) => draw(sample, previous, columns)[line]?.split(/ {2,}/) ?? [];
  const left: string[] = [];
  let before = titlesAt(300);
  for (let columns = 299; columns > 30; columns--) {
    const now = titlesAt(columns);
    // A title that is cut is not left out yet.
    if (now.at(-1) !== before.at(-1) && before.at(-1)?.startsWith(now.at(-1) ?? "")) continue;
    left.push(...before.filter((title) => title !== "" && !now.includes(title)));
    before = now;
  }
  return left;
}

describe("a narrow screen leaves out, in this order,", () => {
  const wide = { name: "n".repeat(9), command: "c".repeat(60), outputBytes: 12_345_678 };
  const agent = agentSample(1000, {
    connections: [agentConnection(1, { requests: ["r".repeat(60)], receivedBytes: 12_345_678 })],
    sessions: [session("aa", wide)],
  });
  const before = agentSample(0, {
    connections: [agentConnection(1)],
    sessions: [session("aa")],
  });

  test("columns of VMs and of their connections", () => {
    expect(leftOut(AFTER, BEFORE, 2).slice(0, 5)).toEqual([
      ...["SOCKET", "TOTAL FROM", "TOTAL TO", "UP", "FROM GUEST"],
    ]);
    expect(leftOut(AFTER, BEFORE, 7).slice(0, 7)).toEqual([
      ...["FREE", "TYPE", "WAITING", "BY", "AGE", "STATE", "FROM GUEST"],
    ]);
  });

  test("columns of an agent's connections and sessions", () => {
    expect(leftOut(agent, before, 4).slice(0, 5)).toEqual([
      ...["TOTAL SENT", "TOTAL RECEIVED", "ID", "AGE", "SENT"],
    ]);
    expect(leftOut(agent, before, 7).slice(0, 5)).toEqual([
      ...["TOTAL OUTPUT", "PID", "NAME", "TIME", "OUTPUT"],
    ]);
  });
});

describe("a screen of few lines", () => {
  const many = deviceSample(
    0,
    ...Array.from({ length: 10 }, (_, index) =>
      vm(index + 3, 0, 0, [vmConnection(), vmConnection({ host_port: 9 })]),
    ),
  );

  test("never has more lines or columns than the terminal, and counts the hidden rows", () => {
    for (const columns of [0, 1, 20, 79, 80, 120, 300]) {
      for (let rows = 0; rows < 40; rows++) {
        const lines = draw(many, undefined, columns, rows);
        expect(lines.length).toBeLessThanOrEqual(rows);
        expect(Math.max(0, ...lines.map((line) => line.length))).toBeLessThanOrEqual(columns);
      }
    }
    const lines = draw(many, undefined, 80, 20);
    expect(lines.length).toBe(20);
    expect(lines).toContain("… 3 more VMs");
    expect(lines.at(-1)).toBe("… 14 more connections");
    expect(draw(many, undefined, 80, 36).length).toBe(35);
  });

  test("names its keys beside the counts", () => {
    const options = { columns: 80, rows: 24, order: "age", hasKeys: true } as const;
    expect(topLines(many, undefined, options)[0]).toBe(
      "10 VMs, 20 connections    q: quit  s: sort (by age)",
    );
  });

  test.each([
    [[3, 4], 10, [3, 4]],
    [[3, 40], 10, [3, 7]],
    [[40, 3], 10, [7, 3]],
    [[40, 40], 11, [6, 5]],
    [[40, 40], 0, [0, 0]],
    [[40], -3, [0]],
    [[], 10, []],
  ])("%j lines in %d are %j", (needed, available, shares) => {
    expect(shareLines(needed, available)).toEqual(shares);
  });
});
