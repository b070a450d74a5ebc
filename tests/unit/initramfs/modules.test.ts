/** Modules: which are packed, in which order, and how a guest loads them. */
import { describe, expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { zstdCompressSync } from "node:zlib";
import {
  moduleFacts,
  readModule,
  resolveModules,
  VSOCK_MODULES,
} from "../../../src/initramfs/modules.ts";
import { loadModules } from "../../../src/process/init/load-modules.ts";
import { ScratchDirectory } from "../../support/scratch-directory.ts";
import { describeWith } from "../../support/tools.ts";

/** As depmod writes it, nearest first. */
const DEPENDENCIES = `kernel/virtio.ko: kernel/virtio_ring.ko.zst
kernel/virtio_ring.ko.zst:
kernel/virtio_pci.ko: kernel/virtio_pci_modern_dev.ko kernel/virtio.ko kernel/virtio_ring.ko.zst
kernel/virtio_pci_modern_dev.ko:
kernel/vsock.ko.gz:
kernel/vmw_vsock_virtio_transport.ko.xz: kernel/common.ko kernel/vsock.ko.gz kernel/virtio.ko kernel/virtio_ring.ko.zst
kernel/common.ko: kernel/vsock.ko.gz
kernel/ext4.ko: kernel/mbcache.ko
kernel/mbcache.ko:
kernel/crc32c-generic.ko:
kernel/circle-a.ko: kernel/circle-b.ko
kernel/circle-b.ko: kernel/circle-a.ko
`;

function treeIn(scratch: ScratchDirectory) {
  writeFileSync(scratch.file("modules.dep"), DEPENDENCIES);
  writeFileSync(scratch.file("modules.builtin"), "kernel/fs/fuse/fuse.ko\nkernel/virtio-blk.ko\n");
  writeFileSync(
    scratch.file("modules.softdep"),
    "# comment\nsoftdep ext4 pre: crypto-crc32c nowhere post: other\n",
  );
  writeFileSync(
    scratch.file("modules.alias"),
    "alias crypto-crc32c crc32c_generic\nalias pci:v00001AF4* virtio_pci\n",
  );
  return { modules: scratch.path, installHint: "install more" };
}

const names = (files: readonly { name: string }[]) => files.map(({ name }) => name);

describe("the modules of a kernel", () => {
  test("come with their dependencies, each once, in load order", () => {
    using scratch = new ScratchDirectory();
    const tree = treeIn(scratch);
    expect(names(resolveModules(tree, [], { optional: VSOCK_MODULES }))).toEqual([
      "virtio_pci_modern_dev",
      "virtio_ring",
      "virtio",
      "virtio_pci",
      "vsock",
      "common",
      "vmw_vsock_virtio_transport",
    ]);
    const [ring] = resolveModules(tree, ["virtio-ring"]);
    expect(ring?.path).toBe(join(scratch.path, "kernel/virtio_ring.ko.zst"));
  });

  test("come with those that help them, by alias", () => {
    using scratch = new ScratchDirectory();
    expect(names(resolveModules(treeIn(scratch), ["ext4"]))).toEqual([
      "crc32c_generic",
      "mbcache",
      "ext4",
    ]);
  });

  test("need no file if they are built in, and must exist if they are named", () => {
    using scratch = new ScratchDirectory();
    const tree = treeIn(scratch);
    expect(resolveModules(tree, ["fuse", "virtio_blk"])).toEqual([]);
    expect(() => resolveModules(tree, ["vsok"])).toThrow("neither in");
    try {
      resolveModules(tree, ["vsok"]);
    } catch (thrown) {
      expect(thrown).toMatchObject({ hint: "did you mean vsock? Else install more" });
    }
  });

  test("that need one another end", () => {
    using scratch = new ScratchDirectory();
    expect(names(resolveModules(treeIn(scratch), ["circle_a"]))).toEqual(["circle_b", "circle_a"]);
  });

  test("without modules.dep are an error that names it; the other indexes may be missing", () => {
    using scratch = new ScratchDirectory();
    const tree = { modules: scratch.path, installHint: "" };
    expect(() => resolveModules(tree, [])).toThrow("no modules.dep");
    writeFileSync(scratch.file("modules.dep"), "a.ko:\n");
    expect(names(resolveModules(tree, ["a"]))).toEqual(["a"]);
  });
});

describeWith(["xz"], "a module", () => {
  test("is returned as the kernel accepts it, with any compression", () => {
    using scratch = new ScratchDirectory();
    const plain = Buffer.from(
      `\x7fELF...\0license=GPL\0vermagic=6.6.1-test SMP mod_unload \0name=x\0`,
    );
    const forms: Record<string, Uint8Array> = {
      "a.ko": plain,
      "a.ko.gz": Bun.gzipSync(plain),
      "a.ko.zst": zstdCompressSync(plain),
      "a.ko.xz": Bun.spawnSync(["xz", "-c"], { stdin: plain }).stdout,
    };
    for (const [name, bytes] of Object.entries(forms)) {
      const path = scratch.file(name);
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, bytes);
      expect(Buffer.from(readModule({ name: "a", path })).equals(plain)).toBe(true);
      expect(moduleFacts({ name: "a", path }).kernel).toBe("6.6.1-test");
      writeFileSync(path, bytes.subarray(0, 12));
      if (name !== "a.ko")
        expect(() => readModule({ name: "a", path })).toThrow("read kernel module");
    }
    expect(() => readModule({ name: "b", path: scratch.file("b.ko") })).toThrow(
      "read kernel module",
    );
  });
});

describe("loading", () => {
  test("passes parameters on, and continues after a failure", () => {
    const calls: string[] = [];
    const answers: Record<string, number> = { b: 17, c: 19, d: 8, e: 1 };
    const result = loadModules({
      names: ["a", "b", "c", "d", "e", "f"],
      pathOf: (name) => `/m/${name}.ko`,
      commandLine: ["a.debug=1", "quiet"],
      kernel: "0.0.1",
      load: (path, parameters) => {
        calls.push(`${path} ${parameters}`);
        return answers[path.charAt(3)] ?? 0;
      },
    });
    expect(calls).toHaveLength(6);
    expect(calls[0]).toBe("/m/a.ko debug=1");
    expect(result).toMatchObject({ loaded: ["a", "f"], unneeded: ["c"] });
    expect(result.warnings).toHaveLength(3);
    expect(result.warnings[0]).toStartWith("the modules are for Linux 0.0.1, and this is ");
    expect(result.warnings[1]).toContain("cannot load module d: exec format error");
    expect(result.warnings[2]).toContain("cannot load module e: operation not permitted (EPERM)");
  });

  test("names the missing file", () => {
    const { warnings } = loadModules({
      names: ["nothing"],
      pathOf: () => "/nowhere/nothing.ko",
      commandLine: [],
      kernel: undefined,
    });
    expect(warnings).toEqual([expect.stringContaining("cannot load module nothing: ")]);
  });
});
