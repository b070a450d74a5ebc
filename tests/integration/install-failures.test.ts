/** `vsockbox install` where it must not, cannot, or is ended in the middle. Never without --root. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { BINARY, Running, vsockbox } from "../support/binary.ts";
import {
  scratch,
  install,
  installSmall,
  root,
  setUp,
  small,
  tearDown,
  well,
} from "../support/install-run.ts";
import { makeTree, SYSTEMS } from "../support/install-tree.ts";
import { hashOf, listing } from "../support/listing.ts";
import { describeUnshared } from "../support/namespaces.ts";

const REPOSITORY = join(import.meta.dir, "../..");

beforeEach(setUp);
afterEach(tearDown);

describe("files of others in the tree", () => {
  test("files of others: nothing is done, all of them are named", async () => {
    makeTree(root, SYSTEMS.debian);
    writeFileSync(join(root, "usr/bin/vsockbox"), "mine");
    symlinkSync("real", join(root, "usr/bin/vsock_guest_exec"));
    const before = listing(root);
    const refused = await installSmall();
    expect(refused).toMatchObject({ status: 73, stdout: "" });
    expect(refused.stderr).toContain(`${root}/usr/bin/vsockbox: it exists`);
    expect(refused.stderr).toContain(`${root}/usr/bin/vsock_guest_exec: it exists`);
    expect((await installSmall("--dry-run")).status).toBe(73);
    expect(listing(root)).toEqual(before);
    await well(installSmall("--force"));
    expect(hashOf(join(root, "usr/bin/vsockbox"))).toBe(hashOf(small));
  });

  test("a directory, even with --force", async () => {
    makeTree(root, SYSTEMS.debian);
    mkdirSync(join(root, "usr/bin/vsockbox"));
    const before = listing(root);
    for (const words of [[], ["--force"]]) {
      expect(await installSmall(...words)).toMatchObject({
        status: 73,
        stderr: expect.stringContaining("a directory is in its place"),
      });
    }
    expect(listing(root)).toEqual(before);
  });

  test("a file in the place of a directory", async () => {
    makeTree(root, { ...SYSTEMS.buildroot, "usr/lib": "a file" });
    const before = listing(root);
    expect(await installSmall()).toMatchObject({
      status: 73,
      stderr: expect.stringContaining(`${root}/usr/lib: it is not a directory`),
    });
    expect(listing(root)).toEqual(before);
  });

  test("damaged marks and a broken list", async () => {
    makeTree(root, { ...SYSTEMS.buildroot, "etc/inittab": "# vsockbox install: begin\n" });
    expect((await installSmall()).status).toBe(78);
    makeTree(root, { "usr/lib/vsockbox/install.json": "{" });
    expect((await installSmall("--service", "none")).status).toBe(78);
    expect((await install("--uninstall", "--force")).status).toBe(78);
    await well(installSmall("--service", "none", "--force"));
    await well(install("--uninstall"));
  });

  test("no list", async () => {
    makeTree(root, SYSTEMS.debian);
    expect(await install("--uninstall")).toMatchObject({
      status: 78,
      stderr: expect.stringContaining("nothing is known to be installed"),
    });
    expect((await vsockbox(["install", "--root", scratch.file("none")])).status).toBe(74);
  });

  test.skipIf(process.getuid?.() !== 0)("another user's tree; one's own works", async () => {
    makeTree(root, SYSTEMS.debian);
    chmodSync(scratch.path, 0o755);
    const as = async (...words: string[]) => {
      const child = Bun.spawn([BINARY, "install", "--root", root, "--binary", small, ...words], {
        uid: 65534,
        gid: 65534,
        cwd: "/",
        env: { VSOCKBOX_NO_VSOCK: "1" },
        stdout: "ignore",
        stderr: "pipe",
      });
      return { stderr: await new Response(child.stderr).text(), status: await child.exited };
    };
    const before = listing(root);
    expect(await as()).toEqual({ status: 73, stderr: expect.stringContaining("EACCES") });
    expect(listing(root)).toEqual(before);
    for (const path of ["", ...readdirSync(root, { recursive: true }).map(String)]) {
      if (existsSync(join(root, path))) chownSync(join(root, path), 65534, 65534);
    }
    expect(await as()).toEqual({ status: 0, stderr: "" });
    expect(statSync(join(root, "usr/bin/vsockbox")).uid).toBe(65534);
  });
});

describe("links in the tree", () => {
  test.each([
    ["usr/bin", "->/bin"],
    ["usr/lib", "->../../../../../../../../../../etc"],
    ["etc/systemd", "->/../../../somewhere/else"],
    ["usr", "->/"],
  ])("%s %s leads nowhere but into the tree", async (path, target) => {
    makeTree(root, {
      [path]: target,
      "bin/sh": "=/bin/true",
      "etc/passwd": "x",
      ...(path === "usr" ? {} : { "usr/share/x": "" }),
    });
    // What is beside the tree, and would be met first on the way out.
    makeTree(scratch.path, { "etc/passwd": "outside", "bin/sh": "", "somewhere/else/x": "" });
    const outside = () => listing(scratch.path).filter((line) => !line.startsWith("/root/"));
    const [before, beside] = [listing(root), outside()];
    await well(installSmall("--service", "systemd", "--agent-args=-q"));
    expect(outside()).toEqual(beside);
    expect(listing(root).length).toBeGreaterThan(before.length);
    await well(install("--uninstall"));
    expect(listing(root)).toEqual(before);
  });

  test("one that goes round", async () => {
    makeTree(root, { "usr/bin": "->../usr/bin", "bin/sh": "=/bin/true" });
    expect(await installSmall()).toMatchObject({
      status: 73,
      stderr: expect.stringContaining("ELOOP"),
    });
  });
});

describe("the executable", () => {
  test("is not the source", async () => {
    makeTree(root, SYSTEMS.debian);
    const child = Bun.spawn(
      [process.execPath, join(REPOSITORY, "src/main.ts"), "install", "--root", root],
      { stdout: "ignore", stderr: "pipe" },
    );
    expect(await new Response(child.stderr).text()).toContain("this runs from source");
    expect(await child.exited).toBe(64);
  });

  test("is vsockbox, for the tree's architecture, with its loader there", async () => {
    makeTree(root, SYSTEMS.debian);
    const before = listing(root);
    const refused = async (binary: string, message: string) =>
      expect(await install("--binary", binary)).toMatchObject({
        status: 78,
        stderr: expect.stringContaining(message),
      });
    await refused("/bin/true", "it is not vsockbox");
    await refused(import.meta.path, "it is not an ELF executable");
    await refused("/dev/null", "it is not a regular file");
    const arm = readFileSync(small);
    arm.writeUInt16LE(183, 18);
    writeFileSync(scratch.file("arm"), arm);
    await refused(scratch.file("arm"), `it is for arm64, but ${root}/usr/bin/sh is for x86-64`);
    rmSync(join(root, "lib64"), { recursive: true });
    await refused(small, "it needs /lib64/ld-linux-x86-64.so.2");
    expect((await install("--binary", scratch.file("none"))).status).toBe(74);
    expect(listing(root)).toEqual(before.filter((line) => !line.startsWith("/lib64")));
    await well(install("--binary", scratch.file("arm"), "--force"));
  });
});

test.each([
  [["--service", "upstart"], 'invalid value "upstart" for --service: expected auto, systemd'],
  [["--links", "ls"], "names of vhost-device-vsock"],
  [["--prefix", "usr"], "expected an absolute path"],
  [["--agent-args", "--allow-cid"], "written --agent-args=VALUE"],
  [["--agent-args=--bogus"], "unknown option --bogus"],
  [["--agent-args=--allow-cid web"], "web"],
  [["--agent-args=--listen vsock::99999999999"], "99999999999"],
  [["--agent-args=--init"], "--init is not for an agent that a service manager starts"],
  [["--agent-args=$(reboot)"], "has other characters"],
  [["--agent-args=-q", "--service", "none"], "requires a service other than none"],
  [["--now"], "--now is for this machine"],
  [["--uninstall", "--links", "all"], "--uninstall cannot be used with --links"],
  [["here"], 'unexpected argument "here"'],
])("%j is a usage error", async (words, message) => {
  makeTree(root, SYSTEMS.debian);
  const before = listing(root);
  const result = await install(...words);
  expect(result).toEqual({ status: 64, stdout: "", stderr: expect.stringContaining(message) });
  expect(listing(root)).toEqual(before);
});

test("an empty --root is not the working directory", async () => {
  const { status, stderr } = await vsockbox(["install", "--dry-run", "--root", ""], {
    cwd: scratch.path,
  });
  expect({ status, stderr }).toEqual({
    status: 64,
    stderr: expect.stringContaining('invalid value "" for --root'),
  });
});

test("a file in the place of a directory is named", async () => {
  makeTree(root, SYSTEMS.debian);
  rmSync(join(root, "usr/bin"), { recursive: true });
  writeFileSync(join(root, "usr/bin"), "");
  expect(await installSmall()).toEqual({
    status: 73,
    stdout: "",
    stderr: `vsockbox: cannot follow ${root}/usr/bin: it is not a directory (ENOTDIR)\n`,
  });
});

test("--dry-run prints the steps and performs none", async () => {
  makeTree(root, SYSTEMS.debian);
  const before = listing(root);
  const planned = JSON.parse(await well(installSmall("--dry-run", "--json"))) as object;
  expect(await well(installSmall("--dry-run"))).toContain("create   /usr/bin/vsockbox (");
  expect(listing(root)).toEqual(before);
  const done = JSON.parse(await well(installSmall("--json"))) as { changes: object[] };
  expect(planned).toMatchObject({ dry_run: true, changes: done.changes });
  expect(done.changes).toHaveLength(8);
  const installed = listing(root);
  await well(install("--uninstall", "--dry-run"));
  expect(listing(root)).toEqual(installed);
});

describe("killed in the middle", () => {
  test.each(["first", "second"])(
    "of its %s run: no partial file, and the next run ends it",
    async (run) => {
      makeTree(root, SYSTEMS.debian);
      const before = listing(root);
      const final = join(root, "usr/bin/vsockbox");
      if (run === "second") await well(installSmall());
      const temporary = () =>
        readdirSync(join(root, "usr/bin")).filter((name) => name.startsWith(".vsockbox."));
      await using running = new Running(["install", "--root", root]);
      while (temporary().length === 0 && running.process.exitCode === null) await Bun.sleep(1);
      running.process.kill("SIGKILL");
      await running.process.exited;
      // It was not too late.
      expect(temporary()).toHaveLength(1);
      if (run === "first") expect(existsSync(final)).toBe(false);
      else expect(hashOf(final)).toBe(hashOf(small));

      if (run === "first") await well(install("--uninstall"));
      else {
        await well(install());
        expect(hashOf(final)).toBe(hashOf(BINARY));
        await well(install("--uninstall"));
      }
      expect(listing(root)).toEqual(before);
    },
  );

  test("by SIGTERM: all is as it was", async () => {
    makeTree(root, SYSTEMS.debian);
    const before = listing(root);
    await using running = new Running(["install", "--root", root]);
    const begun = () =>
      readdirSync(join(root, "usr/bin")).some((name) => name.startsWith(".vsockbox."));
    while (!begun() && running.process.exitCode === null) await Bun.sleep(1);
    running.process.kill("SIGTERM");
    expect(await running.process.exited).toBe(143);
    expect(listing(root)).toEqual(before);
  });

  test("a second one fails at once", async () => {
    makeTree(root, SYSTEMS.debian);
    await using holder = Bun.spawn(["flock", root, "-c", "echo locked; exec cat"], {
      stdin: "pipe",
      stdout: "pipe",
    });
    await holder.stdout.getReader().read();
    expect(await installSmall()).toMatchObject({
      status: 75,
      stderr: expect.stringContaining("another `vsockbox install` is running"),
    });
    await holder.stdin.end();
    await holder.exited;
  });
});

describeUnshared(
  ["--user", "--map-root-user", "--mount"],
  "file systems of all sorts",
  (unshare) => {
    /** Runs a shell line with `$ROOT` a tmpfs of `size` that has a Debian's tree. */
    function onTmpfs(size: string, line: string) {
      const tree = makeTree(scratch.file("tree"), SYSTEMS.debian);
      mkdirSync(root);
      const { exitCode, stdout, stderr } = Bun.spawnSync(
        [
          ...unshare,
          "sh",
          "-c",
          `mount -t tmpfs -o size=${size} none "$ROOT" && cp -a "$TREE/." "$ROOT" || exit 99
        list() { (cd "$ROOT"; find . -printf '%p %m %y %l\\n' | sort; find . -type f | sort | xargs sha256sum); }
        list > "$DIRECTORY/before"
        ${line}
        list > "$DIRECTORY/after"
        cmp "$DIRECTORY/before" "$DIRECTORY/after" || exit 98
        exit $status`,
        ],
        {
          env: {
            ...process.env,
            ...{ ROOT: root, TREE: tree, DIRECTORY: scratch.path, V: BINARY, SMALL: small },
          },
        },
      );
      return { status: exitCode, stdout: stdout.toString(), stderr: stderr.toString() };
    }

    test("a full disk: nothing is lost, nothing is left", () => {
      const result = onTmpfs("4m", `"$V" install --root "$ROOT"; status=$?`);
      expect(result).toMatchObject({ status: 74, stderr: expect.stringContaining("ENOSPC") });
    });

    test("a disk that is full for another version keeps the one that is there", () => {
      const result = onTmpfs(
        "4m",
        `"$V" install --root "$ROOT" --binary "$SMALL" > /dev/null; list > "$DIRECTORY/before"
      "$V" install --root "$ROOT"; status=$?`,
      );
      expect(result).toMatchObject({ status: 74, stderr: expect.stringContaining("ENOSPC") });
    });

    test("a full disk can be uninstalled from", () => {
      const result = onTmpfs(
        "4m",
        `"$V" install --root "$ROOT" --binary "$SMALL" > /dev/null
      cat /dev/zero > "$ROOT/full" 2> /dev/null
      "$V" install --root "$ROOT" --uninstall; status=$?; rm "$ROOT/full"`,
      );
      expect(result).toMatchObject({ status: 0, stderr: "" });
    });

    test("a read-only one", () => {
      const result = onTmpfs(
        "4m",
        `mount -o remount,ro "$ROOT"; "$V" install --root "$ROOT" --binary "$SMALL"; status=$?`,
      );
      expect(result).toMatchObject({ status: 73, stderr: expect.stringContaining("EROFS") });
    });
  },
);
