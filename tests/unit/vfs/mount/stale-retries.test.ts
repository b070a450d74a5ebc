import { describe, expect, test } from "bun:test";
import { RemoteError, type RemoteFiles } from "../../../../src/vfs/client/remote-files.ts";
import { NodeTable } from "../../../../src/vfs/mount/node-table.ts";
import { type OpenedAhead, StaleRetries } from "../../../../src/vfs/mount/stale-retries.ts";
import { eventually } from "../../../support/eventually.ts";
import { LocalFiles } from "../../../support/local-files.ts";

const NAME = new TextEncoder().encode("f");
const LONG_MS = 600_000;
const [THREAD, FLAGS] = [7, 2];

/** A table with one file, and handles that are recorded when they are closed. */
async function setUp(times = { expectedMs: LONG_MS, keptMs: LONG_MS }) {
  const files: RemoteFiles = new LocalFiles("/");
  const closed: number[] = [];
  files.release = (handle) => {
    closed.push(handle);
    // The connection may be lost by then.
    return Promise.reject(new RemoteError(5));
  };
  const status = await files.getStatus({ path: new Uint8Array(0), handle: undefined });
  const nodes = new NodeTable(status);
  const node = nodes.found(nodes.root, NAME, { ...status, ino: 1n << 40n, mode: 0o100644 });
  const opened = (handle: number): OpenedAhead => ({ node, files, handle, status });
  return { retries: new StaleRetries(times), nodes, node, files, opened, closed, status };
}

describe("StaleRetries", () => {
  test("expects a second attempt of the same thread at the same name", async () => {
    const { retries, nodes, node } = await setUp();
    expect(retries.flagsOf(THREAD, nodes.root, NAME)).toBeUndefined();
    retries.refused(THREAD, node.lastPlace, FLAGS);
    expect(retries.flagsOf(THREAD, nodes.root, NAME.slice())).toBe(FLAGS);
    expect(retries.flagsOf(THREAD + 1, nodes.root, NAME)).toBeUndefined();
    expect(retries.flagsOf(THREAD, node, NAME)).toBeUndefined();
    expect(
      retries.flagsOf(
        THREAD,
        nodes.root,
        NAME.map((byte) => byte + 1),
      ),
    ).toBeUndefined();
  });

  test("knows the place of a file that has been removed", async () => {
    const { retries, nodes, node } = await setUp();
    node.lookups = 1;
    nodes.removed(nodes.root, NAME);
    expect(node.places).toEqual([]);
    retries.refused(THREAD, node.lastPlace, FLAGS);
    expect(retries.flagsOf(THREAD, nodes.root, NAME)).toBe(FLAGS);
    retries.refused(THREAD, undefined, FLAGS);
    expect(retries.size).toBe(0);
  });

  test("passes on what a lookup has opened, for the same flags and connection, once", async () => {
    const { retries, nodes, node, files, opened, closed } = await setUp();
    retries.refused(THREAD, node.lastPlace, FLAGS);
    retries.keep(THREAD, opened(1));
    retries.keep(THREAD, opened(2));
    expect(closed).toEqual([1]);
    expect(retries.take(THREAD, nodes.root, FLAGS, files)).toBeUndefined();
    expect(retries.take(THREAD, node, 0, files)).toBeUndefined();
    expect(retries.take(THREAD + 1, node, FLAGS, files)).toBeUndefined();
    expect(retries.take(THREAD, node, FLAGS, new LocalFiles("/"))).toBeUndefined();
    expect(retries.take(THREAD, node, FLAGS, files)?.handle).toBe(2);
    expect(retries.take(THREAD, node, FLAGS, files)).toBeUndefined();
    expect([retries.size, closed]).toEqual([0, [1]]);
  });

  test("passes facts on once, and keeps the file", async () => {
    const { retries, nodes, node, files, opened, status } = await setUp();
    retries.refused(THREAD, node.lastPlace, FLAGS);
    expect(retries.takeFacts(THREAD, node, files)).toBeUndefined();
    retries.keep(THREAD, opened(1));
    expect(retries.takeFacts(THREAD, nodes.root, files)).toBeUndefined();
    expect(retries.takeFacts(THREAD, node, files)).toBe(status);
    expect(retries.takeFacts(THREAD, node, files)).toBeUndefined();
    expect(retries.take(THREAD, node, FLAGS, files)?.handle).toBe(1);
  });

  test("closes what is not used: after a while, by the next refusal, and without an attempt", async () => {
    const { retries, node, files, opened, closed } = await setUp({
      ...{ expectedMs: LONG_MS, keptMs: 20 },
    });
    retries.refused(THREAD, node.lastPlace, FLAGS);
    retries.keep(THREAD, opened(1));
    retries.refused(THREAD, node.lastPlace, FLAGS);
    expect(closed).toEqual([1]);
    retries.keep(THREAD, opened(2));
    await eventually("it is closed", () => closed.includes(2));
    expect(retries.size).toBe(0);
    retries.keep(THREAD, opened(3));
    expect(closed).toEqual([1, 2, 3]);
    expect(retries.take(THREAD, node, FLAGS, files)).toBeUndefined();
  });

  test("expects a second attempt for a while", async () => {
    const { retries, node } = await setUp({ expectedMs: 20, keptMs: LONG_MS });
    retries.refused(THREAD, node.lastPlace, FLAGS);
    await eventually("it is not expected any longer", () => retries.size === 0);
  });

  test("expects a limited number of threads", async () => {
    const { retries, nodes, node } = await setUp();
    for (let thread = 1; thread <= 1000; thread++) retries.refused(thread, node.lastPlace, FLAGS);
    expect(retries.size).toBe(64);
    // One that is expected already stays.
    retries.refused(64, node.lastPlace, 0);
    expect(retries.flagsOf(64, nodes.root, NAME)).toBe(0);
    expect(retries.flagsOf(65, nodes.root, NAME)).toBeUndefined();
  });
});
