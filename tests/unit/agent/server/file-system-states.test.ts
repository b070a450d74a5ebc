import { expect, test } from "bun:test";
import {
  measuredMounts,
  readFileSystemStates,
} from "../../../../src/agent/server/file-system-states.ts";
import { parseMountInfo } from "../../../../src/protocols/procfs/mount-info.ts";

const line = (number: string, path: string, type: string, options = "rw") =>
  `1 2 ${number} / ${path} ${options} - ${type} source rw`;
const pathsOf = (...lines: string[]) =>
  measuredMounts(parseMountInfo(lines.join("\n"))).map(({ path }) => path);

test("file systems with blocks are measured", () => {
  for (const type of ["ext4", "tmpfs", "overlay", "virtiofs", "9p", "fuseblk", "squashfs"])
    expect(pathsOf(line("8:1", "/a", type))).toEqual(["/a"]);
});

test("those without blocks, and those of a network, are not", () => {
  for (const type of ["proc", "sysfs", "cgroup2", "autofs", "nfs4", "cifs", "fuse", "fuse.sshfs"])
    expect(pathsOf(line("8:1", "/a", type))).toEqual([]);
  const kernel = [line("8:1", "/sys/fs/cgroup", "tmpfs"), line("8:2", "/proc/acpi", "tmpfs")];
  expect(pathsOf(...kernel, line("8:3", "/srv/proc/x", "tmpfs"))).toEqual(["/srv/proc/x"]);
});

test("a file system with several mounts is measured at the shortest path", () => {
  const lines = [line("8:1", "/srv/data", "ext4"), line("8:1", "/srv", "ext4")];
  expect(pathsOf(...lines, line("8:2", "/b", "ext4"))).toEqual(["/srv", "/b"]);
  expect(pathsOf(...lines.toReversed())).toEqual(["/srv"]);
});

test("a mount that another one covers is not measured", () => {
  const lines = [line("0:2", "/run", "ext4"), line("0:3", "/run", "tmpfs")];
  const [mount] = measuredMounts(parseMountInfo(lines.join("\n")));
  expect(mount).toMatchObject({ deviceNumber: "0:3", type: "tmpfs" });
  expect(pathsOf(line("0:2", "/run", "ext4"), line("0:4", "/run", "proc"))).toEqual([]);
});

test("there are at most 64, and none with a path that would be cut", () => {
  const many = Array.from({ length: 70 }, (_, index) => line(`8:${index}`, `/${index}`, "ext4"));
  expect(pathsOf(...many)).toHaveLength(64);
  const ofLength = (length: number) => line("8:1", `/${"x".repeat(length - 1)}`, "ext4");
  expect(pathsOf(ofLength(257))).toEqual([]);
  expect(pathsOf(ofLength(256))).toHaveLength(1);
});

test("a file system that does not answer holds up no other one, and is not asked a second time", async () => {
  const usage = { sizeBytes: 1, freeBytes: 0, availableBytes: 0, files: 0, freeFiles: 0 };
  const hung = Promise.withResolvers<typeof usage>();
  const asked: string[] = [];
  const ask = (path: string) => {
    asked.push(path);
    return path === "/hung" ? hung.promise : Promise.resolve(usage);
  };
  const text = [line("8:1", "/hung", "virtiofs"), line("8:2", "/fine", "ext4")].join("\n");
  const read = async () =>
    (await readFileSystemStates(text, ask, 20)).map((state) => [state.path, state.usage]);
  const late = [
    ["/hung", undefined],
    ["/fine", usage],
  ];
  expect(await read()).toEqual(late);
  expect(await read()).toEqual(late);
  expect(asked).toEqual(["/hung", "/fine", "/fine"]);
  hung.resolve(usage);
  await hung.promise;
  expect(await read()).toEqual([
    ["/hung", usage],
    ["/fine", usage],
  ]);
});

test("the root has a size, a path that does not exist has an error, and /proc no blocks", async () => {
  const text = [
    line("8:1", "/", "ext4"),
    line("8:2", "/no-such-directory", "ext4", "ro"),
    // Declared as another type, since proc is not asked.
    line("8:3", "/proc", "ext4"),
  ].join("\n");
  const [root, missing, ...rest] = await readFileSystemStates(text);
  expect(root).toMatchObject({ path: "/", type: "ext4", source: "source", isReadOnly: false });
  const { sizeBytes = 0, freeBytes = 0, availableBytes = 0 } = root?.usage ?? {};
  expect(sizeBytes).toBeGreaterThan(1e6);
  expect(sizeBytes).toBeGreaterThanOrEqual(freeBytes);
  expect(freeBytes).toBeGreaterThanOrEqual(availableBytes);
  expect(missing).toMatchObject({ isReadOnly: true, usage: undefined });
  expect(rest).toEqual([]);
});
