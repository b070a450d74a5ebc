/** Single files that several programs use at once, that are mapped, or that have holes. */
import { randomBytes } from "node:crypto";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { eventually } from "../support/eventually.ts";
import { expectSame, expectThat, type Workload, type WorkPlace } from "./workload.ts";

const GIB = 2 ** 30;
/** Data of the file with holes: at its begin, over 2 GiB, at an odd place, and at its end. */
const DATA_OFFSETS = [0, 2 * GIB - 32_768, 1_234_567_890, 4 * GIB - 65_536];
const DATA_BYTES = 65_536;
/** What the blocks of such a file may have, with those of the file system around them. */
const MAX_BLOCK_BYTES = 2 ** 21;

function blockBytes(path: string): number {
  return statSync(path).blocks * 512;
}

async function holes(place: WorkPlace): Promise<void> {
  writeFileSync(join(place.source, "data"), randomBytes(DATA_BYTES));
  const write = DATA_OFFSETS.map(
    (at) => `dd if=data bs=64K of=$file oflag=seek_bytes seek=${at} conv=notrunc status=none`,
  ).join(" && ");
  const reference = `${place.scratch}/reference`;
  const make = (file: string) => `file=${file}; truncate -s 4G $file && ${write}`;
  await place.mounted(make("file"));
  await place.host(make(reference));
  const file = join(place.source, "file");
  expectSame("size on the host", String(statSync(file).size), String(4 * GIB));
  expectThat("it has holes on the host", blockBytes(file) < MAX_BLOCK_BYTES);
  await place.host(`cmp file ${reference}`);
  const windows = DATA_OFFSETS.map(
    (at) =>
      `dd if=$file bs=128K count=1 iflag=skip_bytes skip=${Math.max(0, at - 4096)} status=none`,
  ).join("; ");
  const read = (name: string) => `file=${name}; { ${windows}; } | sha256sum`;
  expectSame("data", await place.mounted(read("file")), await place.host(read(reference)));
  const punch = (name: string) => `fallocate -p -o ${2 * GIB - 16_384} -l 1M ${name}`;
  await place.mounted(`${punch("file")} && printf tail >> file && cp --sparse=always file copy`);
  await place.host(`${punch(reference)} && printf tail >> ${reference}`);
  await place.host(`cmp file ${reference} && cmp copy ${reference}`);
  expectSame("data", await place.mounted(read("copy")), await place.host(read(reference)));
  expectThat("the copy has holes", blockBytes(join(place.source, "copy")) < MAX_BLOCK_BYTES);
  if (!place.isEmulated) {
    const hash = "sha256sum < ";
    expectSame("hash", await place.mounted(`${hash}file`), await place.host(hash + reference));
  }
  await place.mounted("rm file copy data");
  expectSame("what is left", await place.host("ls"), "");
}

export const HOLES: Workload = {
  name: "a file of 4 GiB with holes",
  programs: ["dd", "fallocate", "truncate"],
  run: holes,
};

const VERSIONS = 150;

/** Each reader opens whole versions alone, and never an older one than before. */
async function replacedFiles(place: WorkPlace): Promise<void> {
  const { program, hostProgram } = place;
  const last = VERSIONS + 1;
  for (const file of ["of-mount", "of-host"]) await place.host(`${hostProgram} replace ${file} 1`);
  const follow = (who: string, file: string) => `${who} follow ${file} ${VERSIONS}`;
  const both = (file: string) =>
    `${follow(program, file)} & first=$!; ${follow(program, file)} & second=$!`;
  const wait = "wait $first && wait $second";
  await Promise.all([
    place.mounted(
      `${both("of-mount")}; ${program} replace of-mount ${VERSIONS}; ${wait}; ${program} replace of-mount ${last}`,
    ),
    place.host(follow(hostProgram, "of-mount")),
  ]);
  expectSame(
    "versions on the host",
    await place.host(`${hostProgram} follow of-mount ${last}`),
    "1\n",
  );
  if (!place.seesHostChanges) return;
  await Promise.all([
    place.mounted(`${both("of-host")}; ${wait}`),
    place.host(`${hostProgram} replace of-host ${VERSIONS}`),
  ]);
}

