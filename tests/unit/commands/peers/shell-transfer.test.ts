import { describe, expect, test } from "bun:test";
import { readTransfer, type TransferWords } from "../../../../src/commands/peers/shell-transfer.ts";

const read = (words: Partial<Record<keyof TransferWords, string>>) => {
  const bytes = (text: string | undefined) => (text === undefined ? undefined : Buffer.from(text));
  const transfer = readTransfer({
    upload: bytes(words.upload),
    download: bytes(words.download),
    to: bytes(words.to),
    remoteDirectory: Buffer.from(words.remoteDirectory ?? "/tmp"),
    localDirectory: Buffer.from(words.localDirectory ?? "."),
  });
  return transfer === undefined
    ? undefined
    : [transfer.direction, transfer.local.toString(), transfer.remote.toString()];
};

describe("a transfer on the command line", () => {
  test.each([
    ["as the README has it", { upload: "/a/f:/b/g" }, ["upload", "/a/f", "/b/g"]],
    ["the other way", { download: "/b/g:/a/f" }, ["download", "/a/f", "/b/g"]],
    ["into a directory", { upload: "a/f:/b/" }, ["upload", "a/f", "/b/f"]],
    ["as the C code has it", { upload: "/a/f" }, ["upload", "/a/f", "/tmp/f"]],
    [
      "with its directory",
      { upload: "/a/f", remoteDirectory: "/srv" },
      ["upload", "/a/f", "/srv/f"],
    ],
    [
      "down",
      { download: "/etc/hostname", localDirectory: "out" },
      ["download", "out/hostname", "/etc/hostname"],
    ],
    ["with colons", { upload: "a:b", to: "/c:d" }, ["upload", "a:b", "/c:d"]],
    ["with --to, down", { download: "/x", to: "y/" }, ["download", "y/x", "/x"]],
  ] as const)("%s", (_, words, expected) => {
    expect(read(words)).toEqual([...expected]);
  });

  test("without operands there is no transfer", () => {
    expect(read({})).toBeUndefined();
  });

  test.each([
    [{ upload: "a:b", download: "c:d" }, /--upload cannot be used with --download/],
    [{ to: "x" }, /--to goes with/],
    [{ upload: "a:b:c" }, /more than one colon/],
    [{ upload: ":b" }, /a path is empty/],
    [{ upload: "a:" }, /a path is empty/],
    [{ upload: "" }, /a path is empty/],
    [{ upload: "/..", remoteDirectory: "/x" }, /no name/],
    [{ upload: "a/.", to: "b/" }, /no name/],
  ] as const)("%j is refused", (words, reason) => {
    expect(() => read(words)).toThrow(reason);
  });
});
