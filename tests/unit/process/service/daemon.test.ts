import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  existsSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  readdirSync,
  rmSync,
  statSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually } from "../../../support/eventually.ts";

const FIXTURE = join(import.meta.dir, "../../../fixtures/daemon.ts");

let scratch = "";
beforeEach(() => {
  scratch = mkdtempSync(join(tmpdir(), "vsockbox-daemon-"));
});
afterEach(() => rmSync(scratch, { recursive: true }));

const pidFile = () => join(scratch, "daemon.pid");

/** Resolves once nobody holds the parent's output: a daemon that kept it would hang here. */
async function start(role: string, logFile = "") {
  // Other tests of this process may have left it pipes that every child inherits: they are closed.
  const closing = `for fd in /proc/$$/fd/*; do n=\${fd##*/}; [ "$n" -gt 2 ] && eval "exec $n>&-"; done`;
  const command = [process.execPath, FIXTURE, role, pidFile(), logFile];
  const parent = Bun.spawn(["bash", "-c", `${closing}; exec "$@"`, "bash", ...command], {
    stdout: "pipe",
    stderr: "inherit",
  });
  const result = JSON.parse(await new Response(parent.stdout).text());
  expect(await parent.exited).toBe(0);
  return result;
}

async function gone(pid: number): Promise<void> {
  const deadline = performance.now() + 10_000;
  while (isAlive(pid)) {
    if (performance.now() > deadline) throw new Error(`${pid} still runs`);
    await Bun.sleep(20);
  }
}

/** A zombie that nobody collects has ended too. */
function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}

describe("a daemon", () => {
  test("goes on in a session of its own, with nothing of ours open", async () => {
    const { kind, pid, group, session, terminal } = await start("serve");
    expect({ kind, group, session, terminal }).toEqual({
      kind: "ready",
      group: pid,
      session: pid,
      terminal: "0",
    });
    const open = (fd: number) => readlinkSync(`/proc/${pid}/fd/${fd}`);
    expect([open(0), open(1), open(2)]).toEqual(["/dev/null", "/dev/null", "/dev/null"]);
    // The pipe over which it reported that is closed right after, perhaps between these two calls.
    const isPipe = (fd: string) => {
      try {
        return open(Number(fd)).includes("pipe:");
      } catch {
        return false;
      }
    };
    await eventually("no pipe is open", () => !readdirSync(`/proc/${pid}/fd`).some(isPipe));
    expect(readFileSync(pidFile(), "utf8")).toBe(`${pid}\n`);
    process.kill(pid, "SIGTERM");
    await gone(pid);
    expect(existsSync(pidFile())).toBe(false);
  });

  test("writes to its log file", async () => {
    const log = join(scratch, "log");
    const { pid } = await start("serve", log);
    expect(readFileSync(log, "utf8").split("\n").sort()).toEqual(["", "errors", "output"]);
    expect(statSync(log).mode & 0o777 & ~0o640).toBe(0);
    process.kill(pid, "SIGTERM");
    await gone(pid);
  });

  test("that fails sends its error to its parent, with its status", async () => {
    expect(await start("fail")).toEqual({
      kind: "failed",
      message: "cannot bind to x: in use",
      hint: "stop the other",
      status: 73,
    });
  });

  test("that ends without a word is a failure", async () => {
    const before = "before it was ready";
    expect(await start("die")).toEqual({
      kind: "failed",
      message: `start in the background: it ended by SIGKILL ${before}`,
      status: 137,
    });
    expect(await start("leave", join(scratch, "log"))).toEqual({
      kind: "failed",
      message: `start in the background: it ended with status 0 ${before}`,
      hint: `see ${join(scratch, "log")}`,
      status: 70,
    });
  });

  test("that is not ready in time is ended", async () => {
    expect(await start("hang")).toMatchObject({ code: "TIMEOUT" });
    await gone(Number(readFileSync(pidFile(), "utf8")));
  });

  test("whose log cannot be opened is not started", async () => {
    expect(await start("serve", join(scratch, "missing/log"))).toMatchObject({
      code: "CANNOT_CREATE",
      errno: "ENOENT",
    });
    expect(existsSync(pidFile())).toBe(false);
  });
});
