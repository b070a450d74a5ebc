/** The kinds and modes of files as Go's FileMode has them. */
import { expect, test } from "bun:test";
import { goFileKind, goFileMode, unixMode } from "../../../../src/protocols/agent/file-messages.ts";

test.each([
  [0o100644, "file"],
  [0o120777, "link"],
  [0o060660, "block"],
  [0o020666, "character"],
  [0o010644, "fifo"],
  [0o140755, "socket"],
] as const)("a file with st_mode %o is a %s", (mode, kind) => {
  const goMode = goFileMode(mode);
  expect(goFileKind(goMode)).toBe(kind);
  expect(unixMode(goMode)).toBe(mode & 0o7777);
});

test("set-ID bits and sticky are no kind", () => {
  const goMode = goFileMode(0o107755);
  expect(goFileKind(goMode)).toBe("file");
  expect(unixMode(goMode)).toBe(0o7755);
});
