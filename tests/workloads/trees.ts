/** Trees of many files, and names of any bytes. */
import { randomBytes } from "node:crypto";
import * as fs from "node:fs";
import { join } from "node:path";
import {
  expectRemoved,
  expectSame,
  expectThat,
  HASHES,
  LISTING,
  type Workload,
  type WorkPlace,
} from "./workload.ts";

const FILES = 10_000;
const DIRECTORIES = 200;

/** Makes a tree of files, some of which are links. */
function makeTree(root: string): void {
  const bytes = randomBytes(2 ** 16);
  for (let index = 0; index < FILES; index++) {
    const directory = join(root, `${index % 20}/${index % DIRECTORIES}`);
    if (index < DIRECTORIES) fs.mkdirSync(directory, { recursive: true });
    const path = join(directory, `file-${index}`);
    const before = join(root, `${(index - 1) % 20}/${(index - 1) % DIRECTORIES}/file-${index - 1}`);
    if (index % 100 === 99) fs.symlinkSync(`../${index % 7}/missing`, path);
    else if (index % 100 === 98) fs.linkSync(before, path);
    else {
      const size = index % 50 === 0 ? 50_000 : (index * 37) % 6000;
      fs.writeFileSync(path, bytes.subarray(index % 1000, (index % 1000) + size));
      fs.chmodSync(path, [0o644, 0o600, 0o755, 0o440][index % 4] ?? 0);
      fs.utimesSync(path, 1.5e9, 1.6e9 + index + 0.123456);
    }
  }
}

async function archives(place: WorkPlace): Promise<void> {
  const tree = join(place.scratch, "tree");
  makeTree(tree);
  const made = "tar --format=posix -cf";
  await place.host(`${made} in.tar -C ${place.scratch} tree`);
  await place.mounted(`tar xf in.tar && ${made} out.tar tree`);
  await place.mounted(`cd tree && { ${LISTING}; } > ../listing && { ${HASHES}; } > ../hashes`);
  await place.host(`mkdir ${place.scratch}/out && tar xf out.tar -C ${place.scratch}/out`);
  for (const [line, seen] of [
    [LISTING, "listing"],
    [HASHES, "hashes"],
  ] as const) {
    const expected = await place.host(`cd ${tree} && ${line}`);
    const onHost = await place.host(`cd tree && ${line}`);
    expectSame(`${seen} of what was extracted, on the host`, onHost, expected);
    const onMount = fs.readFileSync(join(place.source, seen), "utf8");
    expectSame(`${seen} of what was extracted, on the mount`, onMount, expected);
    const archived = await place.host(`cd ${place.scratch}/out/tree && ${line}`);
    expectSame(`${seen} of what was archived`, archived, expected);
  }
  await place.mounted("rm -rf tree && test ! -e tree");
  expectRemoved(place, "tree");
}

export const ARCHIVES: Workload = {
  name: "tar of 10,000 files in and out, rm -rf",
  programs: ["tar", "find", "sha256sum"],
  run: archives,
};

/** Names that programs are often wrong about. */
const NAMES: readonly Buffer[] = [
  ...["sp ace", " ", "new\nline", "\n", "tab\t", "-rf", "*", "a'b\"c", "back\\slash", "$(x)"],
  ...["\xff\xfe", "\xc3", "\x01\x7f", "a\xe4\x80", "\xc3\xa4", "n".repeat(255), ".hidden", "..."],
].map((name) => Buffer.from(name, "latin1"));

const EACH = "while IFS= read -r -d '' name; do";

/** The names in a directory of the host, sorted, in hexadecimal. */
function namesOf(directory: string): string {
  const names = fs.readdirSync(directory, { encoding: "buffer" }).toSorted(Buffer.compare);
  return names.map((name) => name.toString("hex")).join("\n");
}

async function anyNames(place: WorkPlace): Promise<void> {
  const expected = NAMES.map((name) => name.toString("hex"))
    .toSorted()
    .join("\n");
  const of = (name: string) => join(place.source, name);
  fs.writeFileSync(of("list"), Buffer.concat(NAMES.flatMap((name) => [name, Buffer.of(0)])));
  fs.mkdirSync(of("host"));
  for (const name of NAMES) fs.writeFileSync(Buffer.concat([Buffer.from(of("host/")), name]), name);
  await place.mounted(
    `mkdir mount moved copied && ${EACH} printf %s "$name" > "mount/$name"; mkdir -p "deep/$name/$name"; done < list`,
  );
  expectSame("names made on the mount", namesOf(of("mount")), expected);
  expectSame("directories made on the mount", namesOf(of("deep")), expected);
  for (const name of NAMES) {
    const content = fs.readFileSync(Buffer.concat([Buffer.from(of("mount/")), name]));
    expectSame("content", content.toString("hex"), name.toString("hex"));
  }
  const found = "find host -mindepth 1 -printf '%f\\0' | sort -z > found";
  await place.mounted(
    `${found} && ${EACH} test "$(cat "host/$name"; echo x)" = "$name"x; done < list`,
  );
  const seen = fs.readFileSync(of("found")).toString("hex");
  const wanted = NAMES.toSorted(Buffer.compare).flatMap((name) => [name, Buffer.of(0)]);
  expectSame("names made on the host", seen, Buffer.concat(wanted).toString("hex"));
  await place.mounted(
    `tar cf - mount | tar xf - -C copied && ${EACH} mv -- "mount/$name" "moved/$name"; done < list`,
  );
  expectSame("copied names", namesOf(of("copied/mount")), expected);
  expectSame("moved names", namesOf(of("moved")), expected);
  expectThat("nothing is left at the old place", fs.readdirSync(of("mount")).length === 0);
  await place.mounted("rm -rf -- *");
  expectSame("what is left", namesOf(place.source), "");
}

export const NAMES_OF_ANY_BYTES: Workload = {
  name: "names with spaces, newlines, bytes that are not UTF-8",
  programs: ["tar", "find"],
  run: anyNames,
};

/** Directories in each other, with names of 200 bytes: 8,000 bytes in all. */
const DEPTH = 40;

async function longPaths(place: WorkPlace): Promise<void> {
  const down = `for i in {1..${DEPTH}}; do cd "$(printf "%0200d" $i)"; done`;
  await place.mounted(
    down.replace("cd ", 'mkdir "$(printf "%0200d" $i)"; cd ') + "; echo deep > file",
  );
  expectSame("a file below a long path", await place.host(`${down}; cat file`), "deep\n");
  await place.mounted(`${down}; mv file moved; echo more >> moved; ln moved linked; ls > names`);
  const seen = await place.host(`${down}; cat linked names`);
  expectSame("what was changed there", seen, "deep\nmore\nlinked\nmoved\nnames\n");
  await place.mounted("rm -rf 0*");
  expectSame("what is left", namesOf(place.source), "");
}

export const LONG_PATHS: Workload = {
  name: "directories whose path is longer than 4,096 bytes",
  programs: [],
  run: longPaths,
};
