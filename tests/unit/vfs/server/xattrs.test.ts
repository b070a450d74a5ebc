import { expect, test } from "bun:test";
import { userNames } from "../../../../src/vfs/server/xattrs.ts";

const names = (text: string) =>
  Buffer.from(userNames(new Uint8Array(Buffer.from(text)))).toString();

test("only names of users are listed", () => {
  expect(names("security.selinux\0user.a\0trusted.user.b\0user.b c\0")).toBe("user.a\0user.b c\0");
  expect([names(""), names("system.a\0"), names("user.cut")]).toEqual(["", "", ""]);
});
