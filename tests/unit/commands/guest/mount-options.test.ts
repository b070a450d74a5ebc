import { describe, expect, test } from "bun:test";
import { helperWords, readFstabOptions } from "../../../../src/commands/guest/mount-options.ts";

describe("options of fstab", () => {
  test.each([
    ["", {}],
    ["ro", { isReadOnly: true }],
    ["reconnect,xattr", { reconnects: true, hasXattrs: true }],
    ["allow_other,default_permissions", { isShared: true, checksPermissions: true }],
    ["owner_only,no_permissions", { isShared: false, checksPermissions: false }],
    ["cache=always,export=my data=1", { cache: "always" as const, exportName: "my data=1" }],
    ["cache=none,cache=auto", { cache: "auto" as const }],
    ["rw,nofail,_netdev,,x-systemd.automount,x-a=b,noauto,user,defaults", {}],
  ])("%s", (text, expected) => {
    expect(readFstabOptions(text)).toEqual(expected);
  });

  test.each([
    "cache=maybe",
    "ro=1",
    "unknown",
    "export",
    "export=",
    "export=a/b",
    "cache",
    "__proto__",
    "constructor",
  ])("%s is refused", (text) => {
    expect(() => readFstabOptions(`ro,${text}`)).toThrow(
      `invalid value ${JSON.stringify(text)} for --options`,
    );
  });
});

describe("words of mount(8)", () => {
  test("become ours, in the background", () => {
    expect(helperWords(["src", "/work", "-o", "rw,reconnect"])).toEqual([
      ...["--daemon", "src", "/work", "--options", "rw,reconnect"],
    ]);
    expect(helperWords(["src", "/work", "-sfnv", "-n", "-v", "-t", "vsockbox", "-N", "5"])).toEqual(
      [...["--daemon", "src", "/work", "-sfnv", "-v"]],
    );
    expect(helperWords(["/work", "--daemon"])).toEqual(["/work", "--daemon"]);
  });
});
