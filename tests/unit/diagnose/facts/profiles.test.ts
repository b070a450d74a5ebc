import { afterEach, expect, test } from "bun:test";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { readProfiles } from "../../../../src/diagnose/facts/profiles.ts";
import { SystemFiles } from "../../../../src/diagnose/facts/system-files.ts";
import { ScratchDirectory } from "../../../support/scratch-directory.ts";

const before = process.env["XDG_CONFIG_HOME"];
afterEach(() => {
  if (before === undefined) delete process.env["XDG_CONFIG_HOME"];
  else process.env["XDG_CONFIG_HOME"] = before;
});

function withConfig(scratch: ScratchDirectory, yaml: string) {
  process.env["XDG_CONFIG_HOME"] = scratch.path;
  mkdirSync(scratch.file("vsockbox"));
  writeFileSync(scratch.file("vsockbox/config.yaml"), yaml);
  return scratch.file("vsockbox/config.yaml");
}

test("names, and token files that are refused", () => {
  using scratch = new ScratchDirectory();
  for (const [name, mode] of [
    ["good", 0o600],
    ["open", 0o644],
  ] as const) {
    writeFileSync(scratch.file(name), "");
    chmodSync(scratch.file(name), mode);
  }
  const vm = (name: string, token: string) =>
    `  ${name}:\n    address: 3\n    token_file: ${scratch.file(token)}\n`;
  const path = withConfig(
    scratch,
    `vms:\n  a:\n    address: 3\n${vm("b", "good")}${vm("c", "open")}${vm("d", "none")}`,
  );
  const uid = process.geteuid?.() ?? 0;
  expect(readProfiles(new SystemFiles(), uid)).toEqual({
    path,
    names: ["a", "b", "c", "d"],
    badTokenFiles: [
      {
        profile: "c",
        path: scratch.file("open"),
        problem: {
          message: expect.stringContaining("0644"),
          hint: expect.stringContaining("chmod"),
        },
        isForeign: false,
      },
      { profile: "d", path: scratch.file("none"), problem: undefined, isForeign: false },
    ],
  });
  // Root's file, which another user cannot change, is not a foreign one.
  const foreign = readProfiles(new SystemFiles(), uid + 1);
  if (!("badTokenFiles" in foreign)) throw new Error("no profiles");
  expect(foreign.badTokenFiles.map(({ isForeign }) => isForeign)).toEqual([uid !== 0, false]);
});

test("a token file of another user cannot be made private by this one", () => {
  using scratch = new ScratchDirectory();
  writeFileSync(scratch.file("token"), "");
  withConfig(scratch, `vms:\n  a:\n    address: 3\n    token_file: ${scratch.file("token")}\n`);
  const owned = new (class extends SystemFiles {
    override status(path: string) {
      const status = super.status(path);
      return status === undefined ? undefined : Object.assign(status, { uid: 4242 });
    }
  })();
  const bad = (uid: number) => {
    const found = readProfiles(owned, uid);
    return "badTokenFiles" in found ? found.badTokenFiles.map(({ isForeign }) => isForeign) : [];
  };
  expect(bad(7)).toEqual([true]);
  // Its own user may, if others can read it.
  chmodSync(scratch.file("token"), 0o644);
  expect(bad(4242)).toEqual([false]);
});

test("no file, and a broken one", () => {
  using scratch = new ScratchDirectory();
  process.env["XDG_CONFIG_HOME"] = scratch.file("none");
  expect(readProfiles(new SystemFiles(), 0)).toMatchObject({ names: [], badTokenFiles: [] });
  withConfig(scratch, "vms: 3\n");
  expect(readProfiles(new SystemFiles(), 0)).toMatchObject({ error: { code: "CONFIG" } });
});
