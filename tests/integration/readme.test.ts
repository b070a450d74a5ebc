/** Every example of the README: what needs no AF_VSOCK is run here, the rest in tests/vm. */
import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseProfiles } from "../../src/config/profiles.ts";
import { shell, TemporaryFolder } from "../support/binary.ts";
import { readmeExamples } from "../support/readme.ts";

const examples = readmeExamples();
const ROOT = join(import.meta.dir, "../..");

describe("README.md", () => {
  test("has only examples that a test runs", () => {
    expect(examples.map(({ info }) => info)).toEqual([
      "sh",
      "sh",
      "sh guest",
      "sh guest",
      "sh",
      "sh guest",
      "sh",
      "sh guest",
      "",
      "sh",
      "sh",
      "sh guest",
      "yaml",
      "yaml",
    ]);
  });

  test("begins with the two commands that CI and package.json have", () => {
    const { scripts } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as {
      scripts: Record<string, string>;
    };
    expect(examples[0]?.text).toBe("npm ci && npm run demo\n");
    expect(examples[1]?.text).toBe("npm test\n");
    expect(scripts).toHaveProperty("demo");
    expect(scripts).toHaveProperty("test");
    const ci = readFileSync(join(ROOT, ".ci/run"), "utf8");
    expect(ci).toMatch(/^npm ci$/m);
    expect(ci).toMatch(/^VSOCKBOX_REQUIRE_VM=1 npm test$/m);
  });

  test("its Unix socket example does what it says", async () => {
    using folder = new TemporaryFolder();
    const example = examples[6]?.text.replaceAll("/tmp/agent.sock", folder.file("a.sock"));
    const { stdout, stderr } = await shell(`${example}kill %1; wait`);
    expect([stdout, stderr]).toEqual(["status 7\n", expect.stringContaining("listening on unix:")]);
  });

  test("its file examples do what they say", async () => {
    using folder = new TemporaryFolder();
    const example = examples[4]?.text
      .replaceAll("/tmp/files.sock", folder.file("a.sock"))
      .replaceAll("/tmp/site-copy", folder.file("site-copy"));
    const result = await shell(`set -e; ${example}kill %1; wait`, { cwd: folder.path });
    expect(result).toMatchObject({ status: 0, stderr: "" });
    expect(result.stdout).toMatch(/^-rw.* 6 .* index\.html\nhello\n$/);
    expect(readFileSync(folder.file("back.html"), "utf8")).toBe("hello\n");
    expect(existsSync(folder.file("site-copy"))).toBe(false);
  });

  test("its guest-exec examples do what they say", async () => {
    using folder = new TemporaryFolder();
    const example = examples[9]?.text.replaceAll("/tmp/", `${folder.path}/`);
    const { status, stdout, stderr } = await shell(`set -e; ${example}wait`);
    expect([status, stdout]).toEqual([0, "hello from Linux\nhello from Linux\none\ntwo\n"]);
    expect(stderr).toContain("guest 1 has closed");
  });

  test("its vsock-shell examples do what they say", async () => {
    using folder = new TemporaryFolder();
    const example = examples[10]?.text.replaceAll("/tmp/", `${folder.path}/`);
    const { status, stdout, stderr } = await shell(`set -e; ${example}kill %1; wait`, {
      cwd: folder.path,
    });
    expect([status, stdout, stderr]).toEqual([0, "hello\r\nstatus 3\n", ""]);
    expect(readFileSync(folder.file("notes-back.txt"), "utf8")).toBe("content\n");
  });

  test("its ssh configuration is what ssh understands, and uses options that exist", async () => {
    using folder = new TemporaryFolder();
    await Bun.write(folder.file("config"), examples[8]?.text ?? "");
    const { stdout, status } = await shell(`ssh -G -F ${folder.file("config")} user@vsock%3`);
    expect([status, stdout]).toEqual([
      0,
      expect.stringContaining("proxycommand vsockbox connect --fdpass %h %p"),
    ]);
    expect(stdout).toContain("proxyusefdpass yes");
  });

  test("its profiles can be read", () => {
    expect([...parseProfiles(examples[13]?.text ?? "", "README.md").keys()]).toEqual([
      "web",
      "build",
    ]);
  });

  test("its links lead somewhere", () => {
    const readme = readFileSync(join(ROOT, "README.md"), "utf8");
    for (const [, path = ""] of readme.matchAll(/\]\(([^)]+)\)/g)) {
      expect([path, existsSync(join(ROOT, path))]).toEqual([path, true]);
    }
  });
});
