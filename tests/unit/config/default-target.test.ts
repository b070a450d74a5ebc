import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import {
  defaultTarget,
  originOfTarget,
  useDefaultTarget,
} from "../../../src/config/default-target.ts";
import { ScratchDirectory } from "../../support/scratch-directory.ts";

let scratch: ScratchDirectory;
const saved = { ...process.env };
beforeEach(() => {
  scratch = new ScratchDirectory();
  mkdirSync(scratch.file("vsockbox"));
  process.env["XDG_CONFIG_HOME"] = scratch.path;
  delete process.env["VSOCKBOX_TARGET"];
});
afterEach(() => {
  scratch[Symbol.dispose]();
  for (const name of ["XDG_CONFIG_HOME", "VSOCKBOX_TARGET"]) {
    if (saved[name] === undefined) delete process.env[name];
    else process.env[name] = saved[name];
  }
});

test("is that of the variable, else of the profiles, else there is none", () => {
  const path = scratch.file("vsockbox/config.yaml");
  expect(defaultTarget()).toBeUndefined();
  writeFileSync(path, "default: web\nvms:\n  web:\n    address: 3\n");
  expect(defaultTarget()).toEqual({ text: "web", origin: `\`default\` of ${path}` });
  process.env["VSOCKBOX_TARGET"] = "4";
  expect(defaultTarget()).toEqual({ text: "4", origin: "VSOCKBOX_TARGET" });
  process.env["VSOCKBOX_TARGET"] = "";
  expect(defaultTarget()?.text).toBe("web");
});

test("has an origin once it is used, and no other target has", () => {
  process.env["VSOCKBOX_TARGET"] = "unix:/run/used.sock";
  expect(originOfTarget("unix:/run/used.sock")).toBeUndefined();
  expect(useDefaultTarget()).toBe("unix:/run/used.sock");
  expect(originOfTarget("unix:/run/used.sock")).toBe("VSOCKBOX_TARGET");
  expect([originOfTarget("4"), originOfTarget(undefined)]).toEqual([undefined, undefined]);
});
