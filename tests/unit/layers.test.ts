/**
 * The layers of `src/`, held against its imports: which directory may import which other one, and no circle
 * between files or directories. Here a "room" is a directory of `src/`; agent, device, process and
 * vfs are divided once more. Files directly in `src/` count as rooms too.
 */
import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import {
  findCircle,
  type Import,
  importsOf,
  readImports,
  sourceFiles,
} from "../support/imports.ts";

const ROOT = join(import.meta.dir, "../../src");

/** Rooms that everything may import: the error family and what this program is. */
const BASE: ReadonlySet<string> = new Set([
  "errors.ts",
  "operations.ts",
  "system-errors.ts",
  "start-error.ts",
  "version.ts",
  "file-stat.ts",
  "text",
  "json",
]);

/** Which rooms a room may import, beside {@link BASE} and itself; the order is that of the layers. */
const LAYERS: Readonly<Record<string, readonly string[]>> = {
  // Values: text in, text out.
  "system-errors.ts": [],
  "operations.ts": [],
  "errors.ts": ["system-errors.ts", "operations.ts"],
  "version.ts": [],
  "file-stat.ts": [],
  "start-error.ts": [],
  text: [],
  json: [],
  // System calls.
  ffi: [],
  // Bytes in, events out.
  protocols: [],
  // The terminal and the command line, without any command.
  ui: ["ffi"],
  // The system: descriptors, files, processes, addresses.
  elf: [],
  io: ["ffi"],
  files: ["ffi", "protocols"],
  net: ["ffi", "io", "files", "protocols"],
  process: ["ffi", "io", "files", "protocols", "process/sandbox"],
  "process/init": ["ffi", "process"],
  "process/sandbox": ["ffi", "protocols"],
  "process/service": ["ffi", "io", "files", "process"],
  config: ["net", "process"],
  // The services and their clients.
  "vfs/client": ["ffi", "io", "net", "protocols"],
  "vfs/mount": ["ffi", "io", "process", "protocols", "vfs/client"],
  "vfs/watch": ["ffi", "files", "io"],
  "vfs/server": ["ffi", "files", "io", "net", "protocols", "vfs/watch"],
  monitor: ["ffi", "io", "net", "protocols"],
  agent: [],
  "agent/channel": ["io", "protocols"],
  "agent/transfer": ["ffi", "io", "files", "protocols", "agent/channel"],
  "agent/client": [
    ...["io", "files", "net", "process", "process/sandbox", "protocols"],
    ...["agent", "agent/channel", "agent/transfer"],
  ],
  "agent/server": [
    ...["ffi", "io", "files", "net", "process", "process/sandbox", "process/service", "protocols"],
    ...["agent/channel", "agent/transfer", "vfs/watch"],
  ],
  "device/config": ["config", "ffi", "net", "protocols"],
  "device/vhost-user": ["ffi", "io", "net", "protocols"],
  "device/host": ["ffi", "io", "net", "process", "protocols", "device/config"],
  "device/vsock": ["ffi", "io", "protocols", "device/vhost-user", "device/host"],
  device: [
    ...["io", "net", "process/service", "protocols"],
    ...["device/config", "device/host", "device/vhost-user", "device/vsock"],
  ],
  "device/observe": [
    ...["ffi", "io", "monitor", "net", "process", "process/service", "protocols"],
    ...["device", "device/config", "device/vhost-user", "device/vsock"],
  ],
  "device/serve": [
    ...["io", "net", "process", "process/service"],
    ...["device", "device/config", "device/host", "device/observe"],
  ],
  "device/confine": [
    ...["ffi", "process", "process/sandbox", "process/service"],
    ...["device/config", "device/host", "device/observe", "device/serve"],
  ],
  bench: ["ffi", "io", "net", "protocols"],
  bridge: ["io", "net", "protocols"],
  "guest-exec": ["ffi", "io", "net", "process", "protocols"],
  "vsock-shell": [
    ...["ffi", "io", "files", "net", "process", "process/service", "protocols"],
    ...["agent/channel", "agent/client", "agent/server", "agent/transfer"],
  ],
  install: ["elf", "files", "process"],
  initramfs: ["elf", "process/init"],
  vm: ["elf", "ffi", "initramfs", "process"],
  diagnose: [
    ...["ffi", "config", "initramfs", "io", "net", "process", "protocols"],
    ...["agent", "agent/client"],
  ],
  smoke: ["agent/channel", "agent/client", "agent/server", "ffi", "io", "net"],
  demo: ["io", "process", "vm"],
  library: [
    ...["agent", "agent/channel", "agent/client", "agent/transfer"],
    ...["config", "ffi", "files", "io", "net", "process", "protocols", "vfs/server"],
  ],
  "index.ts": ["agent/client", "agent/transfer", "library", "vfs/server"],
};

