/** The examples of the documents that run over Unix sockets, with the output that is shown there. */
import { describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { shell, ScratchDirectory } from "../support/binary.ts";
import { documentPages, examplesOf, readPage } from "../support/readme.ts";
import { describeWith } from "../support/tools.ts";
import { comparable } from "../support/example-text.ts";
import { runExamples } from "../support/run-examples.ts";

const pages = documentPages().map((path) => ({
  path,
  examples: examplesOf(path).filter(({ info }) => info === "sh" || info === "sh agent"),
}));

describe("the examples of", () => {
  test.each(pages.filter(({ examples }) => examples.length > 0))(
    "$path print what the page shows",
    async ({ path, examples }) => {
      for (const { example, status, output } of await runExamples(examples)) {
        const place = `${path}:${example.line}`;
        const expected = example.output;
        const shown = expected === undefined ? output : comparable(output, expected);
        expect({ place, status, shown }).toEqual({
          place,
          status: 0,
          shown:
            expected?.text ??
            expect.not.stringMatching(/^  hint: |command not found|\(E[A-Z]+\)$/m),
        });
      }
    },
  );
});

test("ssh reads the ssh configuration of the documents", async () => {
  const configurations = documentPages().flatMap((path) =>
    examplesOf(path).filter(({ info }) => info === "ssh-config"),
  );
  expect(configurations.length).toBeGreaterThan(0);
  using directory = new ScratchDirectory();
  for (const { text } of configurations) {
    await Bun.write(directory.file("config"), text);
    const { stdout, status } = await shell(`ssh -G -F ${directory.file("config")} user@vsock%3`);
    expect([status, stdout]).toEqual([
      0,
      expect.stringContaining("proxycommand vsockbox connect --fdpass %h %p"),
    ]);
    expect(stdout).toContain("proxyusefdpass yes");
  }
});

const blocks = (info: RegExp) =>
  documentPages().flatMap((page) =>
    examplesOf(page)
      .filter((example) => info.test(example.info))
      .map(({ info: found, text, line }) => ({ info: found, text, place: `${page}:${line}` })),
  );

describeWith(["systemd-analyze"], "systemd", () => {
  test("reads the units of the documents", () => {
    using directory = new ScratchDirectory();
    const units = blocks(/^systemd /).map(({ info, text }) => ({ name: info.slice(8), text }));
    expect(units.length).toBeGreaterThan(3);
    for (const { name, text } of units) {
      // It looks for the executables.
      const found = text.replaceAll(/=-?\/usr\/s?bin\/(?:sshd|vsockbox)\b/g, "=-/bin/true");
      writeFileSync(directory.file(name), found);
    }
    const sockets = units.filter(({ name }) => name.endsWith(".socket"));
    const { exitCode, stderr } = Bun.spawnSync(
      ["systemd-analyze", "verify", "--man=no", ...sockets.map(({ name }) => `./${name}`)],
      { cwd: directory.path },
    );
    expect({ exitCode, stderr: stderr.toString() }).toEqual({ exitCode: 0, stderr: "" });
  });
});

describeWith(["python3"], "the XML of the documents", () => {
  const documents = blocks(/^xml$/);

  test("is well-formed", () => {
    expect(documents.length).toBeGreaterThan(1);
    const parse = "import sys, xml.dom.minidom; xml.dom.minidom.parse(sys.stdin.buffer)";
    for (const { place, text } of documents) {
      const { stderr } = Bun.spawnSync(["python3", "-c", parse], { stdin: Buffer.from(text) });
      expect({ place, stderr: stderr.toString() }).toEqual({ place, stderr: "" });
    }
  });

  test("has the arguments that hybrid-proxy prints for QEMU", async () => {
    const text = documents.find((document) => document.text.includes("qemu:arg"))?.text ?? "";
    const words = [...text.matchAll(/<qemu:arg value="([^"]*)"/g)].map(([, value = ""]) => value);
    const line =
      "vsockbox hybrid-proxy --socket /run/vhost4.sock --uds-path /run/vm4.vsock --print-qemu";
    expect(words).toHaveLength(4);
    expect((await shell(line)).stdout).toContain(words.join(" "));
  });
});

describe("the CI jobs of the documents", () => {
  test("of GitLab have a script that runs", async () => {
    const [job] = blocks(/^yaml gitlab$/);
    const { vsock } = Bun.YAML.parse(job?.text ?? "") as { vsock: { script: string[] } };
    using directory = new ScratchDirectory();
    const { status, stdout, stderr } = await shell(
      `set -e\ntrap 'kill $!' EXIT\n${vsock.script.join("\n")}`,
      { cwd: directory.path, env: { TMPDIR: directory.path } },
    );
    expect({ status, stdout, stderr }).toMatchObject({
      status: 0,
      stdout: expect.stringContaining("Linux"),
    });
  });

  test("of GitHub have steps whose commands exist", async () => {
    const [job] = blocks(/^yaml github$/);
    const { jobs } = Bun.YAML.parse(job?.text ?? "") as {
      jobs: { vsock: { "runs-on": string; steps: { uses?: string; run?: string }[] } };
    };
    const lines = jobs.vsock.steps.flatMap(({ run }) => run?.trim().split("\n") ?? []);
    const commands = lines.flatMap((line) => /^vsockbox ([a-z]+)/.exec(line)?.[1] ?? []);
    expect(commands).toEqual(["smoke", "agent", "wait", "exec"]);
    for (const command of commands) {
      expect((await shell(`vsockbox ${command} --help`)).status).toBe(0);
    }
    expect(lines.filter((line) => !line.startsWith("vsockbox "))).toEqual([
      "sudo modprobe vsock_loopback",
    ]);
  });
});

test("the kernel's options of docs/guest-kernel.md are those of a kernel that is installed", () => {
  const [config] = existsSync("/boot")
    ? readdirSync("/boot").filter((name) => name.startsWith("config-"))
    : [];
  if (config === undefined) return console.warn("SKIPPED: no /boot/config-*");
  const text = readFileSync(`/boot/${config}`, "utf8");
  const rows = [
    ...readPage("docs/guest-kernel.md").matchAll(/^\| `(CONFIG_\w+)` +\| (?:`(\w+)`|-) /gm),
  ];
  expect(rows.length).toBeGreaterThan(9);
  const modules = readFileSync(`/lib/modules/${config.slice(7)}/modules.dep`, "utf8");
  for (const [, option = "", module] of rows) {
    const [, value] = new RegExp(`^${option}=(.)$`, "m").exec(text) ?? [];
    expect([option, value]).toEqual([option, expect.stringMatching(/^[my]$/)]);
    if (value === "m") expect(modules).toMatch(new RegExp(`/${module}\\.ko[^:/]*:`));
  }
});
