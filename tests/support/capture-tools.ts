/** Programs with which `vsockbox monitor` is compared. */
import { VsockboxError } from "../../src/errors.ts";
import { findTool } from "./tools.ts";

/**
 * Finds dumpcap, tshark, and gcc for the guest's program.
 *
 * @throws {VsockboxError} UNAVAILABLE with what to install.
 */
export function findCaptureTools(): void {
  for (const [name, packageName] of [
    ["dumpcap", "wireshark-common"],
    ["tshark", "tshark"],
    ["gcc", "gcc"],
  ] as const) {
    if (findTool(name) !== undefined) continue;
    throw new VsockboxError({
      code: "UNAVAILABLE",
      operation: `find ${name}`,
      message: "not in PATH",
      hint: `\`apt-get install ${packageName}\``,
    });
  }
}
