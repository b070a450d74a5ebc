/** `vsockbox demo` from its beginning to its end, with each kind of guest. */
import { expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { BINARY, processesWith, ScratchDirectory, vsockbox } from "../support/binary.ts";
import { describeUml, describeVm } from "./support.ts";

/** What `demo --json` prints. */
interface DemoReport {
  ok: boolean;
  over: string;
  steps: { command: string; status: number; output: string; ok: boolean }[];
}

async function expectDemo(vmm: string): Promise<void> {
  const { status, stdout, stderr } = await vsockbox(["demo", "--vmm", vmm, "--json"]);
  expect(stderr).toBe("");
  const report = JSON.parse(stdout) as DemoReport;
  expect(report.steps.filter(({ ok }) => !ok)).toEqual([]);
  expect(report).toMatchObject({ ok: true, over: "hybrid-proxy" });
  expect(report.steps.map(({ command }) => /vsockbox ([a-z]+)/.exec(command)?.[1])).toEqual([
    "wait",
    ...["exec", "exec", "exec", "exec", "exec"],
    ...["cp", "cp", "exec", "connect", "exec", "shutdown"],
  ]);
  expect(status).toBe(0);
}

describeUml("demo with User-mode Linux", () => {
  test("shows what hybrid-proxy does", () => expectDemo("uml"));

  test("leaves no file and no process when it is interrupted", async () => {
    // Its guest's kernel and sockets have the directory in their command lines.
    using scratch = new ScratchDirectory();
    const env = { ...process.env, TMPDIR: scratch.path, VSOCKBOX_NO_VSOCK: "1" };
    // At the device, in the boot, and in the middle of the commands.
    for (const sign of ["hybrid-proxy", "", "uname"]) {
      const demo = Bun.spawn([BINARY, "demo", "--vmm", "uml"], { env, stdout: "pipe" });
      let text = "";
      for await (const chunk of demo.stdout) {
        text += new TextDecoder().decode(chunk);
        if (!text.includes(sign)) continue;
        if (sign === "") await Bun.sleep(1000);
        break;
      }
      demo.kill("SIGINT");
      expect(await demo.exited).toBe(130);
      expect(readdirSync(scratch.path)).toEqual([]);
      expect(processesWith(scratch.path)).toEqual([]);
    }
  });
});

describeVm("demo with QEMU", () => {
  test("shows what hybrid-proxy does", () => expectDemo("qemu"));
});
