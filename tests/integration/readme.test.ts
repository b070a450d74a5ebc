/** Every example of the README: what needs no AF_VSOCK is run here, the rest in tests/vm. */
import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { shell, TemporaryFolder } from "../support/binary.ts";
import { examplesOf } from "../support/readme.ts";

const examples = examplesOf("README.md");
const ROOT = join(import.meta.dir, "../..");

/** Runs a line after the one that makes the directory of the sockets. */
const inDirectory = (folder: TemporaryFolder, line: string) =>
  shell(`${examples[4]?.text}${line}`, {
    cwd: folder.path,
    env: { XDG_RUNTIME_DIR: folder.file("runtime") },
  });

describe("README.md", () => {
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

  test.each([
    ["XDG_RUNTIME_DIR", { XDG_RUNTIME_DIR: "runtime", HOME: "home" }, "runtime/vsockbox"],
    ["HOME", { XDG_RUNTIME_DIR: undefined, HOME: "home" }, "home/.cache/vsockbox"],
  ] as const)(
    "its sockets are in a directory of one's own below %s",
    async (_name, names, expected) => {
      using folder = new TemporaryFolder();
      const inFolder = (name: string | undefined) =>
        name === undefined ? name : folder.file(name);
      const env = { XDG_RUNTIME_DIR: inFolder(names.XDG_RUNTIME_DIR), HOME: inFolder(names.HOME) };
      const { status, stdout } = await shell(`set -eu; ${examples[4]?.text}echo "$run"`, { env });
      expect([status, stdout]).toEqual([0, `${folder.file(expected)}\n`]);
      expect(statSync(folder.file(expected)).mode & 0o777).toBe(0o700);
    },
  );

  test("no example has a socket in /tmp", () => {
    for (const { text } of examples) expect(text).not.toMatch(/(unix|hybrid):\/tmp|--socket \/tmp/);
  });

  test("its Unix socket example does what it says", async () => {
    using folder = new TemporaryFolder();
    const { stdout, stderr } = await inDirectory(folder, `${examples[7]?.text}kill %1; wait`);
    expect([stdout, stderr]).toEqual(["status 7\n", expect.stringContaining("listening on unix:")]);
  });

  test("its file examples do what they say", async () => {
    using folder = new TemporaryFolder();
    const example = examples[5]?.text.replaceAll("/tmp/site-copy", folder.file("site-copy"));
    const result = await inDirectory(folder, `set -e; ${example}kill %1; wait`);
    expect(result).toMatchObject({ status: 0, stderr: "" });
    expect(result.stdout).toMatch(/^-rw.* 6 .* index\.html\nhello\n$/);
    expect(readFileSync(folder.file("back.html"), "utf8")).toBe("hello\n");
    expect(existsSync(folder.file("site-copy"))).toBe(false);
  });

  test("its guest-exec examples do what they say", async () => {
    using folder = new TemporaryFolder();
    const line = `set -e; ${examples[10]?.text}wait`;
    const { status, stdout, stderr } = await inDirectory(folder, line);
    expect([status, stdout]).toEqual([0, "hello from Linux\nhello from Linux\none\ntwo\n"]);
    expect(stderr).toContain("guest 1 has closed");
  });

  test("its vsock-shell examples do what they say", async () => {
    using folder = new TemporaryFolder();
    const example = examples[11]?.text.replaceAll("/tmp/", `${folder.path}/`);
    const line = `set -e; ${example}kill %1; wait`;
    const { status, stdout, stderr } = await inDirectory(folder, line);
    expect([status, stdout, stderr]).toEqual([0, "hello\r\nstatus 3\n", ""]);
    expect(readFileSync(folder.file("notes-back.txt"), "utf8")).toBe("content\n");
  });
});
