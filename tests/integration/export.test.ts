/** `vsockbox export`, and guests of ours. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { ERRNO } from "../../src/ffi/errno.ts";
import { encodeMap } from "../../src/protocols/vfs/cbor.ts";
import { encodeVfsRequest } from "../../src/protocols/vfs/requests.ts";
import type { ExportStatus } from "../../src/vfs/server/export-status.ts";
import { eventually, Running, ScratchDirectory, vsockbox } from "../support/binary.ts";
import { expectShape, shapeOf } from "../support/json-shapes.ts";
import { RawVfsClient, VfsTestClient } from "../support/vfs-client.ts";
import { FLAGS, pathBytes } from "../support/vfs-export.ts";

const scratch = new ScratchDirectory();
const root = scratch.file("root");
const second = scratch.file("second");
const socket = scratch.file("export.sock");
let running: Running;

beforeAll(async () => {
  mkdirSync(root);
  mkdirSync(second);
  writeFileSync(join(second, "here"), "second");
  running = new Running([
    ...["export", root, second, "--as", "first", "--listen", `unix:${socket}`, "--hide", "*.key"],
  ]);
  await running.says("listening on");
});
afterAll(async () => {
  await running[Symbol.asyncDispose]();
  scratch[Symbol.dispose]();
});

const at = (path: string) => join(root, path);

function connected(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const made = connect(path, () => resolve(made));
    made.once("error", reject);
  });
}

test("requests of one guest that take long let others have their turn", async () => {
  writeFileSync(at("from"), new Uint8Array(16 * 1024 * 1024).fill(1));
  using busy = await VfsTestClient.open(socket);
  using other = await VfsTestClient.open(socket);
  const { handle = 0 } = await busy.ask({ op: "open", path: pathBytes("from"), flags: FLAGS.read });
  const made = { path: pathBytes("to"), flags: FLAGS.write, mode: 0o600 };
  const { handle: toHandle = 0 } = await busy.ask({ op: "create", ...made });
  // Fewer than those that are served in one turn in any case.
  const copies = Array.from({ length: 200 }, () =>
    busy.ask({
      ...{ op: "copyRange", handle, offset: 0, toHandle, toOffset: 0 },
      length: 16 * 1024 * 1024,
    }),
  );
  const before = busy.answered.length;
  expect((await other.ask({ op: "statfs" })).errno).toBe(0);
  expect(busy.answered.length - before).toBeLessThan(copies.length);
  for (const { errno } of await Promise.all(copies)) expect(errno).toBe(0);
  for (const name of ["from", "to"]) rmSync(at(name));
});

describe("a Hello", () => {
  test("opens an export by its name, or the first one", async () => {
    using byDefault = await VfsTestClient.open(socket);
    using first = await VfsTestClient.open(socket, "first");
    using other = await VfsTestClient.open(socket, "second");
    expect(byDefault.welcome.root.ino).toBe(statSync(root, { bigint: true }).ino);
    expect(first.welcome.root).toEqual(byDefault.welcome.root);
    expect(other.welcome.root.ino).toBe(statSync(second, { bigint: true }).ino);
    expect(byDefault.welcome).toMatchObject({
      ...{ version: 1, features: ["notify"], isReadOnly: false, inFlight: 128 },
      ...{ maxReadBytes: 1024 * 1024, maxWriteBytes: 1024 * 1024 },
    });
    expect(first.welcome.serverId).toEqual(other.welcome.serverId);
    expect(first.welcome.serverId).toHaveLength(16);
    expect((await other.ask({ op: "lookup", path: pathBytes("here") })).stat?.size).toBe(6);
  });

  test("of another name is refused, and so is a broken one", async () => {
    expect(VfsTestClient.open(socket, "third")).rejects.toThrow("refused: errno 2");
    using raw = new RawVfsClient(socket);
    expect(
      (await raw.ask(encodeMap({ op: 200, version: 1, name: 7, features: [] }))).get("err"),
    ).toBe(-22);
    expect(await raw.next()).toBeUndefined();
  });

  test("of a later version gets version 1", async () => {
    using raw = new RawVfsClient(socket);
    const answer = await raw.ask(
      encodeMap({ op: 200, version: 9, name: "", features: ["new"], more: [1] }),
    );
    expect([answer.get("err"), answer.get("version")]).toEqual([0, 1]);
  });
});

test("many requests at once are all answered, each with its id", async () => {
  using guest = await VfsTestClient.open(socket);
  const content = Buffer.alloc(300_000, "0123456789abcdef");
  writeFileSync(at("many"), content);
  const { handle = 0 } = await guest.ask({ op: "open", path: pathBytes("many"), flags: 0 });
  const reads = Array.from({ length: 300 }, async (_, index) => {
    const { data } = await guest.ask({ op: "read", handle, offset: index * 1000, size: 1000 });
    return Buffer.from(data ?? []);
  });
  expect(Buffer.concat(await Promise.all(reads)).equals(content)).toBe(true);
  const [large, small] = await Promise.all([
    guest.ask({ op: "read", handle, offset: 0, size: 1024 * 1024 }),
    guest.ask({ op: "getattr", path: pathBytes("many") }),
  ]);
  expect([large.data?.length, small.stat?.size]).toEqual([300_000, 300_000]);
});

test("a write of the largest size comes back", async () => {
  using guest = await VfsTestClient.open(socket);
  const data = new Uint8Array(1024 * 1024).map((_, index) => index % 251);
  const created = await guest.ask({
    op: "create",
    path: pathBytes("large"),
    flags: FLAGS.readWrite,
    mode: 0o600,
  });
  const handle = created.handle ?? 0;
  expect((await guest.ask({ op: "write", handle, offset: 5, data })).written).toBe(data.length);
  const back = await guest.ask({ op: "read", handle, offset: 5, size: data.length });
  expect(Buffer.from(back.data ?? []).equals(data)).toBe(true);
  expect(readFileSync(at("large")).subarray(5).equals(data)).toBe(true);
});

test("fsync is answered later, others meanwhile", async () => {
  using guest = await VfsTestClient.open(socket);
  const { handle = 0 } = await guest.ask({
    op: "create",
    path: pathBytes("synced"),
    flags: FLAGS.write,
    mode: 0o600,
  });
  const answers = await Promise.all([
    guest.ask({ op: "fsync", handle, flags: 0 }),
    guest.ask({ op: "flush", handle }),
  ]);
  expect(answers.map(({ errno }) => errno)).toEqual([0, 0]);
  expect(guest.answered.toSorted((a, b) => a - b)).toEqual([1, 2, 3]);
});

test("handles belong to their connection", async () => {
  using guest = await VfsTestClient.open(socket);
  using other = await VfsTestClient.open(socket);
  writeFileSync(at("own"), "12345");
  const { handle = 0 } = await guest.ask({ op: "open", path: pathBytes("own"), flags: 0 });
  expect((await other.ask({ op: "read", handle, offset: 0, size: 5 })).errno).toBe(ERRNO.EBADF);
  expect((await other.ask({ op: "release", handle })).errno).toBe(ERRNO.EBADF);
  expect((await guest.ask({ op: "read", handle, offset: 0, size: 5 })).data).toHaveLength(5);
});

test("the files of a connection are closed with it", async () => {
  const descriptors = () =>
    Bun.spawnSync(["ls", `/proc/${running.pid}/fd`])
      .stdout.toString()
      .split("\n").length;
  const guest = await VfsTestClient.open(socket);
  writeFileSync(at("left"), "12345");
  const before = descriptors();
  for (let i = 0; i < 20; i++) await guest.ask({ op: "open", path: pathBytes("left"), flags: 0 });
  expect(descriptors()).toBe(before + 20);
  guest[Symbol.dispose]();
  await eventually("its files are closed", () => descriptors() < before);
});

describe("broken input", () => {
  test.each([
    ["an empty frame", Buffer.alloc(4)],
    ["a frame above the limit", Buffer.from([0, 0x40, 0, 1])],
    ["what is not CBOR", Buffer.from([0, 0, 0, 1, 0xff])],
    ["a request without an id", Buffer.concat([Buffer.from([0, 0, 0, 5]), encodeMap({ op: 3 })])],
  ])("ends the connection: %s", async (_, bytes) => {
    using guest = await VfsTestClient.open(socket);
    using other = await VfsTestClient.open(socket);
    guest.raw.send(bytes);
    expect(guest.ask({ op: "statfs" })).rejects.toThrow("ended");
    expect((await other.ask({ op: "statfs" })).errno).toBe(0);
  });

  test("within a whole frame is answered, and the connection continues", async () => {
    using guest = await VfsTestClient.open(socket);
    const bad = guest.ask({ op: "lookup", path: pathBytes("../outside") });
    expect((await bad).errno).toBe(ERRNO.EINVAL);
    expect((await guest.ask({ op: "cancel", target: 1 })).errno).toBe(0);
    expect((await guest.ask({ op: "statfs" })).errno).toBe(0);
  });
});

test("a guest that reads no answers holds no more than a few megabytes of the host", async () => {
  using guest = await VfsTestClient.open(socket);
  writeFileSync(at("big"), Buffer.alloc(1024 * 1024, 1));
  const { handle = 0 } = await guest.ask({ op: "open", path: pathBytes("big"), flags: 0 });
  const memory = () => {
    const status = readFileSync(`/proc/${running.pid}/status`, "utf8");
    return Number(/^RssAnon:\s+(\d+)/m.exec(status)?.[1]) * 1024;
  };
  const before = memory();
  guest.raw.socket.pause();
  const read = (id: number) =>
    encodeVfsRequest(id, { op: "read", handle, offset: 0, size: 1024 * 1024 });
  for (let i = 0; i < 500; i++) guest.raw.send(read(1000 + i));
  using other = await VfsTestClient.open(socket);
  for (let i = 0; i < 50; i++) expect((await other.ask({ op: "statfs" })).errno).toBe(0);
  expect(memory() - before).toBeLessThan(64 * 1024 * 1024);
});

describe("notifications", () => {
  test("of changes on the host come as they happen, without hidden names", async () => {
    using guest = await VfsTestClient.open(socket);
    mkdirSync(at("watched"));
    expect((await guest.ask({ op: "subscribe" })).errno).toBe(0);
    expect((await guest.ask({ op: "subscribe" })).errno).toBe(0);
    writeFileSync(at("watched/secret.key"), "x");
    writeFileSync(at("watched/new"), "x");
    const has = (kind: string, path: string) =>
      guest.notes.some((note) => note.kind === kind && Buffer.from(note.path).toString() === path);
    await eventually("the new file is reported", () => has("created", "watched/new"));
    writeFileSync(at("watched/new"), "more");
    await eventually("the change is reported", () => has("modified", "watched/new"));
    renameSync(at("watched/new"), at("watched/moved"));
    await eventually("the new name is reported", () =>
      guest.notes.some(
        ({ newPath }) =>
          newPath !== undefined && Buffer.from(newPath).toString() === "watched/moved",
      ),
    );
    rmSync(at("watched/moved"));
    await eventually("the removal is reported", () => has("removed", "watched/moved"));
    expect(guest.notes.some(({ path }) => Buffer.from(path).includes("key"))).toBe(false);
  });

  test("are not of what the guest itself has done, but reach other guests", async () => {
    using guest = await VfsTestClient.open(socket);
    using other = await VfsTestClient.open(socket);
    await Promise.all([guest.ask({ op: "subscribe" }), other.ask({ op: "subscribe" })]);
    const path = Buffer.from("own");
    const newPath = Buffer.from("own-moved");
    const owner = { uid: undefined, gid: undefined };
    for (let round = 0; round < 20; round++) {
      const created = { op: "create", path, flags: 2, mode: 0o600, ...owner } as const;
      const { handle = 0 } = await guest.ask(created);
      await guest.ask({ op: "write", handle, offset: 0, data: path });
      const times = { size: undefined, atime: undefined, mtime: undefined };
      await guest.ask({
        ...{ op: "setAttributes", path, handle: undefined, mode: 0o640, ...owner, ...times },
      });
      await guest.ask({ op: "release", handle });
      await guest.ask({ op: "rename", path, newPath, flags: 0 });
      await guest.ask({ op: "unlink", path: newPath });
      await guest.ask({ op: "mkdir", path, mode: 0o700, ...owner });
      await guest.ask({ op: "rmdir", path });
    }
    writeFileSync(at("own"), "of the host");
    const isReported =
      ({ notes }: VfsTestClient) =>
      () =>
        notes.some(({ kind, path: of }) => kind === "modified" && Buffer.compare(of, path) === 0);
    await eventually("the host's change is reported", isReported(guest));
    const kinds = guest.notes.map(({ kind }) => kind);
    expect([...new Set(kinds)].toSorted()).toEqual(["created", "modified"]);
    expect(kinds.filter((kind) => kind === "created")).toHaveLength(1);
    const seen = () => new Set(other.notes.map(({ kind }) => kind));
    await eventually("the other guest has seen it all", () => seen().size === 5);
    rmSync(at("own"));
  });

  test("reach each subscriber, and a new one after all others have ended", async () => {
    const one = await VfsTestClient.open(socket);
    using two = await VfsTestClient.open(socket);
    await Promise.all([one.ask({ op: "subscribe" }), two.ask({ op: "subscribe" })]);
    writeFileSync(at("both"), "x");
    const seen = (guest: VfsTestClient, path: string) =>
      eventually(`${path} is reported`, () =>
        guest.notes.some((note) => Buffer.from(note.path).toString() === path),
      );
    await Promise.all([seen(one, "both"), seen(two, "both")]);
    one[Symbol.dispose]();
    two[Symbol.dispose]();
    using three = await VfsTestClient.open(socket);
    expect((await three.ask({ op: "subscribe" })).errno).toBe(0);
    writeFileSync(at("later"), "x");
    await seen(three, "later");
  });
});

describe("the command", () => {
  test("prints events as JSON, and ends at a signal without a socket left", async () => {
    const path = scratch.file("vm");
    await using own = new Running([
      "export",
      root,
      "--listen",
      `hybrid:${path}`,
      "--json",
      "--read-only",
    ]);
    await own.says("listening on");
    const guest = await VfsTestClient.open(`${path}_5001`);
    expect(guest.welcome.isReadOnly).toBe(true);
    expect((await guest.ask({ op: "mkdir", path: pathBytes("no"), mode: 0o755 })).errno).toBe(
      ERRNO.EROFS,
    );
    guest.raw.send(Buffer.alloc(4));
    await own.says("a frame is empty");
    own.process.kill("SIGTERM");
    expect(await own.process.exited).toBe(0);
    const lines = (await new Response(own.process.stdout).text()).trim().split("\n");
    const events = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(events).toEqual([
      {
        ...{ event: "listening", addresses: [`hybrid:${path}:5001`], read_only: true },
        exports: [{ name: "root", path: root }],
      },
      { event: "opened", peer: "unix", export: "root", dialect: "vsockbox" },
      {
        event: "closed",
        peer: "unix",
        reason: expect.stringContaining("a frame is empty") as unknown,
      },
    ]);
    expect(existsSync(`${path}_5001`)).toBe(false);
    const shape = shapeOf("export");
    for (const event of events) {
      const keys = new Map([...shape].filter(([key]) => key in event));
      expectShape(event, keys);
    }
  });

  test("closes connections above the limit", async () => {
    const path = scratch.file("limited.sock");
    await using own = new Running([
      "export",
      root,
      "--listen",
      `unix:${path}`,
      "--max-connections",
      "1",
    ]);
    await own.says("listening on");
    using guest = await VfsTestClient.open(path);
    await expect(VfsTestClient.open(path)).rejects.toThrow();
    await own.says("there may be no more than 1 connection");
    expect((await guest.ask({ op: "statfs" })).errno).toBe(0);
    guest[Symbol.dispose]();
    await own.says("has closed its connection");
    using next = await VfsTestClient.open(path);
    expect((await next.ask({ op: "statfs" })).errno).toBe(0);
  });

  test("lets a guest in while another one has all connections that it may have", async () => {
    const paths = [scratch.file("first.sock"), scratch.file("second.sock")] as const;
    const listen = paths.flatMap((path) => ["--listen", `unix:${path}`]);
    await using own = new Running(["export", root, ...listen, "--max-guest-connections", "2"]);
    await own.says("listening on");
    using one = await VfsTestClient.open(paths[0]);
    using two = await VfsTestClient.open(paths[0]);
    await expect(VfsTestClient.open(paths[0])).rejects.toThrow();
    await own.says("there may be no more than 2 connections of one guest");
    using other = await VfsTestClient.open(paths[1]);
    for (const guest of [one, two, other]) {
      expect((await guest.ask({ op: "statfs" })).errno).toBe(0);
    }
  });

  test("ends the oldest connection without an export if others need it", async () => {
    const path = scratch.file("silent.sock");
    const words = ["export", root, "--listen", `unix:${path}`, "--max-connections", "2"];
    await using own = new Running(words);
    await own.says("listening on");
    const silent = await Promise.all([connected(path), connected(path)]);
    const ended = new Promise<void>((resolve) => silent[0]?.once("close", () => resolve()));
    for (const one of silent) one.on("error", () => undefined).resume();
    using guest = await VfsTestClient.open(path);
    await ended;
    await own.says("it has not opened an export");
    expect((await guest.ask({ op: "statfs" })).errno).toBe(0);
    for (const one of silent) one.destroy();
  });

  test("ends without a warning about its guests", async () => {
    const path = scratch.file("ending.sock");
    await using own = new Running(["export", root, "--listen", `unix:${path}`]);
    await own.says("listening on");
    using guest = await VfsTestClient.open(path);
    expect((await guest.ask({ op: "statfs" })).errno).toBe(0);
    own.process.kill("SIGTERM");
    expect(await own.process.exited).toBe(0);
    await own.stderrDone;
    expect(own.stderr).toContain("has opened");
    expect(own.stderr).not.toContain("warning");
  });

  test("shows the state of what runs", async () => {
    const path = scratch.file("shown");
    const words = ["export", root, "--listen", `hybrid:${path}`, "--as", "shown"];
    await using own = new Running(words);
    await own.says("listening on");
    using guest = await VfsTestClient.open(`${path}_5001`);
    await guest.ask({ op: "open", path: pathBytes(""), flags: FLAGS.directory });
    const shown = await vsockbox(["export", "status", path, "--json"]);
    expect(shown).toMatchObject({ status: 0, stderr: "" });
    const state = JSON.parse(shown.stdout) as ExportStatus;
    expectShape(state, shapeOf("export status"));
    expect(state).toMatchObject({
      ...{ pid: own.process.pid, addresses: [`hybrid:${path}:5001`], open_files: 1 },
      ...{ exports: [{ name: "shown", path: root }], connections_open: 1, read_only: false },
      connections: [{ export: "shown", dialect: "vsockbox", open_files: 1 }],
    });
    expect(statSync(`${path}_5001.export`).mode & 0o777).toBe(0o600);
    for (const name of [`${path}_5001`, `${path}_5001.export`]) {
      const { stdout } = await vsockbox(["export", "status", name]);
      expect(stdout).toContain(`process ${own.process.pid}, up `);
      expect(stdout).toContain("export       shown: ");
    }
    const all = await vsockbox(["export", "status", "--json"]);
    expect(all.stdout).toContain(`"pid":${own.process.pid},`);
    own.process.kill("SIGTERM");
    await own.process.exited;
    expect(existsSync(`${path}_5001.export`)).toBe(false);
    expect(await vsockbox(["export", "status", path])).toMatchObject({ status: 69 });
  });

  test("serves metrics", async () => {
    const path = scratch.file("counted.sock");
    const metrics = scratch.file("metrics.sock");
    await using own = new Running([
      "export",
      root,
      "--listen",
      `unix:${path}`,
      "--metrics",
      `unix:${metrics}`,
    ]);
    await own.says("listening on");
    using guest = await VfsTestClient.open(path);
    const { handle = 0 } = await guest.ask({
      op: "create",
      path: pathBytes("counted"),
      flags: 2,
      mode: 0o600,
    });
    await guest.ask({ op: "write", handle, offset: 0, data: pathBytes("12345") });
    await guest.ask({ op: "read", handle, offset: 1, size: 100 });
    const text = await (await fetch("http://localhost/metrics", { unix: metrics })).text();
    expect(text).toContain("vsockbox_export_connections 1\n");
    expect(text).toContain("vsockbox_export_requests_total 4\n");
    expect(text).toContain("vsockbox_export_written_bytes_total 5\n");
    expect(text).toContain("vsockbox_export_read_bytes_total 4\n");
  });

  test.each([
    [["a/x", "b/x"], "two exports have the name x"],
    [["a", "--as", "b", "--as", "c"], "--as is given 2 times for 1 directory"],
    [["a", "--hide", "b/c"], 'invalid value "b/c" for --hide'],
    // All values are checked before a directory is opened.
    [["none", "--as", "a/b"], 'invalid value "a/b" for --as: expected a name of at most 255'],
    [["none", "--metrics", "x"], 'invalid value "x" for --metrics: expected HOST:PORT'],
    [["none", "--map-gid", "1:2", "--map-gid", "1:3"], "--map-gid has the guest's id 1 more"],
    [["a", "--mount-point", "b"], 'invalid value "b" for --mount-point'],
    [
      ["a", "--map-uid", "1:2", "--map-uid", "1:3"],
      "--map-uid has the guest's id 1 more than once",
    ],
    [["a", "--squash", "1"], 'invalid value "1" for --squash'],
  ])("refuses %p", async (args, message) => {
    for (const name of ["a", "a/x", "b", "b/x"]) mkdirSync(scratch.file(name), { recursive: true });
    const { status, stderr } = await vsockbox(
      ["export", ...args, "--listen", `unix:${scratch.file("no.sock")}`],
      {
        cwd: scratch.path,
      },
    );
    expect([status, stderr]).toEqual([64, expect.stringContaining(message)]);
  });

  test("refuses a directory that it cannot open", async () => {
    const { status, stderr } = await vsockbox([
      "export",
      scratch.file("missing"),
      "--listen",
      `unix:${scratch.file("no.sock")}`,
    ]);
    expect([status, stderr]).toEqual([74, expect.stringContaining("cannot open directory")]);
    expect(existsSync(scratch.file("no.sock"))).toBe(false);
  });
});
