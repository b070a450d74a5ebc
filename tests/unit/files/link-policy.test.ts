import { describe, expect, test } from "bun:test";
import { mayFollowLink, mayWriteInPlace } from "../../../src/files/link-policy.ts";

const [ROOT, USER, OTHER] = [0, 1000, 1001] as const;

describe("mayFollowLink", () => {
  test.each([
    ["in a directory of one's own", 0o040755, ROOT, USER, ROOT, true],
    ["of one's own in /tmp", 0o041777, ROOT, ROOT, ROOT, true],
    ["of one's own in /tmp, as a user", 0o041777, ROOT, USER, USER, true],
    ["of the directory's owner", 0o041777, OTHER, OTHER, USER, true],
    ["of another user in /tmp", 0o041777, ROOT, USER, ROOT, false],
    ["of root in another user's /tmp", 0o041777, OTHER, ROOT, USER, false],
    ["of another user in a directory without the sticky bit", 0o040777, ROOT, USER, ROOT, false],
    ["of another user where a group may write", 0o040775, ROOT, USER, ROOT, true],
  ])("a link %s", (_, mode, directoryUid, linkUid, uid, expected) => {
    const directory = { mode, uid: directoryUid };
    expect(mayFollowLink(directory, { uid: linkUid }, uid)).toBe(expected);
    expect(mayWriteInPlace(directory, { uid: linkUid }, uid)).toBe(expected);
  });
});
