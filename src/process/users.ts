/** Users as the system's own files name them: /etc/passwd and /etc/group. */
import { readFileSync } from "node:fs";
import { VsockboxError } from "../errors.ts";
import { readU32 } from "../text/quantities.ts";

/** Whom a command runs as. */
export interface User {
  uid: number;
  gid: number;
  /** Supplementary groups, the primary one left out. */
  groups: number[];
  /** Undefined if /etc/passwd has no such user. */
  account: { name: string; home: string; shell: string } | undefined;
}

interface PasswdEntry {
  name: string;
  uid: number;
  gid: number;
  home: string;
  shell: string;
}

/** Parses a passwd(5) text; malformed lines are skipped. */
export function parsePasswd(text: string): PasswdEntry[] {
  return text.split("\n").flatMap((line) => {
    const [name, , uidText = "", gidText = "", , home = "", shell = ""] = line.split(":");
    const uid = readU32(uidText);
    const gid = readU32(gidText);
    if (name === undefined || name === "" || uid === undefined || gid === undefined) return [];
    return [{ name, uid, gid, home: home || "/", shell: shell || "/bin/sh" }];
  });
}

/** The gids of the groups in a group(5) text that list `name` as a member. */
function parseMemberships(text: string, name: string): number[] {
  return text.split("\n").flatMap((line) => {
    const [, , gidText = "", members = ""] = line.split(":");
    const gid = readU32(gidText);
    return gid !== undefined && members.split(",").includes(name) ? [gid] : [];
  });
}

/** The gid of each group in a group(5) text. */
function parseGroups(text: string): Map<string, number> {
  const groups = new Map<string, number>();
  for (const line of text.split("\n")) {
    const [name = "", , gidText = ""] = line.split(":");
    const gid = readU32(gidText);
    if (name !== "" && gid !== undefined && !groups.has(name)) groups.set(name, gid);
  }
  return groups;
}

/** Paths of the files; tests pass others. */
export interface UserDatabase {
  passwd: string;
  group: string;
}

/** /etc/passwd and /etc/group as they are now; a missing file counts as empty. */
export function systemUsers(): UserDatabase {
  return { passwd: readIfThere("/etc/passwd"), group: readIfThere("/etc/group") };
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

/**
 * Reads `uid`, `uid:gid` or a name. Digits alone are a uid.
 *
 * A bare uid has group, groups and home of its passwd entry, or the gid of the same number
 * without one; `uid:gid` is exactly that, without supplementary groups.
 *
 * @throws {VsockboxError} CONFIG for an unknown name, or a number that is not a u32.
 */
export function resolveUser(spec: string, database: UserDatabase): User {
  const entries = parsePasswd(database.passwd);
  const fail = (message: string): never => {
    throw new VsockboxError({
      code: "CONFIG",
      operation: "look up user",
      address: JSON.stringify(spec),
      message,
      hint: "a user is uid, uid:gid, or a name in the guest's /etc/passwd",
    });
  };
  const [uidText = "", gidText, ...more] = spec.split(":");
  const uid = isId(uidText) ? readU32(uidText) : undefined;
  if (gidText !== undefined) {
    const gid = isId(gidText) ? readU32(gidText) : undefined;
    if (uid === undefined || gid === undefined || more.length > 0) return fail("expected uid:gid");
    const entry = entries.find((candidate) => candidate.uid === uid);
    return { uid, gid, groups: [], account: entry };
  }
  // Digits alone are a number, whatever /etc/passwd calls its users.
  if (uid === undefined && /^[0-9]+$/.test(spec)) return fail("no such uid");
  const entry = entries.find(
    uid === undefined
      ? (candidate) => candidate.name === spec
      : (candidate) => candidate.uid === uid,
  );
  if (entry === undefined) {
    return uid === undefined
      ? fail("no such user")
      : { uid, gid: uid, groups: [], account: undefined };
  }
  const groups = parseMemberships(database.group, entry.name).filter((gid) => gid !== entry.gid);
  return { uid: entry.uid, gid: entry.gid, groups, account: entry };
}

/**
 * The home directory of a user by name, or of this process's own user: that of its entry, else HOME, else
 * the root.
 *
 * @throws {VsockboxError} CONFIG for a name that does not exist.
 */
export function homeOf(name: string | undefined, database: UserDatabase): string {
  if (name !== undefined) return resolveUser(name, database).account?.home ?? "/";
  const uid = process.geteuid?.();
  const entry = parsePasswd(database.passwd).find((candidate) => candidate.uid === uid);
  return entry?.home ?? (process.env["HOME"] || "/");
}

/** Whose something becomes; undefined: as it was. */
export interface Owner {
  uid: number | undefined;
  gid: number | undefined;
}

/**
 * Parses `USER`, `USER:GROUP` or `:GROUP`, as names or numbers. Digits alone are a number.
 *
 * @throws {VsockboxError} CONFIG for an unknown name.
 */
export function resolveOwner(spec: string, database: UserDatabase): Owner {
  const [user = "", group] = spec.split(":");
  const find = (name: string, what: string, lookUp: () => number | undefined) => {
    const id = /^[0-9]+$/.test(name) ? (isId(name) ? readU32(name) : undefined) : lookUp();
    if (id !== undefined) return id;
    throw new VsockboxError({
      code: "CONFIG",
      operation: "look up owner",
      address: JSON.stringify(spec),
      message: `unknown ${what} ${JSON.stringify(name)}`,
      hint: "an owner is USER, USER:GROUP or :GROUP, by number or as in /etc/passwd and /etc/group",
    });
  };
  const uidOf = () => parsePasswd(database.passwd).find(({ name }) => name === user)?.uid;
  const gidOf = () => parseGroups(database.group).get(group ?? "");
  return {
    uid: user === "" ? undefined : find(user, "user", uidOf),
    gid: group === undefined ? undefined : find(group, "group", gidOf),
  };
}

/** 4294967295 is (uid_t)-1, for which setuid(2) changes nothing. */
function isId(text: string): boolean {
  const value = readU32(text);
  return value !== undefined && value !== 0xffff_ffff;
}
