/**
 * The sandbox of an agent's commands against what they try, in a guest whose kernel may be changed:
 * each cell of the table in docs/sandbox.md, and the two ways out that a sandbox of root once had.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { bootGuest, type Guest } from "../../src/vm/guest.ts";
import { BINARY, ScratchDirectory } from "../support/binary.ts";
import { runIn } from "../support/guest-lines.ts";
import { describeVm } from "./support.ts";

const AGENT = "unix:/run/sandbox.sock";
const FIXTURES = join(import.meta.dir, "../fixtures");
const PAGE = join(import.meta.dir, "../../docs/sandbox.md");

/** Who attacks. */
const USERS = ["root", "guest"] as const;

/** A row of the table: its words, and whether the attack works for root and for another user. */
interface Row {
  sandbox: string;
  cells: readonly { root: boolean; other: boolean }[];
}

/** The columns of the table with the attacks of attacks.sh that they stand for. */
const COLUMNS: Readonly<Record<string, string>> = {
  "/proc/sys": "sysctl",
  "/sys": "sysfs",
  devices: "devices",
  "files of root": "root-files",
  "set-user-ID": "set-user-id",
  mounts: "mount",
  "other processes": "processes",
  ptrace: "ptrace",
  "user namespaces": "user-namespaces",
  AF_VSOCK: "vsock",
  network: "network",
  leftovers: "left-behind",
};

/** Reads the table: a cell is who can do it, `root`, `others`, `any`, or `-` for no user. */
function readTable(): { columns: string[]; rows: Row[] } {
  const lines = readFileSync(PAGE, "utf8").split("\n");
  const begin = lines.findIndex((line) => line.startsWith("| `--sandbox`"));
  const cellsOf = (line: string) =>
    line
      .split("|")
      .slice(1, -1)
      .map((cell) => cell.trim());
  const [head = "", , ...rest] = lines.slice(begin);
  const [, ...columns] = cellsOf(head);
  const body = rest.slice(0, rest.indexOf(""));
  const rows = body.map((line): Row => {
    const [name = "", ...cells] = cellsOf(line);
    return {
      sandbox: name === "none" ? "" : name.replaceAll("`", ""),
      cells: cells.map((cell) => ({
        root: cell === "any" || cell === "root",
        other: cell === "any" || cell === "others",
      })),
    };
  });
  return { columns, rows };
}

