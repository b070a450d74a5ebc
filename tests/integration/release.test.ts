/** A release: the same for everybody who makes it, and what it says of itself is so. */
import { expect, test } from "bun:test";
import { cpSync, existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ownJob } from "../../packaging/build/targets.ts";
import { sha256, sha256File } from "../../packaging/build/inputs.ts";
import { ElfFile } from "../../src/elf/elf-file.ts";
import { findRuntime } from "../../packaging/self-contained/libraries.ts";
import { ScratchDirectory } from "../support/binary.ts";
import { copySources, runBuild } from "../support/source-tree.ts";

/** What needs no network: made of the running Bun. */
const { target, architecture, selfContained } = ownJob(false);
const EXECUTABLE = `vsockbox-${target}`;
const only = ["--only", target];

/** Names and hashes of what is in a directory. */
const contents = (scratch: string) =>
  Object.fromEntries(
    readdirSync(scratch)
      .sort()
      .map((name) => [name, sha256File(join(scratch, name))]),
  );

const isStamp = (name: string) => name.endsWith(".stamp");

const verify = (scratch: string) =>
  Bun.spawnSync(["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"], { cwd: scratch });

interface Component {
  name: string;
  hashes?: { alg: string; content: string }[];
  purl?: string;
  components?: Component[];
  pedigree?: { ancestors: Component[] };
  properties?: { name: string; value: string }[];
}

interface Document {
  metadata: { component: Component };
  components: Component[];
}

test("two releases of one commit are byte-identical and match their bill of materials", async () => {
  using first = new ScratchDirectory();
  using second = new ScratchDirectory();
  for (const { path } of [first, second]) {
    copySources(path);
    expect(runBuild(path, ...only, "--zstd", "1", "--quiet")).toEqual({
      status: 0,
      stdout: "",
      stderr: "",
    });
  }
  const dist = join(first.path, "dist");
  const files = contents(dist);
  expect(contents(join(second.path, "dist"))).toEqual(files);
  const read = (name: string) => readFileSync(join(dist, name));

  await check("every file has its line", () => {
    const listed = read("SHA256SUMS").toString().trimEnd().split("\n");
    const names = listed.map((line) => /^[0-9a-f]{64} {2}(\S+)$/.exec(line)?.[1]);
    const expected = Object.keys(files).filter((it) => !isStamp(it) && it !== "SHA256SUMS");
    expect(names).toEqual(expected);
    expect(expected).toContain(`${EXECUTABLE}.zst`);
    expect(verify(dist).exitCode).toBe(0);
  });

  await check("a changed byte is found, in any file", () => {
    using copy = new ScratchDirectory();
    cpSync(dist, copy.path, { recursive: true });
    for (const name of Object.keys(files).filter((it) => !isStamp(it) && it !== "SHA256SUMS")) {
      const bytes = read(name);
      const at = bytes.length >> 1;
      bytes[at] = (bytes[at] ?? 0) ^ 1;
      writeFileSync(join(copy.path, name), bytes);
      const { exitCode, stdout } = verify(copy.path);
      expect({ exitCode, stdout: stdout.toString() }).toEqual({
        exitCode: 1,
        stdout: `${name}: FAILED\n`,
      });
      writeFileSync(join(copy.path, name), read(name));
    }
  });

  await check("a copy holds the executable", () => {
    const bytes = Bun.zstdDecompressSync(read(`${EXECUTABLE}.zst`));
    expect(sha256(bytes)).toBe(files[EXECUTABLE] ?? "");
  });

  await check("the bill of materials", () => {
    const text = read("vsockbox.cdx.json").toString();
    expect(text).not.toMatch(/timestamp|serialNumber|https?:/);
    const { metadata, components } = JSON.parse(text) as Document;
    const sums = metadata.component.components?.map(({ name, hashes }) => [
      name,
      hashes?.[0]?.content,
    ]);
    expect(sums).toEqual([[EXECUTABLE, files[EXECUTABLE]]]);
    checkPackages(components);
    if (selfContained) checkGlibc(components, read(EXECUTABLE));
  });

  await check("licences of everybody in it", () => {
    const text = read("THIRD-PARTY-LICENSES.txt").toString();
    expect(text).toContain("\ncitty 0.");
    expect(text).toContain(`Bun ${Bun.version} (MIT)`);
    expect(text).toContain("GNU LIBRARY GENERAL PUBLIC LICENSE\n                       Version 2,");
    if (selfContained) {
      expect(text).toContain(`--only linux-${architecture} --libraries-${architecture} DIR`);
      expect(text).toMatch(/GNU LESSER GENERAL PUBLIC LICENSE\n +Version 2\.1,/);
    }
  });

  await check("a second run makes nothing again, one without copies takes them away", () => {
    const again = runBuild(first.path, ...only, "--zstd", "1", "--json").stdout;
    const made = again
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as { path: string; cached: boolean });
    const names = made.filter(({ cached }) => cached).map(({ path }) => path);
    expect(names).toEqual([`dist/${EXECUTABLE}`, `dist/${EXECUTABLE}.zst`]);
    expect(contents(dist)).toEqual(files);
    expect(runBuild(first.path, ...only, "--zstd", "0", "--quiet").status).toBe(0);
    expect(existsSync(join(dist, `${EXECUTABLE}.zst`))).toBe(false);
    expect(read("SHA256SUMS").toString()).not.toContain(".zst");
    expect(verify(dist).exitCode).toBe(0);
  });
});

