import { describe, expect, test } from "bun:test";
import type { RemoteChange } from "../../../../src/agent/client/watched-path.ts";
import { changeJson, changeLine, readyJson } from "../../../../src/commands/files/watch-lines.ts";

const OPERAND = { target: "web", path: Buffer.from("/srv") };
const OVERFLOW: RemoteChange = { kind: "overflow" };

function change(
  kind: Exclude<RemoteChange["kind"], "overflow">,
  { path = Buffer.from("/srv/a"), from = undefined as Uint8Array | undefined, isDirectory = false },
): RemoteChange {
  return { kind, path, from, isDirectory };
}

describe("the line of a change", () => {
  test.each([
    [change("create", {}), "create     /srv/a"],
    [change("create", { isDirectory: true }), "create     /srv/a/"],
    [change("remove", { path: Buffer.from("/"), isDirectory: true }), "remove     /"],
    [change("attributes", {}), "attributes /srv/a"],
    [change("rename", { from: Buffer.from("/srv/b") }), "rename     /srv/b -> /srv/a"],
    [change("modify", { path: Buffer.from("/srv/a\n\x1b") }), "modify     /srv/a\\n\\x1b"],
    [OVERFLOW, "overflow   /srv/"],
  ])("%#", (one, line) => {
    expect(changeLine(one, OPERAND, false)).toBe(line);
  });

  test("names the target if there are several", () => {
    const one = change("rename", { from: Buffer.from("/srv/b"), isDirectory: true });
    expect(changeLine(one, OPERAND, true)).toBe("rename     web:/srv/b/ -> web:/srv/a/");
    expect(changeLine(OVERFLOW, OPERAND, true)).toBe("overflow   web:/srv/");
  });
});

describe("the object of a change", () => {
  test("has all keys, whatever happened", () => {
    expect(changeJson(change("rename", { from: Buffer.of(0xff) }), OPERAND)).toEqual({
      target: "web",
      event: "rename",
      path: "/srv/a",
      from: { base64: "/w==" },
      is_directory: false,
    });
    expect(changeJson(OVERFLOW, OPERAND)).toEqual({
      target: "web",
      event: "overflow",
      path: "/srv",
      from: null,
      is_directory: true,
    });
  });

  test("of an armed watch has its extent", () => {
    expect(readyJson({ directories: 3, unreadable: 1 }, OPERAND)).toEqual({
      target: "web",
      event: "ready",
      path: "/srv",
      directories: 3,
      unreadable: 1,
    });
  });
});
