import { expect, test } from "bun:test";
import { programName } from "../../../src/diagnose/process-name.ts";

test.each([
  [["/usr/bin/firecracker", "--id"], "Firecracker"],
  [["cloud-hypervisor"], "Cloud Hypervisor"],
  [["/bin/qemu-system-x86_64", "-M"], "qemu-system-x86_64"],
  [["./vsockbox", "hybrid-proxy", "--vm"], "vsockbox hybrid-proxy"],
  [["vsockbox", "--version"], "vsockbox"],
  [["vsockbox"], "vsockbox"],
  [["other", "word"], "other"],
  [["bad\u001b[2J"], "bad\\x1b[2J"],
  [[], ""],
])("%p", (command, name) => {
  expect(programName({ pid: 5, command, isStopped: false })).toBe(`${name} (pid 5)`);
});
