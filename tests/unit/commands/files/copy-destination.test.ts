import { describe, expect, test } from "bun:test";
import {
  remoteDestination,
  type RemoteOperand,
  typedName,
} from "../../../../src/commands/files/copy-destination.ts";

const bytes = (text: string) => new Uint8Array(Buffer.from(text));
const remote = (path: string, isHome = false): RemoteOperand => ({
  kind: "remote",
  target: "web",
  path: bytes(path),
  isHome,
});
const source = (path: string) => ({ path: bytes(path), name: () => bytes("typed") });

function destination(
  to: string,
  status: Record<string, unknown> | undefined,
  from: string | undefined,
  many = false,
): string {
  const named = from === undefined ? undefined : source(from);
  const { directory, name } = remoteDestination(remote(to), status, named, many);
  return `${Buffer.from(directory).toString()} ${Buffer.from(name).toString()}`;
}

const file = (realPath: string) => ({ type: "file", realPath });
const directory = (realPath: string) => ({ type: "directory", realPath });
const code = (expected: string, errno?: string) =>
  expect.objectContaining(errno === undefined ? { code: expected } : { code: expected, errno });

describe("the destination of a source in a guest", () => {
  test("is the typed name in an existing directory, also of several sources", () => {
    expect(destination("/srv", directory("/srv"), "a")).toBe("/srv typed");
    expect(destination("/srv", directory("/srv"), "a", true)).toBe("/srv typed");
  });

  test("is the directory itself for the content of a directory", () => {
    expect(destination("/x", directory("/data/srv"), "a/.")).toBe("/data srv");
  });

  test("is exactly the path if that is a file or does not exist", () => {
    expect(destination("/x", file("/data/real"), "a")).toBe("/data real");
    expect(destination("/data/new", undefined, "a")).toBe("/data new");
    expect(destination("/data/new", undefined, undefined)).toBe("/data new");
  });

  test("is refused if a directory is needed", () => {
    expect(() => destination("/x", file("/x"), "a", true)).toThrow(
      code("CANNOT_CREATE", "ENOTDIR"),
    );
    expect(() => destination("/x", undefined, "a", true)).toThrow(code("CANNOT_CREATE", "ENOENT"));
    expect(() => destination("/x/", undefined, "a")).toThrow(code("CANNOT_CREATE", "ENOENT"));
  });

  test("is refused for a device, and for standard input into a directory", () => {
    const device = { type: "character-device", realPath: "/dev/null" };
    expect(() => destination("/dev/null", device, "a")).toThrow(code("CANNOT_CREATE"));
    expect(() => destination("/srv", directory("/srv"), undefined)).toThrow(code("USAGE"));
  });
});

describe("the name of a source of a guest", () => {
  test("is its last component as typed", () => {
    expect(typedName(remote("/srv/app"))).toEqual(bytes("app"));
    expect(typedName(remote("/srv/app/"))).toEqual(bytes("app"));
  });

  test.each(["..", "/", "/srv/.."])("does not exist for %s", (path) => {
    expect(() => typedName(remote(path))).toThrow(code("USAGE"));
  });

  test("does not exist for a home directory, whatever the guest has answered", () => {
    expect(() => typedName(remote("/home/user", true))).toThrow(code("USAGE"));
  });
});