/** The one library that a protocol uses: CBOR, which is bytes in, values out. */
const CBOR = { from: "protocols/vfs/cbor.ts", to: "cborg" } as const;

/** Rooms that may import all the others below them; among each other they are free of circles as well. */
const TOP: ReadonlySet<string> = new Set(["commands", "main.ts"]);

/** The room of a path below the root. */
function roomOf(path: string): string {
  const parts = path.split("/");
  const [first = ""] = parts;
  const isDivided = ["agent", "device", "process", "vfs"].includes(first) && parts.length > 2;
  return isDivided ? parts.slice(0, 2).join("/") : first;
}

/** The rule that an import breaks, in words; undefined for a right one. */
function fault({ from, to }: Import): string | undefined {
  const room = roomOf(from);
  if (to === "bun:ffi")
    return room === "ffi" ? undefined : `${from} imports bun:ffi outside of ffi/`;
  const isOwn = to.endsWith(".ts") && !to.startsWith("..");
  if (room === "protocols" && !isOwn && !(from === CBOR.from && to === CBOR.to))
    return `${from} imports ${to}: protocols are pure`;
  if (!isOwn) return undefined;
  const other = roomOf(to);
  if (room === other || TOP.has(room)) return undefined;
  const allowed = LAYERS[room];
  if (allowed === undefined) return `${from}: the room ${room} has no line in LAYERS`;
  const mayUseBase = !BASE.has(room) || other === "errors.ts";
  if (allowed.includes(other) || (BASE.has(other) && mayUseBase)) return undefined;
  return `${from} imports ${to}: ${room} may not import ${other}`;
}

const files = sourceFiles(ROOT);
const imports = files.flatMap((file) => importsOf(ROOT, file));

/** Edges of a graph with an edge for each import. */
function edges(name: (path: string) => string, used: readonly Import[]): Map<string, Set<string>> {
  const graph = new Map<string, Set<string>>();
  for (const { from, to } of used) {
    if (!to.endsWith(".ts") || to.startsWith("..") || name(from) === name(to)) continue;
    graph.set(name(from), (graph.get(name(from)) ?? new Set()).add(name(to)));
  }
  return graph;
}

