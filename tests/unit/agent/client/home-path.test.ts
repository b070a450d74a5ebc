import { expect, test } from "bun:test";
import { readHomePath } from "../../../../src/agent/client/home-path.ts";
import { homeOf } from "../../../../src/process/users.ts";

const parts = (path: string) => {
  const read = readHomePath(Buffer.from(path));
  return read && [read.user, read.rest && Buffer.from(read.rest).toString()];
};

test("a path with a tilde has a user and a rest", () => {
  expect(parts("~")).toEqual([undefined, undefined]);
  expect(parts("~/")).toEqual([undefined, ""]);
  expect(parts("~/a/~b")).toEqual([undefined, "a/~b"]);
  expect(parts("~root")).toEqual(["root", undefined]);
  expect(parts("~root/x")).toEqual(["root", "x"]);
});

test("a tilde that is not the first character has no meaning", () => {
  for (const path of ["./~", "/~", "a~", "/home/~x", "", "x/~"])
    expect(parts(path)).toBeUndefined();
});

test("the home directory is that of the entry, else HOME, else the root", () => {
  const uid = process.geteuid?.() ?? 0;
  const entry = (name: string, id: number, home: string) =>
    `${name}:x:${id}:${id}::${home}:/bin/sh\n`;
  const users = { passwd: entry("me", uid, "/me") + entry("web", 4321, "/srv/web"), group: "" };
  expect([homeOf(undefined, users), homeOf("web", users)]).toEqual(["/me", "/srv/web"]);
  expect(() => homeOf("none", users)).toThrow("no such user");
  const before = process.env["HOME"];
  try {
    process.env["HOME"] = "/from/environment";
    expect(homeOf(undefined, { passwd: "", group: "" })).toBe("/from/environment");
    process.env["HOME"] = "";
    expect(homeOf(undefined, { passwd: "", group: "" })).toBe("/");
  } finally {
    process.env["HOME"] = before;
  }
});
