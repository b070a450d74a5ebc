/** `vsockbox install` into trees like those of real systems. Never without --root. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  appendFileSync,
  chmodSync,
  existsSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { BINARY, Running, vsockbox } from "../support/binary.ts";
import {
  scratch,
  install,
  installSmall,
  read,
  root,
  setUp,
  small,
  tearDown,
  well,
} from "../support/install-run.ts";
import { INITTAB, makeTree, SYSTEMS, writeSmallBinary } from "../support/install-tree.ts";
import { hashOf, listing } from "../support/listing.ts";
import { describeWith } from "../support/tools.ts";

const REPOSITORY = join(import.meta.dir, "../..");
const LINKS = [
  "vhost-device-vsock",
  "vsock-shell-client",
  "vsock-shell-server",
  "vsock_guest_exec",
] as const;

beforeEach(setUp);
afterEach(tearDown);

describe("systemd", () => {
  test("unit, wants link and names are installed and removed", async () => {
    makeTree(root, SYSTEMS.debian);
    const before = listing(root);
    const said = await well(install("--agent-args=--allow-cid 2,16 -q"));
    expect(said).toContain("service: systemd (init is /usr/lib/systemd/systemd)");
    expect(hashOf(join(root, "usr/bin/vsockbox"))).toBe(hashOf(BINARY));
    expect(statSync(join(root, "bin/vsockbox")).mode & 0o7777).toBe(0o755);
    for (const link of LINKS) expect(readlinkSync(join(root, "usr/bin", link))).toBe("vsockbox");
    expect(read("etc/systemd/system/vsockbox-agent.service")).toBe(
      readFileSync(join(REPOSITORY, "packaging/systemd/vsockbox-agent.service"), "utf8"),
    );
    expect(read("etc/vsockbox/agent.env")).toBe('AGENT_ARGS="--allow-cid 2,16 -q"\n');

    const { exitCode, stdout } = Bun.spawnSync([
      join(root, "usr/bin/vsock-shell-server"),
      "--version",
    ]);
    expect([exitCode, stdout.toString()]).toEqual([0, expect.stringContaining("vsockbox ")]);

    await well(install("--uninstall"));
    expect(listing(root)).toEqual(before);
  });

  test("with another prefix the unit starts the executable there", async () => {
    makeTree(root, SYSTEMS.debian);
    await well(installSmall("--prefix", "/opt/vsockbox/", "--links", "vsock_guest_exec"));
    expect(readdirSync(join(root, "opt/vsockbox/bin")).sort()).toEqual([
      "vsock_guest_exec",
      "vsockbox",
    ]);
    const unit = read("etc/systemd/system/vsockbox-agent.service");
    expect(unit).toContain("\nExecStart=/opt/vsockbox/bin/vsockbox agent $AGENT_ARGS\n");
    expect(unit).not.toContain("/usr/bin");
    expect((await install("--uninstall")).status).toBe(78);
    await well(install("--uninstall", "--prefix", "/opt/vsockbox"));
    expect(existsSync(join(root, "opt"))).toBe(false);
  });

  test.each([
    ["/usr", "/usr/bin/vsockbox"],
    ["/opt/vsockbox", "/opt/vsockbox/bin/vsockbox"],
  ])("with the prefix %s mount(8) finds its helper in /sbin", async (prefix, target) => {
    makeTree(root, SYSTEMS.debian);
    await well(installSmall("--prefix", prefix, "--links", "mount.vsockbox"));
    expect(readlinkSync(join(root, "sbin/mount.vsockbox"))).toBe(target);
    await well(installSmall("--prefix", prefix, "--json"));
    expect(readlinkSync(join(root, "sbin/mount.vsockbox"))).toBe(target);
    await well(install("--uninstall", "--prefix", prefix));
    expect(existsSync(join(root, "sbin/mount.vsockbox"))).toBe(false);
  });

  describeWith(["systemctl"], "systemctl", () => {
    test("finds it enabled, and makes the same link", async () => {
      makeTree(root, SYSTEMS.debian);
      await well(installSmall());
      const wants = "etc/systemd/system/multi-user.target.wants/vsockbox-agent.service";
      const target = readlinkSync(join(root, wants));
      const state = Bun.spawnSync(["systemctl", `--root=${root}`, "is-enabled", "vsockbox-agent"]);
      expect(state.stdout.toString().trim()).toBe("enabled");
      rmSync(join(root, wants));
      Bun.spawnSync(["systemctl", `--root=${root}`, "enable", "vsockbox-agent"], {
        stderr: "ignore",
      });
      expect(readlinkSync(join(root, wants))).toBe(target);
    });
  });
});

describe("OpenRC", () => {
  test("script, arguments and runlevel are installed and removed", async () => {
    makeTree(root, SYSTEMS.alpine);
    const before = listing(root);
    expect(await well(installSmall("--agent-args=--allow-cid 2,16"))).toContain("service: openrc");
    const script = join(root, "etc/init.d/vsockbox-agent");
    expect(statSync(script).mode & 0o7777).toBe(0o755);
    expect(readlinkSync(join(root, "etc/runlevels/default/vsockbox-agent"))).toBe(
      "/etc/init.d/vsockbox-agent",
    );
    // As openrc-run does: the configuration, then the script.
    const { stdout, exitCode } = Bun.spawnSync([
      "sh",
      "-euc",
      `. ${root}/etc/conf.d/vsockbox-agent; . ${script}; echo "$supervisor $command $command_args"`,
    ]);
    expect([exitCode, stdout.toString()]).toEqual([
      0,
      "supervise-daemon /usr/bin/vsockbox agent --allow-cid 2,16\n",
    ]);
    expect(read("etc/inittab")).toBe(SYSTEMS.alpine["etc/inittab"]);
    await well(install("--uninstall"));
    expect(listing(root)).toEqual(before);
  });
});

describe("busybox init", () => {
  const entry = (args: string) =>
    `# vsockbox install: begin\n::respawn:/usr/bin/vsockbox agent${args}\n# vsockbox install: end`;

  test.each([INITTAB, INITTAB.trimEnd(), ""])("a line in %j, and out of it", async (inittab) => {
    makeTree(root, { ...SYSTEMS.buildroot, "etc/inittab": inittab });
    chmodSync(join(root, "etc/inittab"), 0o640);
    const before = listing(root);
    expect(await well(installSmall("--agent-args=-q"))).toContain("service: busybox");
    expect(read("etc/inittab")).toStartWith(inittab);
    expect(read("etc/inittab")).toContain(entry(" -q"));
    expect(statSync(join(root, "etc/inittab")).mode & 0o7777).toBe(0o640);
    // The arguments stay where none are given, and are changed where some are.
    expect(await well(installSmall())).toContain("up to date");
    await well(installSmall("--agent-args=-q --grace 5"));
    expect(read("etc/inittab")).toContain(entry(" -q --grace 5"));
    await well(installSmall("--agent-args="));
    expect(read("etc/inittab")).toContain(entry(""));
    await well(install("--uninstall"));
    expect(listing(root)).toEqual(before);
  });

  test("an inittab that is a link is edited at its target, in the tree", async () => {
    makeTree(root, {
      ...SYSTEMS.buildroot,
      "etc/inittab": "->/usr/share/inittab",
      "usr/share/inittab": INITTAB,
    });
    const before = listing(root);
    await well(installSmall());
    expect(read("usr/share/inittab")).toContain(entry(""));
    expect(readlinkSync(join(root, "etc/inittab"))).toBe("/usr/share/inittab");
    await well(install("--uninstall"));
    expect(listing(root)).toEqual(before);
  });

  test("without an inittab, one that keeps the defaults; what others add to it stays", async () => {
    const { "etc/inittab": _, ...files } = SYSTEMS.buildroot;
    makeTree(root, files);
    const before = listing(root);
    await well(installSmall());
    expect(read("etc/inittab")).toContain("::sysinit:/etc/init.d/rcS\n");
    await well(install("--uninstall"));
    expect(listing(root)).toEqual(before);

    await well(installSmall());
    const made = read("etc/inittab");
    appendFileSync(join(root, "etc/inittab"), "tty9::respawn:/bin/sh\n");
    expect(await well(installSmall("--agent-args=-q"))).toContain("replace  /etc/inittab");
    await well(install("--uninstall"));
    expect(read("etc/inittab")).toBe(
      `${made.replace(`${entry("")}\n`, "")}tty9::respawn:/bin/sh\n`,
    );
  });

  test("an entry that was changed by hand stays and is reported", async () => {
    makeTree(root, SYSTEMS.buildroot);
    await well(installSmall());
    const path = join(root, "etc/inittab");
    writeFileSync(path, read("etc/inittab").replace("vsockbox agent", "vsockbox agent -q"));
    const changed = read("etc/inittab");
    expect(await installSmall()).toMatchObject({
      status: 73,
      stderr: expect.stringContaining("changed since it was installed"),
    });
    expect(await well(install("--uninstall"))).toContain("keep     /etc/inittab");
    expect(read("etc/inittab")).toBe(changed);
    await well(install("--uninstall", "--force"));
    expect(read("etc/inittab")).toBe(INITTAB);
    expect(existsSync(join(root, "usr/lib/vsockbox"))).toBe(false);
  });
});

describe("no service", () => {
  test("without a known init system the line that starts the agent is printed", async () => {
    makeTree(root, { "usr/bin/env": "" });
    const before = listing(root);
    const said = await well(installSmall());
    expect(said).toContain("service: none (there is no init)");
    expect(said).toContain("`/usr/bin/vsockbox agent`");
    await well(install("--uninstall"));
    expect(listing(root)).toEqual(before);
  });

  test("another service replaces the previous one", async () => {
    makeTree(root, SYSTEMS.debian);
    const before = listing(root);
    await well(installSmall("--agent-args=-q"));
    await well(installSmall("--service", "openrc"));
    expect(existsSync(join(root, "etc/systemd/system/vsockbox-agent.service"))).toBe(false);
    expect(read("etc/conf.d/vsockbox-agent")).toContain('AGENT_ARGS="-q"');
    await well(installSmall("--service", "none", "--links", "none"));
    expect(readdirSync(join(root, "usr/bin")).sort()).toEqual(["sh", "vsockbox"]);
    // The choice stays.
    expect(await well(installSmall())).toContain("up to date");
    await well(install("--uninstall"));
    expect(listing(root)).toEqual(before);
  });
});

describe("again", () => {
  test("the same version changes nothing, not even a time", async () => {
    makeTree(root, SYSTEMS.debian);
    await well(installSmall("--agent-args=-q"));
    const times = () =>
      readdirSync(root, { recursive: true })
        .map(String)
        .filter((path) => existsSync(join(root, path)))
        .map((path) => [path, statSync(join(root, path)).ctimeMs]);
    const before = times();
    expect(await well(installSmall())).toContain("up to date");
    const facts = JSON.parse(await well(installSmall("--json"))) as object;
    expect(facts).toMatchObject({ up_to_date: true, changes: [], service: "systemd", root });
    expect(times()).toEqual(before);
  });

  test("another version while the agent runs from the old one", async () => {
    makeTree(root, SYSTEMS.debian);
    await well(install());
    const address = `unix:${scratch.file("agent.sock")}`;
    const installed = join(root, "usr/bin/vsockbox");
    await using agent = new Running([installed, "agent", "--listen", address], {
      through: ["sh", "-c", 'exec "$@"'],
    });
    await agent.says("listening on");
    expect(await well(installSmall())).toContain("goes on with the old file");
    expect(hashOf(installed)).toBe(hashOf(small));
    const { stdout } = await vsockbox(["exec", address, "--", "echo", "alive"]);
    expect(stdout).toBe("alive\n");
  });

  test("a configuration that was changed by hand survives another version", async () => {
    makeTree(root, SYSTEMS.debian);
    await well(installSmall("--agent-args=-q"));
    const env = join(root, "etc/vsockbox/agent.env");
    writeFileSync(env, "AGENT_ARGS=--grace 9\n");
    writeSmallBinary(small, "2");
    await well(installSmall());
    expect(readFileSync(env, "utf8")).toBe("AGENT_ARGS=--grace 9\n");
    expect((await installSmall("--agent-args=-q")).status).toBe(73);
    expect(await well(install("--uninstall"))).toContain("keep     /etc/vsockbox/agent.env");
    expect(readFileSync(env, "utf8")).toBe("AGENT_ARGS=--grace 9\n");
    // It is the only thing that is left, with the list that says so.
    expect(existsSync(join(root, "usr/bin/vsockbox"))).toBe(false);
    await well(install("--uninstall", "--force"));
    expect(existsSync(join(root, "etc/vsockbox"))).toBe(false);
  });
});