describe("the sources", () => {
  test("import only what the table of layers allows", () => {
    expect(files.length).toBeGreaterThan(250);
    expect(imports.map(fault).filter((text) => text !== undefined)).toEqual([]);
  });

  test("have no circle of files, not even of types", () => {
    // A command that is loaded when it is run is no circle: the list of commands is there before it.
    const loaded = imports.filter(({ isLazy }) => !isLazy);
    expect(findCircle(edges((path) => path, loaded))).toBeUndefined();
  });

  test("have nothing of the library in the executable", () => {
    const users = imports.filter(({ to }) => roomOf(to) === "library" || to === "index.ts");
    const isOutside = ({ from }: Import) => roomOf(from) !== "library" && from !== "index.ts";
    expect(users.filter(isOutside)).toEqual([]);
    expect(users.length).toBeGreaterThan(20);
  });

  test("have no circle of directories", () => {
    const loaded = imports.filter(({ isLazy }) => !isLazy);
    expect(findCircle(edges(roomOf, loaded))).toBeUndefined();
  });

  test("load nothing for metrics when a command is run in a guest", () => {
    const graph = edges(
      (path) => path,
      imports.filter(({ isLazy, isType }) => !isLazy && !isType),
    );
    const loadedBy = (file: string) => {
      const found = new Set([file]);
      for (const path of found) for (const other of graph.get(path) ?? []) found.add(other);
      return [...found];
    };
    const exec = loadedBy("commands/run/exec.ts");
    expect(exec.length).toBeGreaterThan(50);
    // Sandboxes read mounts as well.
    const ofMetrics = /metric|scrape|procfs\/(?!mount-info)|prometheus/;
    expect(exec.filter((path) => ofMetrics.test(path))).toEqual([]);
    // The agent loads the collector at the first request for metrics.
    const agent = loadedBy("commands/guest/agent.ts");
    expect(agent).toContain("agent/server/agent-server.ts");
    expect(agent.filter((path) => /collect-metrics|procfs\/(?!mount-info)/.test(path))).toEqual([]);
  });

  test("have a line in the table for each directory, and no line without a directory", () => {
    const rooms = new Set(files.map(roomOf));
    expect([...rooms].filter((room) => !TOP.has(room) && !(room in LAYERS))).toEqual([]);
    expect(Object.keys(LAYERS).filter((room) => !rooms.has(room))).toEqual([]);
  });

  test("use each permission of the table", () => {
    const used = new Set(imports.map(({ from, to }) => `${roomOf(from)} -> ${roomOf(to)}`));
    const unused = Object.entries(LAYERS)
      .flatMap(([room, allowed]) => allowed.map((other) => `${room} -> ${other}`))
      .filter((arrow) => !used.has(arrow));
    expect(unused).toEqual([]);
  });
});

describe("the check of the layers", () => {
  const faultsOf = (from: string, text: string) =>
    readImports(from, text)
      .map(fault)
      .filter((found) => found !== undefined);

  test.each([
    ["net/dial.ts", 'import { report } from "../ui/report.ts";', "net may not import ui"],
    [
      "ffi/termios.ts",
      'import type { A } from "../protocols/a.ts";',
      "ffi may not import protocols",
    ],
    ["agent/client/a.ts", 'import { b } from "../server/b.ts";', "may not import agent/server"],
    ["agent/server/a.ts", 'import { b } from "../client/b.ts";', "may not import agent/client"],
    ["device/device.ts", 'export { b } from "../commands/index.ts";', "may not import commands"],
    ["net/dial.ts", 'import { dlopen } from "bun:ffi";', "imports bun:ffi outside of ffi/"],
    ["protocols/a.ts", 'import { readFileSync } from "node:fs";', "protocols are pure"],
    ["protocols/a.ts", 'import { decode } from "cborg";', "protocols are pure"],
    ["protocols/a.ts", 'const a = await import("../net/dial.ts");', "protocols may not import net"],
    ["new/a.ts", 'import { b } from "../net/b.ts";', "has no line in LAYERS"],
  ])("refuses in %s %s", (from, text, expected) => {
    expect(faultsOf(from, text)).toEqual([expect.stringContaining(expected)]);
  });

  test("reads imports over several lines, of types, for effects, and lazy ones, but no comments", () => {
    const text = `/** import { no } from "./no.ts"; */
import {
  a,
  type B,
} from "./a.ts";
import type { C } from "../net/c.ts";
import "./effect.ts";
export * from "./d.ts";
const e = await import("./e.ts");
type F = typeof import("./f.ts");
`;
    expect(
      readImports("io/x.ts", text).map(({ to, isType, isLazy }) => [to, isType, isLazy]),
    ).toEqual([
      ["io/a.ts", false, false],
      ["net/c.ts", true, false],
      ["io/effect.ts", false, false],
      ["io/d.ts", false, false],
      ["io/e.ts", false, true],
      ["io/f.ts", true, false],
    ]);
  });

  test("finds a circle", () => {
    const graph = (text: string) =>
      new Map(text.split(" ").map((arrow) => [arrow[0] ?? "", [...arrow.slice(1)]]));
    expect(findCircle(graph("ab bc c"))).toBeUndefined();
    expect(findCircle(graph("abc c bc"))).toBeUndefined();
    expect(findCircle(graph("ab bc cb"))).toEqual(["b", "c", "b"]);
    expect(findCircle(graph("aa"))).toEqual(["a", "a"]);
  });
});
