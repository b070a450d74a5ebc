/** The examples of the documents that run over Unix sockets, with the output that is shown there. */
import { describe, expect, test } from "bun:test";
import { shell, ScratchDirectory } from "../support/binary.ts";
import { documentPages, examplesOf } from "../support/readme.ts";
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
