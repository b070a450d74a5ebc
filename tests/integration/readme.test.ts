/** The commands of the README that a fresh clone runs, and the directory of its sockets. */
import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { BINARY, shell, ScratchDirectory } from "../support/binary.ts";
import { examplesOf } from "../support/readme.ts";

const examples = examplesOf("README.md");
const ROOT = join(import.meta.dir, "../..");
const [install = "", demo = "", all = ""] = examples
  .filter(({ info }) => info === "sh repository")
  .map(({ text }) => text);

describe("README.md", () => {
  test("has the two set-up commands of CI and package.json", () => {
    const { scripts } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as {
      scripts: Record<string, string>;
    };
    expect(demo).toBe("npm ci && npm run demo\n");
    expect(all).toBe("npm test\n");
    expect(scripts).toHaveProperty("demo");
    expect(scripts).toHaveProperty("test");
    expect(scripts).toHaveProperty("build");
    const ci = readFileSync(join(ROOT, ".ci/run"), "utf8");
    expect(ci).toMatch(/^npm ci$/m);
    expect(ci).toMatch(/^VSOCKBOX_REQUIRE_VM=1 npm test$/m);
  });

  test("installs the executable in one line, after the build", async () => {
    using directory = new ScratchDirectory();
    const [packages, build, copy = ""] = install.trim().split(" && ");
    expect([packages, build]).toEqual(["npm ci", "npm run build"]);
    const line = copy
      .replace("sudo ", "")
      .replace("dist/vsockbox", BINARY)
      .replace("/usr/local/bin/", `${directory.path}/`);
    const { status, stdout } = await shell(`${line} && ${directory.file("vsockbox")} --version`);
    expect([status, stdout]).toEqual([0, expect.stringMatching(/^vsockbox \d+\.\d+\.\d+/)]);
    expect(existsSync(directory.file("vsockbox"))).toBe(true);
  });

  test.each([
    ["XDG_RUNTIME_DIR", { XDG_RUNTIME_DIR: "runtime", HOME: "home" }, "runtime/vsockbox"],
    ["HOME", { XDG_RUNTIME_DIR: undefined, HOME: "home" }, "home/.cache/vsockbox"],
  ] as const)(
    "its sockets are in a directory of one's own below %s",
    async (_name, names, expected) => {
      using directory = new ScratchDirectory();
      const inside = (name: string | undefined) =>
        name === undefined ? name : directory.file(name);
      const env = { XDG_RUNTIME_DIR: inside(names.XDG_RUNTIME_DIR), HOME: inside(names.HOME) };
      const example = examples.find(({ info }) => info === "sh")?.text ?? "";
      const [run, mkdir] = example.split("\n");
      const { status, stdout } = await shell(`set -eu; ${run}; ${mkdir}; echo "$run"`, { env });
      expect([status, stdout]).toEqual([0, `${directory.file(expected)}\n`]);
      expect(statSync(directory.file(expected)).mode & 0o777).toBe(0o700);
    },
  );

  test("shows a picture, the installation and the quick start in this order", () => {
    const infos = examples.map(({ info }) => info).filter((info) => !info.startsWith("output"));
    expect(infos).toEqual([
      "text",
      "sh repository",
      "sh guest",
      "sh guest",
      "sh",
      "sh repository",
      "sh repository",
    ]);
  });
});
