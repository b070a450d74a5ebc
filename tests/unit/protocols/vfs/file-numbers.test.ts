/** The numbers on the wire against those of this system, which are the same on x86-64. */
import { expect, test } from "bun:test";
import { constants } from "node:fs";
import {
  direntType,
  FileType,
  isDirectoryMode,
  OPEN_SYNC,
  OpenFlag,
  PERMISSION_BITS,
  SpecialBit,
  typeOfMode,
} from "../../../../src/protocols/vfs/file-numbers.ts";

test("flags that are the same on each architecture are those of this system", () => {
  const { Access, ReadOnly, WriteOnly, ReadWrite, Create, Exclusive, Truncate, Append } = OpenFlag;
  expect<number[]>([
    Access,
    ReadOnly,
    WriteOnly,
    ReadWrite,
    Create,
    Exclusive,
    Truncate,
    Append,
  ]).toEqual([
    constants.O_RDONLY | constants.O_WRONLY | constants.O_RDWR,
    ...[constants.O_RDONLY, constants.O_WRONLY, constants.O_RDWR],
    ...[constants.O_CREAT, constants.O_EXCL, constants.O_TRUNC, constants.O_APPEND],
  ]);
  expect(OPEN_SYNC).toBe(constants.O_SYNC);
  expect<number>(OpenFlag.DataSync).toBe(constants.O_DSYNC);
});

test("a directory is opened with the flag of x86-64 on every architecture", () => {
  expect<number>(OpenFlag.Directory).toBe(0o200_000);
  if (process.arch === "x64") expect<number>(OpenFlag.Directory).toBe(constants.O_DIRECTORY);
});

test("types of files are those of this system", () => {
  expect<Record<string, number>>(FileType).toEqual({
    Fifo: constants.S_IFIFO,
    CharacterDevice: constants.S_IFCHR,
    Directory: constants.S_IFDIR,
    BlockDevice: constants.S_IFBLK,
    Regular: constants.S_IFREG,
    Link: constants.S_IFLNK,
    Socket: constants.S_IFSOCK,
  });
});

test("a mode is a type and permissions, special bits included", () => {
  for (const type of Object.values(FileType)) {
    expect(typeOfMode(type | PERMISSION_BITS)).toBe(type);
    expect(isDirectoryMode(type | PERMISSION_BITS)).toBe(type === FileType.Directory);
    expect((type | PERMISSION_BITS) & PERMISSION_BITS).toBe(0o7777);
  }
  const { SetUserId, SetGroupId, Sticky } = SpecialBit;
  expect(SetUserId | SetGroupId | Sticky | 0o777).toBe(PERMISSION_BITS);
});

test("directory entries have the numbers of dirent.h", () => {
  const { Fifo, Directory, Regular, Link, Socket } = FileType;
  expect([Fifo, Directory, Regular, Link, Socket].map((type) => direntType(type | 0o644))).toEqual([
    ...[1, 4, 8, 10, 12],
  ]);
});
