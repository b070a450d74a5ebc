/** Accepting on a real socket, with each method of the kernel and with a timer. */
import { describe, expect, test } from "bun:test";
import { closeDescriptor } from "../../../src/ffi/socket.ts";
import { AcceptLoop } from "../../../src/net/accept-loop.ts";
import { openUnixListener } from "../../../src/net/listen.ts";
import { DescriptorWatch } from "../../../src/io/descriptor-watch.ts";
import { eventually } from "../../support/eventually.ts";
import { ScratchDirectory } from "../../support/scratch-directory.ts";
import { connectUnix } from "../../support/raw-vmm.ts";
import { EACH_METHOD } from "../../support/wake-up-methods.ts";

describe.each(EACH_METHOD)("by $name", ({ methods }) => {
  test("all connections are accepted, more than one round of them, in two bursts", async () => {
    using scratch = new ScratchDirectory();
    const path = scratch.file("s");
    const { fd } = openUnixListener({ kind: "unix", path });
    let accepted = 0;
    const watch = new DescriptorWatch(methods);
    const loop = new AcceptLoop({
      fd,
      address: path,
      watch,
      onAccept(connection) {
        accepted++;
        closeDescriptor(connection);
      },
    });
    for (const burst of [200, 101]) {
      const expected = accepted + burst;
      const clients = Array.from({ length: burst }, () => connectUnix(path));
      await eventually(`${expected} are accepted`, () => accepted === expected);
      for (const client of clients) closeDescriptor(client);
    }
    expect(accepted).toBe(301);
    loop.close();
    expect(() => connectUnix(path)).toThrow();
  });

  test("none is accepted after close, also one that waits already", async () => {
    using scratch = new ScratchDirectory();
    const path = scratch.file("s");
    const { fd } = openUnixListener({ kind: "unix", path });
    const accepted: number[] = [];
    const loop = new AcceptLoop({
      fd,
      address: path,
      watch: new DescriptorWatch(methods),
      onAccept(connection) {
        accepted.push(connection);
        loop.close();
      },
    });
    const clients = [connectUnix(path), connectUnix(path), connectUnix(path)];
    await eventually("one is accepted", () => accepted.length > 0);
    await Bun.sleep(50);
    expect(accepted).toHaveLength(1);
    for (const connection of [...clients, ...accepted]) closeDescriptor(connection);
  });
});
