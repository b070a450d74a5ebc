/** A project with a lock file and packages of its own: `npm ci`, and its tests. */
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import {
  expectSame,
  expectThat,
  HASHES,
  LISTING_WITHOUT_TIMES,
  type Workload,
  type WorkPlace,
} from "./workload.ts";

/** Files of the packed package. */
const FILES = 300;

function write(path: string, content: string | object): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, typeof content === "string" ? content : JSON.stringify(content));
}

const TEST = `const { test } = require("node:test");
const assert = require("node:assert");
const { execFileSync } = require("node:child_process");
const fs = require("node:fs");
test("the linked package", () => assert.equal(require("left"), "left"));
test("the packed package", () => assert.equal(require("right"), ${(FILES * (FILES - 1)) / 2}));
test("a program of a package", () => {
  assert.equal(execFileSync("node_modules/.bin/left", { encoding: "utf8" }), "program\\n");
  fs.writeFileSync("result", "passed");
});
`;

function makeProject(place: WorkPlace): void {
  const project = join(place.source, "project");
  const left = join(project, "packages/left");
  write(join(left, "package.json"), {
    ...{ name: "left", version: "1.0.0", main: "index.js", bin: { left: "program.js" } },
  });
  write(join(left, "index.js"), 'module.exports = "left";\n');
  write(join(left, "program.js"), '#!/usr/bin/env node\nconsole.log("program");\n');
  chmodSync(join(left, "program.js"), 0o755);
  const right = join(place.scratch, "right");
  write(join(right, "package.json"), { name: "right", version: "1.0.0", main: "index.js" });
  const parts = Array.from(
    { length: FILES },
    (_, index) => `require("./lib/${index % 10}/${index}.js")`,
  );
  write(join(right, "index.js"), `module.exports = [${parts.join()}].reduce((a, b) => a + b);\n`);
  for (let index = 0; index < FILES; index++) {
    write(join(right, `lib/${index % 10}/${index}.js`), `module.exports = ${index};\n`);
  }
  const dependencies = { left: "file:packages/left", right: "file:vendor/right-1.0.0.tgz" };
  const scripts = { test: "node --test test/" };
  write(join(project, "package.json"), {
    name: "project",
    version: "1.0.0",
    scripts,
    dependencies,
  });
  write(join(project, "test/packages.test.js"), TEST);
  mkdirSync(join(project, "vendor"));
}

async function run(place: WorkPlace): Promise<void> {
  makeProject(place);
  const hostCache = `--cache ${place.scratch}/npm-cache`;
  await place.host(
    `cd project && npm pack --silent --pack-destination vendor ${hostCache} ${place.scratch}/right && ` +
      `npm install --package-lock-only --silent ${hostCache} && cp -a . ${place.scratch}/project`,
  );
  await place.host(`cd ${place.scratch}/project && npm ci --silent ${hostCache}`);
  await place.mounted("cd project && npm ci --cache ../npm-cache");
  for (const [what, line] of [
    ["names and modes", LISTING_WITHOUT_TIMES],
    ["hashes", HASHES],
  ] as const) {
    const installed = await place.host(`cd project/node_modules && ${line}`);
    const expected = await place.host(`cd ${place.scratch}/project/node_modules && ${line}`);
    expectSame(`${what} of what npm ci has installed`, installed, expected);
  }
  const output = await place.mounted("cd project && npm test --cache ../npm-cache 2>&1");
  expectThat("3 tests have passed", /\bpass 3\b/.test(output) && /\bfail 0\b/.test(output));
  const result = readFileSync(join(place.source, "project/result"), "utf8");
  expectSame("what a test has written", result, "passed");
  await place.mounted("rm -rf project npm-cache");
  expectSame("what is left", await place.host("ls -A"), "");
}

export const NPM: Workload = {
  name: "npm ci, npm test (node:test)",
  programs: ["node", "npm"],
  run,
};
