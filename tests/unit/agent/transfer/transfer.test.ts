import { describe, expect, test } from "bun:test";
import { fileError, isFatal, TransferSummary } from "../../../../src/agent/transfer/transfer.ts";
import { VsockboxError } from "../../../../src/errors.ts";

const thrownBy = (errno: string) =>
  Object.assign(new Error(`${errno}: no such file or directory, open`), { code: errno });

describe("an error that ends the whole transfer", () => {
  test.each(["ENOSPC", "EDQUOT", "EROFS", "EIO", "EMFILE", "ENFILE"])("%s", (errno) => {
    expect(isFatal(thrownBy(errno))).toBe(true);
    expect(isFatal(new VsockboxError({ code: "IO", operation: "write", errno }))).toBe(true);
  });

  test("is not one of a single file, whatever its text", () => {
    expect(isFatal(thrownBy("EACCES"))).toBe(false);
    expect(isFatal(new Error("ENOSPC"))).toBe(false);
  });
});

describe("the error of a file call", () => {
  const path = Buffer.from("/srv/a b");

  test("names the operation, the path and the reason", () => {
    const error = fileError("read", path, thrownBy("ENOENT"));
    expect(error).toMatchObject({ code: "IO", errno: "ENOENT", operation: "read" });
    expect(error.message).toBe("cannot read /srv/a b: no such file or directory (ENOENT)");
    expect(error.hint).toBeUndefined();
  });

  test("has a hint for a full disk alone", () => {
    expect(fileError("write", path, thrownBy("ENOSPC")).hint).toContain("free some space");
  });

  test("without an errno is a defect", () => {
    expect(fileError("read", path, new TypeError("x")).code).toBe("SOFTWARE");
  });

  test("is kept if it is one of vsockbox already", () => {
    const error = new VsockboxError({ code: "REFUSED", operation: "open" });
    expect(fileError("read", path, error)).toBe(error);
  });
});

test("a summary adds counts and failures of another, and is its result on the wire", () => {
  const summary = new TransferSummary();
  for (let round = 0; round < 2; round++) {
    const other = new TransferSummary();
    Object.assign(other, { files: 1, directories: 2, links: 3, bytes: 4, reused: 5 });
    other.noteReported("read /a: no");
    summary.add(other);
  }
  expect(summary.toJSON()).toEqual({
    files: 2,
    directories: 4,
    links: 6,
    bytes: 8,
    reused: 10,
    errorCount: 2,
    errors: ["read /a: no", "read /a: no"],
  });
});