export const REPLACED_FILES: Workload = {
  name: "rename over open files, by either side",
  programs: [],
  run: replacedFiles,
};

const LINES = 2000;

async function appends(place: WorkPlace): Promise<void> {
  const { program, hostProgram } = place;
  const append = (who: string, writer: string) => `${who} append log ${writer} ${LINES}`;
  const writers = place.seesHostChanges ? ["a", "b", "host"] : ["a", "b"];
  await Promise.all([
    place.mounted(
      `${append(program, "a")} & first=$!; ${append(program, "b")}; wait $first; sha256sum < log > hash`,
    ),
    ...(place.seesHostChanges ? [place.host(append(hostProgram, "host"))] : []),
  ]);
  const text = readFileSync(join(place.source, "log"), "latin1");
  const lines = text.split("\n").slice(0, -1);
  expectSame("number of lines", String(lines.length), String(writers.length * LINES));
  for (const writer of writers) {
    const own = lines.filter((line) => line.startsWith(`${writer} `));
    const expected = Array.from({ length: LINES }, (_, index) =>
      `${writer} ${index} `.padEnd(119, "."),
    );
    expectSame(`lines of ${writer}`, own.join("\n"), expected.join("\n"));
  }
  const hash = "sha256sum < log";
  expectSame("hash", await place.mounted(hash), await place.host(hash));
}

export const APPENDS: Workload = {
  name: "O_APPEND from two processes, and the host",
  programs: [],
  run: appends,
};

const COUNT = 20_000;

async function maps(place: WorkPlace): Promise<void> {
  const { program, hostProgram, source } = place;
  await place.mounted(`${program} map file 1 && ${program} map-equals file 1`);
  await place.host(`${hostProgram} map-equals file 1`);
  await place.mounted(`${program} map file 2`);
  await place.host(`${hostProgram} map-equals file 2`);
  const hash = (file: string) => `sha256sum < ${file}`;
  await place.host(`${hostProgram} map ${place.scratch}/mapped 2`);
  const expected = await place.host(hash(`${place.scratch}/mapped`));
  expectSame("hash on the mount", await place.mounted(hash("file")), expected);
  await place.mounted(`${program} map-count count ${COUNT}`);
  const counted = readFileSync(join(source, "count")).readBigUInt64LE(0);
  expectSame("number of two processes", String(counted), String(2 * COUNT));
  if (!place.seesHostChanges) return;
  // Written without a map, since mapped writes raise no event of inotify.
  await place.host(
    `${hostProgram} map ${place.scratch}/mapped 3 && cat ${place.scratch}/mapped > file`,
  );
  await eventually("a map has what the host has written", () =>
    place.mounted(`${program} map-equals file 3`).then(
      () => true,
      () => false,
    ),
  );
}

export const MAPS: Workload = {
  name: "mmap: MAP_SHARED, msync, MAP_PRIVATE",
  programs: [],
  run: maps,
};

/** Jobs of fio, each of which checks what it has written. */
const FIO_JOBS = [
  "--name=random --rw=randwrite --bs=4k --ioengine=psync",
  "--name=mixed --rw=randrw --bsrange=512-64k --ioengine=psync --fsync=100",
  "--name=mapped --rw=randwrite --bs=4k --ioengine=mmap",
  "--name=sequential --rw=write --bs=1m --ioengine=sync --end_fsync=1",
];

async function fio(place: WorkPlace): Promise<void> {
  const size = place.isEmulated ? "8m" : "64m";
  const all = `--size=${size} --verify=crc32c --verify_fatal=1 --numjobs=2`;
  for (const job of FIO_JOBS) {
    await place.mounted(`fio --minimal ${job} ${all} --directory=.`);
  }
  // What random writes in blocks of one size have left is verified on the host.
  const [random] = FIO_JOBS;
  await place.host(`fio --minimal ${random} ${all} --verify_only --directory=.`);
}

export const FIO: Workload = { name: "fio --verify=crc32c", programs: ["fio"], run: fio };
