import { describe, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { EARLY_MAPS } from "../../../src/process/init/mounts.ts";
import { describeWith } from "../../support/tools.ts";

const UNITS = join(import.meta.dir, "../../../packaging/systemd");
const names = readdirSync(UNITS);

/** The values of one setting, in order. */
function settings(unit: string, name: string): string[] {
  return readFileSync(join(UNITS, unit), "utf8")
    .split("\n")
    .filter((line) => line.startsWith(`${name}=`))
    .map((line) => line.slice(name.length + 1));
}

describe("the units", () => {
  test("start the executable at the path of packages", () => {
    expect(names.sort()).toEqual([
      "vsockbox-agent.service",
      "vsockbox-forward@.service",
      "vsockbox-metrics.service",
      "vsockbox-mount@.service",
    ]);
    for (const name of names) {
      expect(settings(name, "ExecStart")).toEqual([
        expect.stringMatching(/^\/usr\/bin\/vsockbox (agent|forward|metrics|mount) /),
      ]);
    }
  });

  test("for OpenRC the same", () => {
    const script = readFileSync(join(UNITS, "../openrc/vsockbox-agent"), "utf8");
    expect(script).toStartWith("#!/sbin/openrc-run\n");
    expect(script).toContain('\ncommand=/usr/bin/vsockbox\ncommand_args="agent $AGENT_ARGS"\n');
  });

  test("leave open what vsock and the runtime need", () => {
    for (const unit of ["vsockbox-forward@.service", "vsockbox-metrics.service"]) {
      expect(settings(unit, "RestrictAddressFamilies")).toEqual([
        "AF_VSOCK AF_UNIX AF_INET AF_INET6",
      ]);
      expect(settings(unit, "MemoryDenyWriteExecute")).toEqual([]);
      expect(settings(unit, "PrivateDevices")).toEqual([]);
    }
  });
});

test("the documentation has what an image needs", () => {
  const text = readFileSync(join(import.meta.dir, "../../../docs/init.md"), "utf8");
  expect(text).toContain(`echo '${EARLY_MAPS.content.trimEnd()}' > image${EARLY_MAPS.path}`);
});

describeWith(["systemd-analyze"], "systemd", () => {
  test.each(names)("does not complain about %s", (name) => {
    const scratch = mkdtempSync(join(tmpdir(), "vsockbox-units-"));
    try {
      const unit = join(scratch, name);
      const text = readFileSync(join(UNITS, name), "utf8");
      // It looks for the executable.
      writeFileSync(unit, text.replaceAll("/usr/bin/vsockbox", "/bin/true"));
      const { exitCode, stderr } = Bun.spawnSync(["systemd-analyze", "verify", "--man=no", unit]);
      expect({ exitCode, stderr: stderr.toString() }).toEqual({ exitCode: 0, stderr: "" });
    } finally {
      rmSync(scratch, { recursive: true });
    }
  });
});
