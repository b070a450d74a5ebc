/** What is done in a shared directory, in this order: later steps need what earlier ones have made. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** A step of a round. */
export interface Step {
  what: string;
  /** What is divided by the seconds; undefined: the seconds themselves are the result. */
  amount: { count: number; unit: string } | undefined;
  /** Returns the line for the guest, which prints seconds. */
  line(directory: string): string;
}

/** MiB of the large file; random access is spread over 64 MiB of it. */
const BULK_MIB = 64;

/** Runs a line of the shell and prints its seconds. */
function timed(line: string): string {
  const clock = "cut -d' ' -f1 /proc/uptime";
  return `begin=$(${clock}); { ${line}; } > /dev/null || exit; end=$(${clock}); echo "$end $begin" | awk '{ print $1 - $2 }'`;
}

const GIT = "git -c safe.directory=*";

/** Files of the repository that git is asked about. */
const repositoryFiles = (isQuick: boolean) => (isQuick ? 50 : 500);

/** Makes the repository of the steps of git in a directory of the host. */
export function gitRepository(directory: string, isQuick: boolean): void {
  const repository = join(directory, "repository");
  for (let index = 0; index < repositoryFiles(isQuick); index++) {
    const below = join(repository, `d${index % 20}`);
    mkdirSync(below, { recursive: true });
    writeFileSync(join(below, `f${index}`), `${index}\n`.repeat(100));
  }
  const identity = "-c user.email=a@example.org -c user.name=a";
  const line = `git init -q && git ${identity} add -A && git ${identity} commit -qm one`;
  if (Bun.which("git") !== null) Bun.spawnSync(["sh", "-c", line], { cwd: repository });
}

/** Returns the steps of a round. */
export function stepsOf(isQuick: boolean): Step[] {
  const files = isQuick ? 100 : 1000;
  const pages = isQuick ? 200 : 2000;
  const step = (
    what: string,
    name: string,
    count: number,
    amount: { count: number; unit: string },
  ): Step => ({ what, amount, line: (directory) => `files ${name} ${directory} ${count}` });
  const bytes = { count: (BULK_MIB * 1024 * 1024) / 1e6, unit: "MB/s" };
  const each = (count: number) => ({ count, unit: "/s" });
  const git = (what: string, words: string, before = "true"): Step => ({
    what,
    amount: undefined,
    line: (directory) => `cd ${directory}/repository && ${before} && ${timed(`${GIT} ${words}`)}`,
  });
  return [
    step("sequential write, 1 MiB a call", "write", BULK_MIB, bytes),
    step("sequential read, 1 MiB a call", "read", BULK_MIB, bytes),
    step("random read of 4 KiB", "read-random", pages, each(pages)),
    step("random write of 4 KiB", "write-random", pages, each(pages)),
    step("files of 1 KiB created", "create", files, each(files)),
    step("files of 1 KiB read", "read-files", files, each(files)),
    step("stat", "stat", files, each(files)),
    step("readdir with stat of each entry", "list", files, each(files)),
    step("files removed", "remove", files, each(files)),
    ...(Bun.which("git") === null
      ? []
      : [
          git(`git status of ${repositoryFiles(isQuick)} files`, "status --short"),
          git(
            "git diff after a change of all times",
            "diff --stat",
            "find d* -type f | xargs touch",
          ),
        ]),
    {
      what: "untar of a tree",
      amount: undefined,
      line: (directory) =>
        timed(
          `tar cf /tmp/tree.tar -C ${directory} repository && mkdir ${directory}/out && tar xf /tmp/tree.tar -C ${directory}/out`,
        ),
    },
    {
      what: "rm -rf of the tree",
      amount: undefined,
      line: (directory) => timed(`rm -rf ${directory}/out`),
    },
  ];
}
