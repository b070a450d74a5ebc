import { describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import {
  commonUser,
  namesTargets,
  splitTargets,
  splitUser,
} from "../../../../src/commands/shared/target-list.ts";
import { ScratchDirectory } from "../../../support/scratch-directory.ts";

describe("targets with commas between", () => {
  test("are split, unless a file has this very name", () => {
    expect(splitTargets("ping", "3,hybrid:/run/a,web")).toEqual(["3", "hybrid:/run/a", "web"]);
    expect(() => splitTargets("ping", "3,")).toThrow('ping: "3," has an empty target');
    using scratch = new ScratchDirectory();
    const path = scratch.file("a,b");
    writeFileSync(path, "");
    expect(splitTargets("ping", `unix:${path}`)).toEqual([`unix:${path}`]);
  });

  test.each([
    ["3", true],
    ["3,hybrid:/run/a", true],
    ["build@3", true],
    ["3,", false],
    ["uname", false],
    ["/bin/ls", false],
  ])("%s names targets: %p", (text, expected) => {
    expect(namesTargets(text)).toBe(expected);
  });
});

describe("a user before a target", () => {
  test.each([
    ["build@3", "build", "3"],
    ["1000@hybrid:/run/vm.vsock:5000", "1000", "hybrid:/run/vm.vsock:5000"],
    ["build@unix:@name", "build", "unix:@name"],
    ["unix:@name", undefined, "unix:@name"],
    ["hybrid:/run/a@b", undefined, "hybrid:/run/a@b"],
    ["@3", undefined, "@3"],
    ["build@", undefined, "build@"],
    ["web", undefined, "web"],
  ])("%s", (text, user, target) => {
    expect(splitUser(text)).toEqual({ user, target });
  });

  test("is the same for all targets and the option", () => {
    const users = (...texts: string[]) => texts.map(splitUser);
    expect(commonUser("exec", undefined, users("3", "4"))).toBeUndefined();
    expect(commonUser("exec", "web", users("3", "4"))).toBe("web");
    expect(commonUser("exec", undefined, users("a@3", "a@4"))).toBe("a");
    expect(commonUser("exec", "a", users("a@3"))).toBe("a");
    expect(() => commonUser("exec", "b", users("a@3"))).toThrow("exec: the user is both a and b");
    expect(() => commonUser("exec", undefined, users("a@3", "4"))).toThrow("different users");
    expect(() => commonUser("exec", "a", users("a@3", "b@4"))).toThrow("different users");
  });
});
