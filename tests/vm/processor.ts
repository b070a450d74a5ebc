/** The self-contained executable as init on processors that QEMU emulates. */
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { startMachine } from "../../src/vm/guest.ts";
import { qemuMachine } from "../../src/vm/qemu.ts";
import { BINARY, eventually } from "../support/binary.ts";
import { withArguments } from "../support/machine.ts";
import { packInto } from "../support/pack.ts";
import { describeVm } from "./support.ts";

/** Boots an image of ours on that processor; returns its console once that contains `until`. */
async function consoleOn(processor: string, until: RegExp): Promise<string> {
  const machine = withArguments(qemuMachine({ binary: BINARY, memoryMib: 700 }), (given) =>
    given.map((word, index) => (given[index - 1] === "-cpu" ? processor : word)),
  );
  const home = mkdtempSync(join(machine.parent, "vsockbox-guest-"));
  try {
    await packInto(join(home, "initrd"), []);
    const guest = await startMachine({
      machine,
      directory: home,
      ready: (started) =>
        eventually(`${processor}: ${until}`, () => until.test(started.consoleLog()), 300_000),
    });
    const log = guest.consoleLog();
    await guest.stop();
    return log;
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
}

describeVm("a processor", () => {
  test("without x86-64-v2 is named in one line, and the status is 69", async () => {
    const log = await consoleOn("qemu64", /exitcode=/);
    expect(log).toContain(
      "vsockbox: cannot start: this processor lacks SSSE3, SSE4.1, SSE4.2, POPCNT; " +
        "x86-64-v2 is needed (QEMU: -cpu host with KVM, -cpu max without)",
    );
    expect(log).toContain(`exitcode=0x0000${(69).toString(16)}00`);
    expect(log).not.toMatch(/invalid opcode|Bun/);
  });

  test("with x86-64-v2 alone, and without a random number generator, is enough", async () => {
    const log = await consoleOn("qemu64,+ssse3,+sse4.1,+sse4.2,+popcnt", /agent: |exitcode=/);
    expect(log).toContain("vsockbox: init: mounted proc on /proc");
    expect(log).not.toContain("exitcode=");
  });
});
