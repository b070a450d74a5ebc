import { describe, expect, test } from "bun:test";
import { resolveOwner, resolveUser } from "../../../src/process/users.ts";

const database = {
  passwd: [
    "root:x:0:0:root:/root:/bin/bash",
    "# a comment",
    "build:x:1000:100:Build,,,:/home/build:/bin/sh",
    "bare:x:7:8:::",
    "4294967295:x:9:9::/:",
    "broken:x:abc:1::/:",
  ].join("\n"),
  group: "users:x:100:build\nkvm:x:36:build,other\nwheel:x:10:other\n",
};

describe("resolveUser", () => {
  test("a name brings its group, its other groups and its home", () => {
    expect(resolveUser("build", database)).toMatchObject({
      uid: 1000,
      gid: 100,
      groups: [36],
      account: { name: "build", home: "/home/build", shell: "/bin/sh" },
    });
  });

  test("a uid with an account is that account", () => {
    expect(resolveUser("1000", database)).toMatchObject({ uid: 1000, gid: 100, groups: [36] });
  });

  test("a uid without an account has the gid of the same number", () => {
    expect(resolveUser("4711", database)).toEqual({
      uid: 4711,
      gid: 4711,
      groups: [],
      account: undefined,
    });
  });

  test("uid:gid is exactly that", () => {
    expect(resolveUser("1000:5", database)).toMatchObject({ uid: 1000, gid: 5, groups: [] });
  });

  test.each([
    ["2147483648", 2147483648, 2147483648],
    ["4294967294", 4294967294, 4294967294],
    ["5:4294967294", 5, 4294967294],
  ])("reads %s, beyond a signed number", (spec, uid, gid) => {
    expect(resolveUser(spec, database)).toMatchObject({ uid, gid });
  });

  test("missing home and shell have defaults", () => {
    expect(resolveUser("bare", database).account).toMatchObject({ home: "/", shell: "/bin/sh" });
  });

  test.each(["4294967295", "4294967296", "99999999999999999999"])(
    "reads %s as a uid, although an account may have that name",
    (spec) => {
      expect(() => resolveUser(spec, database)).toThrow("no such uid");
    },
  );

  test.each([
    "nobody-here",
    "",
    "1000:",
    ":5",
    "1:2:3",
    "root:0",
    "-1",
    "4294967295",
    "4294967296",
    "1.5",
    "NaN",
    "broken",
  ])("refuses %j", (spec) => {
    expect(() => resolveUser(spec, database)).toThrow("look up user");
  });
});

describe("resolveOwner", () => {
  test.each([
    ["build", 1000, undefined],
    ["build:kvm", 1000, 36],
    [":kvm", undefined, 36],
    ["4711", 4711, undefined],
    ["0:36", 0, 36],
    ["build:7", 1000, 7],
    [":8", undefined, 8],
  ])("reads %s", (spec, uid, gid) => {
    expect(resolveOwner(spec, database)).toEqual({ uid, gid });
  });

  test.each([
    ["nobody", 'unknown user "nobody"'],
    ["build:nobody", 'unknown group "nobody"'],
    [":nobody", 'unknown group "nobody"'],
    ["4294967295", 'unknown user "4294967295"'],
    [":4294967296", 'unknown group "4294967296"'],
  ])("refuses %s", (spec, message) => {
    expect(() => resolveOwner(spec, database)).toThrow(message);
  });
});
