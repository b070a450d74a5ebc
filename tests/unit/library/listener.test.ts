/** Listeners that are short of descriptors, or whose calls end; conn.test.ts has the rest. */
import { expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { dial, listen } from "../../../src/index.ts";
import { ScratchDirectory } from "../../support/scratch-directory.ts";

const LIBRARY = join(import.meta.dir, "../../../src/index.ts");

/** Uses up all descriptors but one while one call of accept and an iteration wait. */
const SCRIPT = `
import { closeSync, openSync } from "node:fs";
import { dial, listen } from ${JSON.stringify(LIBRARY)};
const listener = listen("unix:few.sock");
// What the first connection loads is loaded before.
const [near, far] = await Promise.all([dial(listener.address), listener.accept()]);
const accepted = listener.accept().catch((error: unknown) => error);
const iterated = (async () => {
  for await (const conn of listener) return conn;
})();
const held: number[] = [];
try {
  for (;;) held.push(openSync("/dev/null", "r"));
} catch {
  closeSync(held.pop() ?? -1);
}
const dialled = await dial(listener.address);
const { code, step, errno } = await accepted;
console.log(code, step, errno);
for (const fd of held) closeSync(fd);
const conn = await iterated;
await conn?.write("served");
console.log(String(await dialled.read()));
for (const open of [near, far, dialled, conn]) await open?.close();
listener.close();
`;

test("too few descriptors fail a call of accept with its step; an iteration waits until some are free", async () => {
  using scratch = new ScratchDirectory();
  const script = scratch.file("few.ts");
  writeFileSync(script, SCRIPT);
  const line = 'ulimit -n 64; exec "$@"';
  const run = Bun.spawn(["bash", "-c", line, "bash", process.execPath, script], {
    cwd: scratch.path,
    stdout: "pipe",
    stderr: "pipe",
    env: { ...process.env, VSOCKBOX_NO_VSOCK: "1" },
  });
  const [stdout, stderr] = await Promise.all([
    new Response(run.stdout).text(),
    new Response(run.stderr).text(),
  ]);
  expect({ stdout, stderr }).toEqual({ stdout: "IO accept EMFILE\nserved\n", stderr: "" });
});

test("a connection that wakes a call of accept as its signal fires goes to the next call", async () => {
  using scratch = new ScratchDirectory();
  await using listener = listen(`unix:${scratch.file("s")}`);
  const { signal } = new AbortController();
  let hasFired = false;
  // The call sees the signal after it was woken, and before any event of it.
  Object.defineProperty(signal, "aborted", { get: () => hasFired });
  const first = listener.accept({ signal }).catch((thrown: unknown) => thrown);
  const second = listener.accept();
  hasFired = true;
  await using _dialled = await dial(listener.address);
  expect(await first).toMatchObject({ code: "ABORTED" });
  await (await second).close();
});
