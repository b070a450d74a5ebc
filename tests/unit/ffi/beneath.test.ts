import { afterAll, describe, expect, test } from "bun:test";
import {
  closeSync,
  constants,
  fstatSync,
  mkdirSync,
  openSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { type LinkResolution, openBeneath, openByComponents } from "../../../src/ffi/beneath.ts";
import { O_PATH } from "../../../src/ffi/directory-calls.ts";
import { ScratchDirectory } from "../../support/scratch-directory.ts";

const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW } = constants;
const [ENOENT, ENOTDIR, EINVAL, EXDEV, ENAMETOOLONG, ELOOP] = [2, 20, 22, 18, 36, 40];

const scratch = new ScratchDirectory();
const root = scratch.file("root");
mkdirSync(`${root}/d/e`, { recursive: true });
writeFileSync(`${root}/d/e/f`, "inside");
writeFileSync(scratch.file("outside"), "outside");
symlinkSync("d", `${root}/link`);
symlinkSync("../outside", `${root}/out`);
symlinkSync("/d/e/f", `${root}/absolute`);
const fd = openSync(root, O_RDONLY | O_DIRECTORY);
afterAll(() => {
  closeSync(fd);
  scratch[Symbol.dispose]();
});

/** The inode of what is opened, or the negative errno. */
function inode(found: number): number {
  if (found < 0) return found;
  const { ino } = fstatSync(found);
  closeSync(found);
  return ino;
}

const bytes = (path: string) => new Uint8Array(Buffer.from(path));
const file = statSync(`${root}/d/e/f`).ino;
/** Of a name that is too long. */
const errnos = [-EINVAL, -ENAMETOOLONG];

describe.each([
  [
    "openat2",
    (path: string, flags: number) => openBeneath(fd, bytes(path), { flags, links: "none" }),
  ],
  [
    "components",
    (path: string, flags: number) => openByComponents(fd, bytes(path || "."), flags, 0),
  ],
] as const)("without links, by %s", (_, open) => {
  test("a path is opened from the directory", () => {
    expect(inode(open("d/e/f", O_RDONLY))).toBe(file);
    expect(inode(open("d/e", O_PATH | O_DIRECTORY))).toBe(statSync(`${root}/d/e`).ino);
    expect(inode(open("", O_PATH))).toBe(statSync(root).ino);
    expect(inode(open("d/x", O_RDONLY))).toBe(-ENOENT);
    expect(inode(open("d/e/f/g", O_RDONLY))).toBe(-ENOTDIR);
    expect(inode(open("d/\0", O_RDONLY))).toBe(-EINVAL);
    expect(errnos).toContain(inode(open("a".repeat(4096), O_RDONLY)));
  });

  test("a link is not followed, in the middle or at the end", () => {
    expect([-ELOOP, -ENOTDIR]).toContain(inode(open("link/e/f", O_RDONLY)));
    expect(inode(open("out", O_RDONLY))).toBe(-ELOOP);
    expect(inode(open("out", O_PATH | O_NOFOLLOW))).toBeGreaterThan(0);
  });

  test("no descriptor is left open", () => {
    const before = openSync(root, O_RDONLY);
    closeSync(before);
    for (const path of ["d/e/f", "d/e/x", "d/x/y", "link/e/f"]) inode(open(path, O_RDONLY));
    const after = openSync(root, O_RDONLY);
    closeSync(after);
    expect(after).toBe(before);
  });
});

describe("a path longer than PATH_MAX", () => {
  const NAME = "n".repeat(255);
  const DEPTH = 40;
  const long = Array.from({ length: DEPTH }, () => NAME).join("/");
  const open = (path: string, flags = O_RDONLY, links: LinkResolution = "none") =>
    inode(openBeneath(fd, bytes(path), { flags, links }));
  const inDeepest = (line: string) => {
    const cd = `for i in $(seq ${DEPTH}); do cd ${NAME} || exit; done; ${line}`;
    return Bun.spawnSync(["bash", "-c", cd], { cwd: root }).stdout.toString();
  };

  afterAll(() => void Bun.spawnSync(["rm", "-rf", NAME], { cwd: root }));

  test("is opened in parts, which no link is in", () => {
    const mkdir = `for i in $(seq ${DEPTH}); do mkdir ${NAME}; cd ${NAME} || exit; done`;
    Bun.spawnSync(["bash", "-c", mkdir], { cwd: root });
    const ino = Number(inDeepest("echo deep > f; ln -s . link; mkdir d; stat -c %i f"));
    expect(open(`${long}/f`)).toBe(ino);
    expect(open(`${long}/link/f`)).toBe(-ELOOP);
    expect(open(`${long}/${NAME}/f`)).toBe(-ENOENT);
    expect(open(`${long}/f/${long}`)).toBe(-ENOTDIR);
    expect(open(`${long}/d/`, O_PATH | O_DIRECTORY)).toBeGreaterThan(0);
    // A part ends at a slash, wherever that is.
    for (let length = 3800; length < 4200; length += 7) {
      const dots = "./".repeat(length - 3800);
      expect(open(`${dots}${long}/f`)).toBe(ino);
    }
    expect(open(`${long}/f`, O_RDONLY, "inside")).toBe(-ENAMETOOLONG);
  });

  test("leads nowhere above the directory", () => {
    expect([-EXDEV, -ENOENT]).toContain(open(`${"../".repeat(2000)}outside`));
  });

  test("leaves no descriptor open", () => {
    const before = openSync(root, O_RDONLY);
    closeSync(before);
    for (const path of [`${long}/f`, `${long}/x/y`, `${long}/f/${long}`, "a".repeat(9000)])
      open(path);
    const after = openSync(root, O_RDONLY);
    closeSync(after);
    expect(after).toBe(before);
  });
});

describe("with links inside", () => {
  const open = (path: string) =>
    inode(openBeneath(fd, bytes(path), { flags: O_RDONLY, links: "inside" }));

  test("links are followed as if the directory was the root", () => {
    expect([open("link/e/f"), open("absolute")]).toEqual([file, file]);
    expect(open("out")).toBe(-ENOENT);
  });

  test("openat2 alone refuses what leads out", () => {
    const up = openBeneath(fd, bytes("../outside"), { flags: O_RDONLY, links: "none" });
    expect(inode(up)).toBe(-EXDEV);
  });
});
