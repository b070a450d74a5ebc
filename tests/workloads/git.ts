/** A repository: clone, status, diff, commit, gc, fsck, push. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expectSame, expectThat, HASHES, type Workload, type WorkPlace } from "./workload.ts";

const FILES = 400;

/** Makes `origin.git` on the host, with two commits. */
async function makeOrigin(place: WorkPlace): Promise<void> {
  const made = join(place.scratch, "git");
  for (let index = 0; index < FILES; index++) {
    const directory = join(made, `d${index % 20}`);
    mkdirSync(directory, { recursive: true });
    writeFileSync(join(directory, `f${index}`), `${index}\n`.repeat(index + 1));
  }
  await place.host(
    `cd ${made} && git init -q -b main && git add -A && git commit -qm one && ` +
      `git rm -q d3/f3 && git mv d4/f4 moved && git commit -qm two && ` +
      `git clone -q --bare . ${place.source}/origin.git`,
  );
}

/** Changes on both sides, as status and diff show them. */
async function change(place: WorkPlace): Promise<void> {
  const work = join(place.source, "work");
  await place.mounted("cd work && echo mounted >> d0/f0 && rm d1/f1 && echo new > new");
  const fromHost = place.seesHostChanges ? " M d2/f2\n" : "";
  if (place.seesHostChanges) writeFileSync(join(work, "d2/f2"), "from the host\n");
  const status = await place.mounted("cd work && git status --short");
  expectSame("git status", status, ` M d0/f0\n D d1/f1\n${fromHost}?? new\n`);
  const diff = await place.mounted("cd work && git diff");
  expectSame("git diff", diff, await place.host("cd work && git diff"));
  expectThat("git diff has the line of the mount", diff.includes("\n+mounted\n"));
  expectThat(
    "git diff has the line of the host",
    diff.includes("\n+from the host\n") === place.seesHostChanges,
  );
}

async function run(place: WorkPlace): Promise<void> {
  await makeOrigin(place);
  await place.mounted("git clone -q origin.git work && git clone -q --no-local origin.git copied");
  const expected = await place.host(`cd ${place.scratch}/git && git archive HEAD | sha256sum`);
  for (const clone of ["work", "copied"]) {
    expectSame(`status of ${clone}`, await place.mounted(`cd ${clone} && git status --short`), "");
    const archive = await place.host(`cd ${clone} && git archive HEAD | sha256sum`);
    expectSame(`what ${clone} has`, archive, expected);
    expectSame(
      `status of ${clone} on the host`,
      await place.host(`cd ${clone} && git status --short`),
      "",
    );
  }
  await change(place);
  await place.mounted("cd work && git add -A && git commit -qm three && git push -q origin main");
  const heads = await place.host("git -C work rev-parse HEAD && git -C origin.git rev-parse main");
  const [head, pushed] = heads.split("\n");
  expectSame("what was pushed", pushed ?? "", head ?? "");
  await place.mounted("cd work && git gc -q --prune=now && git fsck --full --strict");
  expectSame("git fsck on the host", await place.host("cd work && git fsck --full 2>&1"), "");
  await place.host("cd origin.git && git fsck --full");
  // An old commit and back: many files are removed, made and replaced.
  const before = await place.host(`cd work && rm -rf ../x && cp -a . ../x && cd ../x && ${HASHES}`);
  await place.mounted("cd work && git checkout -q HEAD~2 && git checkout -q main");
  const files = (text: string) => text.replaceAll(/^.* \.\/\.git\/.*\n/gm, "");
  const after = await place.host(`cd work && ${HASHES}`);
  expectSame("files after two checkouts", files(after), files(before));
  expectSame("git status", await place.mounted("cd work && git status --short"), "");
}

export const GIT: Workload = {
  name: "git clone, status, diff, commit, push, gc, fsck, checkout",
  programs: ["git"],
  run,
};
