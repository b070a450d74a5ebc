/** Guests that boot what `vsockbox initramfs` writes, and nothing else. */
import { expect, test } from "bun:test";
import { PackedGuest } from "../support/packed-guest.ts";
import { vsockbox } from "../support/binary.ts";
import { describeUml } from "./support.ts";

describeUml("an image of initramfs under User-mode Linux", () => {
  test("serves the host, and is switched off by it", async () => {
    await using packed = await PackedGuest.boot({ vmm: "uml", pack: [] });
    const { address, guest } = packed;
    expect(await vsockbox(["wait", address, "--timeout", "60"])).toMatchObject({ status: 0 });
    const line = ["exec", address, "--", "/usr/bin/vsockbox", "cid"];
    expect(await vsockbox(line)).toMatchObject({ status: 0, stdout: "5\n" });
    expect((await vsockbox(["shutdown", address])).status).toBe(0);
    await guest.ended;
    const log = guest.consoleLog();
    console.log(log);
    expect(log).not.toContain("Kernel panic");
  });
});