describeVm("a sandbox of the agent", () => {
  let guest: Guest;
  let scratch: ScratchDirectory;
  const table = readTable();

  beforeAll(async () => {
    scratch = new ScratchDirectory();
    const attack = scratch.file("attack");
    const built = Bun.spawnSync([
      "gcc",
      "-static",
      "-O2",
      "-o",
      attack,
      join(FIXTURES, "attack.c"),
    ]);
    if (!built.success) throw new Error(built.stderr.toString());
    guest = await bootGuest({
      binary: BINARY,
      environment: { VSOCKBOX_TEST_VM: "1", NO_COLOR: "1" },
      memoryMib: 1024,
      files: [
        { path: "bin/attack", source: attack, mode: 0o755 },
        { path: "bin/attacks.sh", source: join(FIXTURES, "attacks.sh"), mode: 0o755 },
      ],
    });
    // The agent's own file, which a command may try to replace.
    await run("mkdir -p /tmp/own && cp /bin/vsockbox /tmp/own/ && chmod 755 /tmp/own /tmp/own/*");
    await run(
      `(/tmp/own/vsockbox agent --listen ${AGENT} -q > /tmp/agent.log 2>&1 &); vsockbox wait ${AGENT}`,
    );
    await run("cp /bin/attack /tmp/set-user-id && chmod 4755 /tmp/set-user-id");
    // A command of each user, which the others may not reach.
    for (const user of USERS) {
      const file = `/tmp/outside.${user}`;
      const line = `sh -c 'echo $$ > ${file}; exec sleep 4714'`;
      await run(
        `(vsockbox exec --user ${user} ${AGENT} -- ${line} > /dev/null 2>&1 &); until [ -s ${file} ]; do sleep 0.05; done`,
      );
    }
    await run("mkdir -p /mnt && ip link set lo up && busybox httpd -p 127.0.0.1:8190 -h /tmp");
  });
  afterAll(async () => {
    await guest?.stop();
    scratch?.[Symbol.dispose]();
  });

  const run = (line: string) => runIn(guest, line);
  const exec = (sandbox: string, user: string, words: string) =>
    run(
      `vsockbox exec ${sandbox === "" ? "" : `--sandbox ${sandbox}`} --user ${user} ${AGENT} -- ${words}`,
    );

  /** The attacks that work, by name. */
  async function attacksIn(sandbox: string, user: string): Promise<Set<string>> {
    const options = `${sandbox === "" ? "" : `--sandbox ${sandbox}`} --user ${user}`;
    const output = await run(
      "echo core > /proc/sys/kernel/core_pattern; echo x > /tmp/of-root; " +
        `vsockbox exec ${options} ${AGENT} -- sh /bin/attacks.sh $(cat /tmp/outside.${user}) 8190 || exit; ` +
        // What it did to mounts of its own is not seen here.
        "echo outside; ps | grep -q '[s]leep 4713' && echo left-behind yes; " +
        "grep -q '^attack /mnt' /proc/mounts && echo mount yes; " +
        "kill $(ps | awk '/[s]leep 4713/ { print $1 }') 2> /dev/null; umount /mnt 2> /dev/null; " +
        `kill -0 $(cat /tmp/outside.${user})`,
    );
    const [inside = "", outside = ""] = output.split("outside\n");
    const worked = (text: string) =>
      text
        .split("\n")
        .filter((line) => line.endsWith(" yes"))
        .map((line) => line.slice(0, -4));
    return new Set([...worked(inside).filter((name) => name !== "mount"), ...worked(outside)]);
  }

  test("has a table with a row of each option", () => {
    expect(table.columns).toEqual(Object.keys(COLUMNS));
    expect(table.rows.map(({ sandbox }) => sandbox)).toEqual([
      ...["", "no-new-privs", "drop-caps", "protect-kernel", "pid-namespace"],
      ...["user-namespace", "seccomp", "no-network", "all", "all,no-network"],
    ]);
  });

  for (const { sandbox, cells } of table.rows) {
    test.each(USERS)(`${sandbox || "none"} holds what the table says, for %s`, async (user) => {
      const works = await attacksIn(sandbox, user);
      const found = table.columns.map((name) => [name, works.has(COLUMNS[name] ?? "")]);
      const expected = table.columns.map((name, index) => [
        name,
        cells[index]?.[user === "root" ? "root" : "other"],
      ]);
      expect(Object.fromEntries(found)).toEqual(Object.fromEntries(expected));
    });
  }

  describe("does not end by", () => {
    const PATTERN = "/proc/sys/kernel/core_pattern";
    const escape = `echo "|/tmp/handler" > ${PATTERN}; attack crash`;
    const prepareHandler = () =>
      run(
        `rm -f /tmp/escaped; printf '#!/bin/sh\\nid -u > /tmp/escaped\\n' > /tmp/handler; chmod 755 /tmp/handler; echo core > ${PATTERN}`,
      );

    test("a core_pattern that the kernel runs as root", async () => {
      await prepareHandler();
      // Without a sandbox it works, or the test would show nothing.
      await run(`vsockbox exec ${AGENT} -- sh -c '${escape}' 2> /dev/null || true`);
      await run("for i in $(seq 1000); do [ -s /tmp/escaped ] && break; sleep 0.1; done");
      expect(await run("cat /tmp/escaped")).toBe("0\n");
      for (const sandbox of ["all", "drop-caps,protect-kernel", "drop-caps,pid-namespace"]) {
        await prepareHandler();
        await run(
          `vsockbox exec --sandbox ${sandbox} ${AGENT} -- sh -c '${escape}' 2> /dev/null || true`,
        );
        expect(await run(`cat ${PATTERN}; ls /tmp/escaped 2> /dev/null || true`)).toBe("core\n");
      }
    });

    test("a replaced file of the agent, whether it can be replaced or not", async () => {
      const replace = "rm -f /tmp/own/vsockbox; cp /tmp/replacement /tmp/own/vsockbox";
      await run(
        `printf '#!/bin/sh\necho replaced > /tmp/escaped\n' > /tmp/replacement; chmod 755 /tmp/replacement`,
      );
      await run("rm -f /tmp/escaped");
      await run(`vsockbox exec --sandbox all ${AGENT} -- sh -c '${replace}' 2> /dev/null || true`);
      expect(await run("cmp /bin/vsockbox /tmp/own/vsockbox && echo same")).toBe("same\n");
      // A root that keeps its user owns the file: it is replaced, and not run.
      await run(
        `vsockbox exec --sandbox drop-caps,pid-namespace,seccomp ${AGENT} -- sh -c '${replace}'`,
      );
      expect(await run("head -c 9 /tmp/own/vsockbox")).toBe("#!/bin/sh");
      for (const options of ["--user guest", "--sandbox all", "--sandbox drop-caps"]) {
        expect(await run(`vsockbox exec ${options} ${AGENT} -- echo started`)).toBe("started\n");
      }
      expect(await run("ls /tmp/escaped 2> /dev/null || true")).toBe("");
      await run("cp /bin/vsockbox /tmp/own/vsockbox");
    });

    test("typing into the terminal, leaving by /proc/1/root, or a control group", async () => {
      const line =
        "ls /proc/1/root/ 2> /dev/null && echo root; cat /proc/1/mem 2> /dev/null; " +
        "mkdir /sys/fs/cgroup/x 2> /dev/null && echo cgroup; umount /proc/sys 2> /dev/null && echo umount; " +
        "chroot / true 2> /dev/null && echo chroot; mknod /tmp/own-device b 1 1 2> /dev/null && echo device; true";
      expect(await run(`vsockbox exec --sandbox all ${AGENT} -- sh -c '${line}'`)).toBe("");
      expect(
        await run(`vsockbox exec --sandbox all --user guest ${AGENT} -- sh -c '${line}'`),
      ).toBe("");
    });
  });

  test("limits hold", async () => {
    const count = "n=0; while [ $n -lt 30 ]; do sleep 20 & n=$((n+1)); done; echo all";
    const forks = (options: string) =>
      run(`vsockbox exec ${options} ${AGENT} -- sh -c '${count}' 2> /dev/null || true`);
    expect(await forks("--sandbox all,processes=60")).toBe("all\n");
    expect(await forks("--sandbox all,processes=10")).toBe("");
    expect(await forks("--sandbox all,processes=10 --user guest")).toBe("");
    const refused = await guest.run(
      `vsockbox exec --sandbox drop-caps,processes=10 ${AGENT} -- true`,
      { timeoutMs: 60_000 },
    );
    expect(Buffer.from(refused.stderr).toString()).toContain(
      "does not limit the processes of root",
    );
  });

  test("a root is refused without user namespaces, with the reason", async () => {
    await run("echo 0 > /proc/sys/user/max_user_namespaces");
    const { status, stderr } = await guest.run(`vsockbox exec --sandbox all ${AGENT} -- true`, {
      timeoutMs: 60_000,
    });
    expect(status).not.toBe(0);
    expect(Buffer.from(stderr).toString()).toMatch(/user namespace.*--user/s);
    expect(await exec("all", "guest", "echo ran")).toBe("ran\n");
    await run("echo 1000 > /proc/sys/user/max_user_namespaces");
  });
});
