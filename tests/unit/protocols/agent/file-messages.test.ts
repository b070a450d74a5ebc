/** The payloads of PortForward and of the file frames, and the modes of files as Go has them. */
import { describe, expect, test } from "bun:test";
import {
  decodeFileResponse,
  decodePathRequest,
  decodePortForwardRequest,
  decodeWriteFileRequest,
  encodeFileResponse,
  goFileKind,
  goFileMode,
  unixMode,
} from "../../../../src/protocols/agent/file-messages.ts";

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

test("a directory is bit 31 of Go's FileMode", () => {
  expect(goFileMode(0o040755)).toBe(2 ** 31 + 0o755);
});

test("set-ID bits and sticky do not change the kind", () => {
  const goMode = goFileMode(0o107755);
  expect(goFileKind(goMode)).toBe("file");
  expect(unixMode(goMode)).toBe(0o7755);
});

const json = (value: unknown) => Buffer.from(JSON.stringify(value));

describe("requests", () => {
  test("PortForward: the default host, and no port 0", () => {
    expect(decodePortForwardRequest(json({ port: 80 }))).toEqual({ host: "127.0.0.1", port: 80 });
    expect(decodePortForwardRequest(json({ host: "db", port: 65_535 }))).toEqual({
      host: "db",
      port: 65_535,
    });
    for (const request of [{}, { port: 0 }, { port: null }, { port: 65_536 }]) {
      expect(() => decodePortForwardRequest(json(request))).toThrow();
    }
  });

  test("WriteFile: the default mode, and set-ID bits", () => {
    const request = { path: "/x", content: "dGV4dA==" };
    for (const mode of [undefined, null, 0]) {
      expect(decodeWriteFileRequest(json({ ...request, mode }))).toMatchObject({
        path: "/x",
        mode: 0o644,
      });
    }
    const own = decodeWriteFileRequest(json({ ...request, mode: 2 ** 23 + 0o1 }));
    expect([Buffer.from(own.content).toString(), own.mode]).toEqual(["text", 0o4001]);
  });

  test("a path is needed", () => {
    expect(decodePathRequest(json({ path: "/x" }), "ReadFileRequest")).toBe("/x");
    expect(() => decodePathRequest(json({}), "ReadFileRequest")).toThrow("ReadFileRequest");
    expect(() => decodeWriteFileRequest(json({ content: "" }))).toThrow("WriteFileRequest");
  });
});

describe("FileResult", () => {
  test("has only the fields that are not empty", () => {
    const file = { name: "a", size: 1, mode: 0o644, is_dir: false };
    const cases = [
      [{}, {}],
      [{ content: new Uint8Array(0), files: [] }, {}],
      [{ content: Uint8Array.of(1) }, { content: "AQ==" }],
      [{ files: [file] }, { files: [file] }],
      [{ error: "no" }, { error: "no" }],
    ] as const;
    for (const [response, expected] of cases) {
      expect(encodeFileResponse(response)).toEqual(expected);
    }
  });

  test("null and missing fields are empty, and a file's fields have defaults", () => {
    const empty = { content: new Uint8Array(0), files: [] };
    expect(decodeFileResponse(json({}))).toEqual(empty);
    expect(decodeFileResponse(json({ content: null, files: null, error: "no" }))).toEqual({
      ...empty,
      error: "no",
    });
    expect(decodeFileResponse(json({ files: [{ name: "a" }] })).files).toEqual([
      { name: "a", size: 0, mode: 0, is_dir: false },
    ]);
    for (const files of [{}, [1], [null], [{ size: -1 }], [{ name: 1 }]]) {
      expect(() => decodeFileResponse(json({ files }))).toThrow("FileResult");
    }
  });
});
