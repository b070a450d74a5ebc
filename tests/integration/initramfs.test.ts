/** `vsockbox initramfs`: what it writes, what it says, and what it refuses. */
import { describe, expect, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  readFileSync,
  readdirSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { createHash } from "node:crypto";
import { decodeInitConfig } from "../../src/initramfs/init-config.ts";
import {
  BINARY,
  eventually,
  Running,
  shell,
  ScratchDirectory,
  vsockbox,
} from "../support/binary.ts";
import { packInto } from "../support/pack.ts";
import { describeWith } from "../support/tools.ts";

/** A small ELF file in the place of 100 MB: what is packed is not run here. */
const SMALL = ["--executable", "/bin/true"];

/** A directory of modules as depmod leaves it; the modules themselves are text. */
function modulesIn(scratch: ScratchDirectory): string {
  const lines: string[] = [];
  const add = (name: string, needs: string[]) => {
    writeFileSync(scratch.file(`${name}.ko`), `\0vermagic=6.6.9-test SMP \0name=${name}\0`);
    lines.push(`${name}.ko:${needs.map((need) => ` ${need}.ko`).join("")}`);
  };
  add("virtio_ring", []);
  add("virtio", ["virtio_ring"]);
  add("virtio_mmio", ["virtio", "virtio_ring"]);
  add("vsock", []);
  add("vmw_vsock_virtio_transport_common", ["vsock"]);
  add("vmw_vsock_virtio_transport", ["vmw_vsock_virtio_transport_common", "vsock", "virtio"]);
  add("ext4", []);
  writeFileSync(scratch.file("modules.dep"), `${lines.join("\n")}\n`);
  writeFileSync(scratch.file("modules.builtin"), "kernel/virtio_pci.ko\n");
  return scratch.path;
}

/** What cpio lists: mode, owner and path of each entry. */
function listOf(path: string): string[] {
  const { stdout, exitCode } = Bun.spawnSync(["cpio", "--quiet", "-itvn"], {
    stdin: Bun.file(path),
    env: { ...process.env, TZ: "UTC", LC_ALL: "C" },
  });
  expect(exitCode).toBe(0);
  return stdout.toString().trimEnd().split("\n");
}

const pathsOf = (path: string) =>
  listOf(path).map((line) => /1970 (.*?)(?: -> .*)?$/.exec(line)?.[1] ?? line);

function contentOf(archive: string, path: string): Buffer {
  const command = ["cpio", "--quiet", "-i", "--to-stdout", path];
  return Bun.spawnSync(command, { stdin: Bun.file(archive) }).stdout;
}

describeWith(["cpio"], "an image", () => {
  test("has this very executable as its init, and the mount points", async () => {
    using scratch = new ScratchDirectory();
    const file = scratch.file("image");
    const summary = await packInto(file, []);
    expect(summary).toMatchObject({
      file,
      size_bytes: statSync(file).size,
      sha256: createHash("sha256").update(readFileSync(file)).digest("hex"),
      init: { command: ["agent"], on_exit: "poweroff" },
      kernel: null,
      modules: [],
    });
    const list = listOf(file);
    expect(summary.entries).toBe(list.length);
    for (const line of list) expect(line).toMatch(/ 0 +0 .* Jan +1 +1970 /);
    expect(list.join("\n")).toContain("init -> usr/bin/vsockbox");
    expect(list.join("\n")).toMatch(/crw------- .* 5, +1 .* dev\/console/);
    expect(list.join("\n")).toMatch(/crw-rw-rw- .* 1, +3 .* dev\/null/);
    expect(pathsOf(file)).toEqual(
      expect.arrayContaining(["proc", "sys", "dev", "run", "tmp", "usr/bin/vsock_guest_exec"]),
    );
    expect(contentOf(file, "usr/bin/vsockbox").equals(readFileSync(BINARY))).toBe(true);
    expect(statSync(file).mode & 0o777).toBe(0o600);
  });

  test("of the same input is the same bytes, whatever the times of the files", async () => {
    using scratch = new ScratchDirectory();
    using modules = new ScratchDirectory();
    writeFileSync(scratch.file("note"), "hello");
    const args = [
      ...[...SMALL, "--kernel-modules", modulesIn(modules)],
      ...["--file", `${scratch.file("note")}:/etc/note`],
    ];
    const first = await packInto(scratch.file("first"), args);
    utimesSync(scratch.file("note"), 1, 1);
    const second = await packInto(scratch.file("second"), args);
    expect(second.sha256).toBe(first.sha256);
    const piped = await shell(`vsockbox initramfs -o - ${args.join(" ")} | sha256sum`);
    expect(piped.stdout).toStartWith(first.sha256);
    for (const [name, unpack] of [
      ["gzip", "gzip -dc"],
      ["zstd", "zstd -dc"],
    ] as const) {
      const packed = scratch.file(name);
      const compressed = await packInto(packed, [...args, "--compress", name]);
      expect((await packInto(`${packed}2`, [...args, "--compress", name])).sha256).toBe(
        compressed.sha256,
      );
      expect(compressed.size_bytes).toBeLessThan(first.size_bytes);
      if (Bun.which(name) === null) continue;
      expect((await shell(`${unpack} < ${packed} | sha256sum`)).stdout).toStartWith(first.sha256);
    }
  });

  test("has modules in load order, and names their kernel", async () => {
    using scratch = new ScratchDirectory();
    using modules = new ScratchDirectory();
    const args = [...SMALL, "--kernel-modules", modulesIn(modules), "--modules", "ext4"];
    const summary = await packInto(scratch.file("image"), args);
    const order = [
      ...["virtio_ring", "virtio", "virtio_mmio", "vsock"],
      ...["vmw_vsock_virtio_transport_common", "vmw_vsock_virtio_transport", "ext4"],
    ];
    expect(summary).toMatchObject({ kernel: "6.6.9-test", modules: order });
    const config = decodeInitConfig(contentOf(scratch.file("image"), "etc/vsockbox/init.json"));
    expect(config).toEqual({
      kernel: "6.6.9-test",
      modules: order,
      mounts: [],
      command: ["agent"],
      onExit: "poweroff",
    });
    const packed = pathsOf(scratch.file("image")).filter((path) => path.endsWith(".ko"));
    expect(packed).toEqual(order.map((name) => `usr/lib/vsockbox/modules/${name}.ko`));
  });

  test("has the mounts of the host's directories", async () => {
    using scratch = new ScratchDirectory();
    const mounts = ["--mount", "/work", "--mount", "src:/srv/src"];
    await packInto(scratch.file("image"), [...SMALL, ...mounts]);
    const config = decodeInitConfig(contentOf(scratch.file("image"), "etc/vsockbox/init.json"));
    expect(config.mounts).toEqual([
      { source: undefined, directory: "/work" },
      { source: "src", directory: "/srv/src" },
    ]);
    for (const mount of ["work", ":/work", "a/b:/work", "src:work"]) {
      const { status, stderr } = await vsockbox([
        ...["initramfs", "-o", scratch.file("none"), ...SMALL, "--mount", mount],
      ]);
      expect({ status, stderr }).toMatchObject({
        status: 64,
        stderr: expect.stringContaining("for --mount: expected an absolute directory"),
      });
    }
  });

  test("has the given files, command and exit action", async () => {
    using scratch = new ScratchDirectory();
    writeFileSync(scratch.file("job"), "#!/bin/sh\n", { mode: 0o700 });
    const summary = await packInto(scratch.file("image"), [
      ...[...SMALL, "--file", `${scratch.file("job")}:/bin/job:755`, "--on-exit", "reboot"],
      ...["--command", "/bin/job 'a b' --c", "--", "-d"],
    ]);
    expect(summary).toMatchObject({
      init: { command: ["/bin/job", "a b", "--c", "-d"], on_exit: "reboot" },
      files: [{ source: scratch.file("job"), path: "/bin/job", mode: "0755" }],
    });
    expect(listOf(scratch.file("image")).join("\n")).toMatch(/-rwxr-xr-x .* bin\/job/);
  });

  test("has the loader and libraries of executables that are not self-contained", async () => {
    using scratch = new ScratchDirectory();
    const { executable } = await packInto(scratch.file("image"), SMALL);
    expect(executable.shared_objects.length).toBeGreaterThan(1);
    const paths = pathsOf(scratch.file("image"));
    for (const path of executable.shared_objects) expect(paths).toContain(path.slice(1));
    expect(paths).toContain("proc/self/maps");
  });
});

describeWith(["cpio"], "an overlay", () => {
  test("leaves init, devices and accounts alone, and directories that may be links", async () => {
    using scratch = new ScratchDirectory();
    const result = await vsockbox(["initramfs", "-o", scratch.file("over"), "--overlay", ...SMALL]);
    expect(result.status).toBe(0);
    expect(result.stderr).toContain("not self-contained");
    expect(result.stdout).toContain("init: not in it");
    const paths = pathsOf(scratch.file("over"));
    expect(paths).toContain("usr/bin/vsockbox");
    expect(paths).toContain("usr/");
    for (const path of ["init", "dev/console", "etc/passwd", "proc"]) {
      expect(paths).not.toContain(path);
    }
    await packInto(scratch.file("with-init"), ["--overlay", "--init"]);
    expect(pathsOf(scratch.file("with-init"))).toContain("init");
  });

  test("is appended to its base at an offset that the kernel reads", async () => {
    using scratch = new ScratchDirectory();
    writeFileSync(scratch.file("base"), "five!");
    const args = ["--overlay", ...SMALL];
    const said = await vsockbox(["initramfs", "-o", scratch.file("over"), ...args]);
    expect(said.status).toBe(0);
    const both = ["initramfs", "-o", scratch.file("both"), ...args, "--base", scratch.file("base")];
    expect((await vsockbox(both)).status).toBe(0);
    const expected = Buffer.concat([
      Buffer.from("five!\0\0\0"),
      readFileSync(scratch.file("over")),
    ]);
    expect(readFileSync(scratch.file("both")).equals(expected)).toBe(true);
  });

  test("after another archive is unpacked over it", async () => {
    using scratch = new ScratchDirectory();
    const line = `cd ${scratch.path} && mkdir tree out && echo base > tree/init &&
      (cd tree && find . | cpio --quiet -o -H newc) > base &&
      vsockbox initramfs --overlay --base base -o both --executable /bin/true --json 2>&1 > said &&
      cd out && (cpio --quiet -idm && cpio --quiet -idm --no-absolute-filenames) < ../both; cat init; ls usr/bin`;
    const { stdout } = await shell(line);
    expect(stdout).toContain("base\n");
    expect(stdout).toContain("vsockbox\n");
  });
});

test("a reader that closes early is a failure", async () => {
  using scratch = new ScratchDirectory();
  const { stdout, stderr } = await shell(
    "{ vsockbox initramfs -o - 2> /dev/null; echo $? > status; } | head -c 1 > /dev/null; cat status",
    { cwd: scratch.path },
  );
  expect({ stdout, stderr }).toEqual({ stdout: "141\n", stderr: "" });
});

describe("a file that exists", () => {
  test("stays, but for --force", async () => {
    using scratch = new ScratchDirectory();
    const file = scratch.file("image");
    writeFileSync(file, "mine");
    chmodSync(file, 0o644);
    const refused = await vsockbox(["initramfs", "-o", file, ...SMALL]);
    expect(refused).toMatchObject({ status: 73, stdout: "" });
    expect(refused.stderr).toContain("file exists");
    expect(readFileSync(file, "utf8")).toBe("mine");
    await packInto(file, [...SMALL, "--force"]);
    expect(readFileSync(file).subarray(0, 6).toString()).toBe("070701");
    symlinkSync(scratch.file("nowhere"), scratch.file("link"));
    expect((await vsockbox(["initramfs", "-o", scratch.file("link"), ...SMALL])).status).toBe(73);
  });

  test("no partial file is left if packing ends early", async () => {
    using scratch = new ScratchDirectory();
    using sources = new ScratchDirectory();
    writeFileSync(sources.file("large"), "");
    truncateSync(sources.file("large"), 3 * 1024 ** 3);
    await using running = new Running([
      ...["initramfs", "-o", scratch.file("x"), "--compress", "zstd"],
      ...["--file", `${sources.file("large")}:/large`],
    ]);
    // The file has no name until it is whole.
    const written = () =>
      Number(/^wchar: (\d+)/m.exec(readFileSync(`/proc/${running.pid}/io`, "utf8"))?.[1]);
    await eventually("it writes", () => written() > 1_000_000);
    running.process.kill("SIGINT");
    expect(await running.process.exited).toBe(130);
    expect(readdirSync(scratch.path)).toEqual([]);
  });

  test("on a full disk is an error and leaves no file", async () => {
    const result = await vsockbox(["initramfs", "-o", "/dev/full", ...SMALL]);
    expect(result.status).toBe(73);
    expect(result.stderr).toContain("ENOSPC");
  });
});

describe("refusals name the reason and the remedy", () => {
  const cases: [args: string[], status: number, says: string][] = [
    [[], 64, "-o FILE is missing"],
    [["-o", "x", "--base", "/bin/true"], 64, "--base requires --overlay"],
    [["-o", "x", "--modules", "ext4"], 64, "--kernel-modules DIR, which is missing"],
    [["-o", "x", "--loopback"], 64, "--kernel-modules DIR, which is missing"],
    [["-o", "x", "--kernel-modules", "/nowhere"], 74, "cannot open directory /nowhere: no such"],
    [["-o", "x", "--overlay", "--command", "listen"], 64, "are for an init"],
    [["-o", "x", "--command", ""], 64, 'invalid value "" for --command'],
    [["-o", "x", "--command", "nonsense"], 64, "not a command of vsockbox"],
    [["-o", "x", "--command", "init"], 64, "not a command of vsockbox"],
    [["-o", "x", "--command", "guest-exec --bogus"], 64, "unknown option --bogus"],
    [["-o", "x", "--command", "agent --bogus"], 64, "unknown option --bogus"],
    [["-o", "x", "--", "--daemon"], 64, "not for an agent that is process 1"],
    [["-o", "x", "--", "--sandbox", "everything"], 64, "everything"],
    [["-o", "x", "--on-exit", "reboot"], 64, "other than the agent"],
    [["-o", "x", "--on-exit", "explode"], 64, 'invalid value "explode" for --on-exit'],
    [["-o", "x", "--command", "/bin/sh"], 64, "/bin/sh is not in the image"],
    [["-o", "x", "--file", "nonsense"], 64, "expected SOURCE:DEST[:MODE]"],
    [["-o", "x", "--file", "/nowhere:/x"], 78, "ENOENT"],
    [["-o", "x", "--file", "/bin/true:/x", "--file", "/bin/false:/x"], 64, "/x twice"],
    [["-o", "x", "--file", "/bin/true:/usr"], 78, "a directory of the image"],
    [["-o", "x", "--file", "/bin/true:/usr/bin/vsockbox"], 64, "is vsockbox itself"],
    [["-o", "x", "--file", "/bin/true:/etc/vsockbox/init.json"], 64, "is what --command"],
    [["-o", "x", "--busybox", "/bin/true"], 78, "its list of programs has no shell"],
    [["-o", "x", "--executable", "/etc/passwd"], 78, "not a 64-bit little-endian ELF file"],
    [["-o", "x", "--executable", "/nowhere"], 78, "ENOENT"],
    [["-o", "-", "--json"], 64, "both go to standard output"],
    [["-o", "/proc/nowhere/x"], 73, "write /proc/nowhere"],
    [["-o", "/dev/null/x"], 73, "write /dev/null"],
  ];
  test.each(cases)("%j", async (args, status, says) => {
    using scratch = new ScratchDirectory();
    const result = await vsockbox(["initramfs", ...args], { cwd: scratch.path });
    expect(result.stderr).toContain(says);
    // A refused --json is an error in JSON.
    expect({ ...result, stdout: result.stdout.replace(/^\{"error":.*\}\n$/, "") }).toMatchObject({
      status,
      stdout: "",
    });
    expect(existsSync(scratch.file("x"))).toBe(false);
  });

  test("init is for process 1", async () => {
    const result = await vsockbox(["init"]);
    expect(result.status).toBe(64);
    expect(result.stderr).toContain("it is for process 1");
  });

  test("modules of a kernel for another architecture", async () => {
    using scratch = new ScratchDirectory();
    using modules = new ScratchDirectory();
    const tree = modulesIn(modules);
    const other = process.arch === "arm64" ? [62, "x86-64"] : [183, "arm64"];
    const head = Buffer.from("7f454c46020101000000000000000000010000000100000000000000", "hex");
    head.writeUInt16LE(Number(other[0]), 18);
    for (const file of readdirSync(tree).filter((name) => name.endsWith(".ko"))) {
      writeFileSync(modules.file(file), Buffer.concat([head, readFileSync(modules.file(file))]));
    }
    const args = ["--kernel-modules", tree, ...SMALL];
    const result = await vsockbox(["initramfs", "-o", scratch.file("x"), ...args]);
    expect(result.status).toBe(78);
    expect(result.stderr).toContain(`.ko: it is for ${other[1]}, and /bin/true is for `);
    expect(existsSync(scratch.file("x"))).toBe(false);
  });

  test("a module that is named and missing", async () => {
    using scratch = new ScratchDirectory();
    using modules = new ScratchDirectory();
    const args = ["--kernel-modules", modulesIn(modules), "--modules", "etx4", ...SMALL];
    const result = await vsockbox(["initramfs", "-o", scratch.file("x"), ...args]);
    expect(result.status).toBe(69);
    expect(result.stderr).toContain("did you mean ext4?");
    expect(existsSync(scratch.file("x"))).toBe(false);
  });

  test("a directory without vsock's modules is packed, with a word", async () => {
    using scratch = new ScratchDirectory();
    writeFileSync(scratch.file("modules.dep"), "");
    const args = ["--kernel-modules", scratch.path, ...SMALL];
    const result = await vsockbox(["initramfs", "-o", scratch.file("x"), ...args]);
    expect(result.status).toBe(0);
    expect(result.stderr).toContain("the guest may have no vsock");
  });

  test("an image without any is packed with a warning, an overlay without one", async () => {
    using scratch = new ScratchDirectory();
    const stderrOf = async (...args: string[]) => {
      const { status, stderr } = await vsockbox(["initramfs", "-o", scratch.file("x"), ...args]);
      expect(status).toBe(0);
      return stderr;
    };
    expect(await stderrOf(...SMALL)).toMatch(
      /no kernel modules are packed: .*\n {2}hint: --kernel-modules/,
    );
    const overlay = await stderrOf("--overlay", "--force", ...SMALL);
    expect(overlay).not.toContain("kernel modules");
  });
});
