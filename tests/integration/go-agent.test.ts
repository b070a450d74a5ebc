/** `vsockbox exec` against an agent that behaves on the wire as the Go agent does. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { eventually, processesWith, shell, ScratchDirectory, vsockbox } from "../support/binary.ts";

const FIXTURE = join(import.meta.dir, "../fixtures/go-agent.ts");

let scratch: ScratchDirectory;
let address: string;
let agent: Bun.Subprocess;
beforeAll(async () => {
  scratch = new ScratchDirectory();
  const path = scratch.file("go.sock");
  address = `unix:${path}`;
  agent = Bun.spawn([process.execPath, FIXTURE, path], { stdio: ["ignore", "ignore", "ignore"] });
  await eventually("it listens", () => existsSync(path));
});
afterAll(async () => {
  agent.kill();
  await agent.exited;
  scratch[Symbol.dispose]();
});

describe("exec drives the Go agent's wire", () => {
  test.each([[[]], [["-n"]]])("streams and exit status, with %j", async (options) => {
    const result = await vsockbox(
      ["exec", address, ...options, "--", "sh", "-c", "cat; echo out; echo err >&2; exit 7"],
      { stdin: "in " },
    );
    const input = options.length === 0 ? "in " : "";
    expect(result).toEqual({ status: 7, stdout: `${input}out\n`, stderr: "err\n" });
  });

  test("arguments come through its shell unchanged", async () => {
    const { stdout } = await vsockbox([
      "exec",
      address,
      "--",
      "printf",
      "%s|",
      "a b",
      "",
      "$HOME",
      "it's",
    ]);
    expect(stdout).toBe("a b||$HOME|it's|");
  });

  test("environment and directory", async () => {
    const { stdout } = await vsockbox([
      "exec",
      address,
      "-e",
      "A=b",
      "-w",
      "/usr",
      "-c",
      "echo $A; pwd",
    ]);
    expect(stdout).toBe("b\n/usr\n");
  });

  test("-1 for a signal is status 128", async () => {
    for (const options of [[], ["-n"]]) {
      expect((await vsockbox(["exec", address, ...options, "-c", "kill -9 $$"])).status).toBe(128);
    }
  });

  test("a start that failed is said in words", async () => {
    const run = (...options: string[]) =>
      vsockbox(["exec", address, ...options, "-w", "/no/dir", "--", "ls"]);
    const stderr = expect.stringContaining("ENOENT");
    // With input that agent answers as a command that wrote to standard error and exited with 1.
    expect(await run()).toMatchObject({ status: 1, stderr });
    expect(await run("-n")).toMatchObject({ status: 125, stderr });
  });

  test("names the variables that its shell cannot carry, and sends the others", async () => {
    const options = ["-e", "a.b=1", "-e", "OPTIND=1", "-e", "GOOD=2"];
    const result = await vsockbox(["exec", address, ...options, "--", "printenv", "GOOD"]);
    expect(result).toMatchObject({ status: 0, stdout: "2\n" });
    expect(result.stderr).toBe(
      'vsockbox: the agent runs commands by a shell, which may drop or change "a.b", "OPTIND"\n',
    );
  });

  test("8 MiB there and back", async () => {
    const { stdout } = await shell(
      `head -c 8388608 /dev/urandom > ${scratch.file("d")}; vsockbox exec ${address} -- cat < ${scratch.file("d")} | cmp - ${scratch.file("d")} && echo equal`,
    );
    expect(stdout).toBe("equal\n");
  });

  test("--timeout ends a command, also one whose input has ended", async () => {
    const { status } = await vsockbox([
      "exec",
      address,
      "-n",
      "--timeout",
      "500ms",
      "--",
      "sleep",
      "71.5",
    ]);
    expect(status).toBe(124);
    await eventually("gone", () => processesWith("sleep 71.5").length === 0);
  });
});
