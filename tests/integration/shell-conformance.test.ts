/** The conformance suite of vsock-shell against ours, and against the stand-ins for the C programs. */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { BINARY, ScratchDirectory } from "../support/binary.ts";
import { describeWith } from "../support/tools.ts";
import { CShellServer, TestShellServer } from "../support/vsock-shell.ts";

const SUITE = join(import.meta.dir, "../conformance/vsock-shell");

/** For cases that pass: however busy this machine is. */
const PATIENCE = ["--deadline", "120"];

/** Runs the suite; gives its exit status and its lines by their result. */
async function conformance(...options: string[]) {
  const child = Bun.spawn([process.execPath, "run", SUITE, "--json", ...options], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const lines = (await new Response(child.stdout).text())
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as { result?: string; level?: string });
  const having = (result: string) => lines.filter((line) => line.result === result);
  return { status: await child.exited, passed: having("ok"), failed: having("FAIL") };
}

const clientLine = (extra = "") => `${BINARY} shell-client ${extra} "$TARGET" "$@"`;

test("our server conforms and leaves no process", async () => {
  await using server = await TestShellServer.start();
  const before = server.state();
  const { status, passed, failed } = await conformance("--server", server.address, ...PATIENCE);
  expect(failed).toEqual([]);
  expect(passed.length).toBeGreaterThan(35);
  expect(status).toBe(0);
  await server.returnsTo({ ...before, descriptors: before.descriptors + 2 });
});

test("our client conforms", async () => {
  using scratch = new ScratchDirectory();
  const address = `unix:${scratch.file("s.sock")}`;
  const run = await conformance("--client", clientLine(), "--listen", address, ...PATIENCE);
  expect(run.failed).toEqual([]);
  expect(run.passed.length).toBeGreaterThan(15);
  expect(run.status).toBe(0);
});

test("a client that does something else is found out", async () => {
  using scratch = new ScratchDirectory();
  const address = `unix:${scratch.file("s.sock")}`;
  const line = clientLine("--plain");
  const { status, failed } = await conformance(
    "--client",
    line,
    "--listen",
    address,
    "--only",
    "asks",
  );
  expect([status, failed.length]).toEqual([1, 1]);
});

test("a peer of another protocol is one clear error", async () => {
  const child = Bun.spawnSync([process.execPath, "run", SUITE, "--server", "unix:/no/such"]);
  expect([child.exitCode, child.stderr.toString()]).toEqual([
    69,
    expect.stringContaining("ENOENT"),
  ]);
});

describeWith(["gcc"], "the stand-in for the C server", () => {
  test("passes the required cases, and not our extensions", async () => {
    await using server = await CShellServer.start();
    const run = await conformance(
      "--server",
      server.address,
      "--required-only",
      "--deadline",
      "10",
      "--only",
      "Upload: ",
    );
    expect(run.failed.filter(({ level }) => level === "required")).toEqual([]);
    expect(run.failed.filter(({ level }) => level === "strict").length).toBeGreaterThan(0);
    expect(run.status).toBe(0);
  });
});
