/** `vsockbox init`: process 1 of an image that `vsockbox initramfs` has written. */
import { commandLineError, EXIT_STATUS, VsockboxError } from "../../errors.ts";
import { INIT_CONFIG_PATH } from "../../initramfs/init-config.ts";
import { print, printJson, say } from "../../ui/report.ts";
import { kernelCommandLine, loadPackedModules, readInitConfig, runInit } from "./init-run.ts";
import { flag } from "../../ui/argument.ts";
import { defineCommand } from "../../ui/command-definition.ts";

export const command = defineCommand({
  name: "init",
  group: "Guest services",
  summary: "Run as process 1 of an image made by initramfs",
  args: {
    loadModules: flag({
      summary: "Only load the packed modules, in their order: for the init of another image",
    }),
    json: flag({ summary: "With --load-modules: print the result as JSON" }),
  },
  examples: [
    {
      command: "/init",
      explanation: `As the kernel starts it: mounts, loads modules, runs the agent or the command of ${INIT_CONFIG_PATH}`,
    },
    {
      command: "vsockbox init --load-modules && vsockbox agent --daemon",
      explanation: "In the init script of an initrd that `vsockbox initramfs --overlay` went over",
    },
  ],
  async run(args) {
    if (args.loadModules) return load(args.json);
    if (process.pid === 1) return runInit();
    throw commandLineError(
      "init",
      `it is for process 1, and this is process ${process.pid}`,
      "`vsockbox initramfs` packs an image whose init it is; --load-modules works in any process",
    );
  },
});

function load(asJson: boolean): number {
  const config = readInitConfig();
  if (config === undefined) {
    throw new VsockboxError({
      code: "CONFIG",
      operation: "read",
      address: INIT_CONFIG_PATH,
      message: "no such file",
      errno: "ENOENT",
      hint: "`vsockbox initramfs --kernel-modules DIR` packs it, with the modules",
    });
  }
  const result = loadPackedModules(config, kernelCommandLine());
  const { loaded, unneeded, warnings } = result;
  if (asJson) printJson(result);
  else {
    if (loaded.length > 0) print(`loaded ${loaded.join(", ")}`);
    if (unneeded.length > 0) print(`no device for ${unneeded.join(", ")}`);
  }
  for (const warning of warnings) say(`vsockbox: ${warning}`);
  return warnings.length === 0 ? 0 : EXIT_STATUS.UNAVAILABLE;
}