/** Names a part of a test in what it throws. */
async function check(what: string, body: () => void | Promise<void>) {
  try {
    await body();
  } catch (thrown) {
    throw new Error(what, { cause: thrown });
  }
}

function checkPackages(components: readonly Component[]) {
  const lock = JSON.parse(readFileSync("package-lock.json", "utf8")) as {
    packages: Record<string, { dev?: boolean; version: string; integrity: string }>;
  };
  const packages = components.filter(({ purl }) => /^pkg:npm\/(?!bun@)/.test(purl ?? ""));
  // What src/ imports by name is there, and what only development needs is not.
  expect(packages.map(({ name }) => name)).toContain("@clack/prompts");
  expect(packages.map(({ name }) => name)).toContain("consola");
  for (const { name, purl, hashes } of packages) {
    const entry = lock.packages[`node_modules/${name}`];
    expect(entry?.dev).toBeUndefined();
    expect(decodeURIComponent(purl ?? "")).toBe(`pkg:npm/${name}@${entry?.version}`);
    const sum = Buffer.from(hashes?.[0]?.content ?? "", "hex").toString("base64");
    expect(`sha512-${sum}`).toBe(entry?.integrity ?? "");
  }
}

function checkGlibc(components: readonly Component[], executable: Buffer) {
  const { loader, libraries, glibc } = findRuntime(architecture);
  const found = components.find(({ name }) => name === "glibc");
  expect(found?.purl?.startsWith("pkg:deb/debian/libc6@") ?? false).toBe(
    glibc.startsWith("Debian"),
  );
  const files = found?.components ?? [];
  expect(
    files.map((file) => [file.name, sumOf(file.pedigree?.ancestors[0]) ?? sumOf(file)]),
  ).toEqual([loader, ...libraries].map(({ name, bytes }) => [name, sha256(bytes)]));
  // Where they lie: in the last segment, each at a multiple of 16.
  let at = ElfFile.inMemory(executable, EXECUTABLE).loaded.at(-1)?.offset ?? 0;
  for (const file of files) {
    const bytes = Number(file.properties?.find(({ name }) => name === "vsockbox:bytes")?.value);
    const packed = executable.subarray(at, at + bytes);
    expect([file.name, sha256(packed)]).toEqual([file.name, sumOf(file) ?? ""]);
    at += Math.ceil(bytes / 16) * 16;
  }
}

const sumOf = (component: Component | undefined) => component?.hashes?.[0]?.content;

test.each([
  [["--only", "linux-mips"], /^build: no target is called "linux-mips": there are linux-x64-glibc/],
  [["--only", ""], /^build: no target is called ""/],
  [["--only", "linux-x64", "--all"], /^build: --all and --only exclude each other/],
  [["--only", "linux-x64", "--zstd", "20"], /^build: "20" is not a level from 0 to 19/],
])("build.ts %j is refused, and leaves nothing", (options, message) => {
  using scratch = new ScratchDirectory();
  const { status, stdout, stderr } = runBuild(".", ...options, "--outdir", scratch.file("out"));
  expect({ status, stdout }).toEqual({ status: 1, stdout: "" });
  expect(stderr).toMatch(message);
  expect(existsSync(scratch.file("out"))).toBe(false);
});
