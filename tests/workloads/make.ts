/** A project in C: make builds what has changed, and nothing else. */
import { appendFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { eventually } from "../support/eventually.ts";
import { expectSame, type Workload, type WorkPlace } from "./workload.ts";

const MODULES = 12;

/** Modules with an even number include `even.h`; all include `all.h`. */
const MAKEFILE = `objects := $(patsubst %.c,%.o,$(wildcard *.c))
program: $(objects)
	@echo link; gcc -o $@ $^
%.o: %.c
	@echo $@; gcc -O0 -MMD -c -o $@ $<
-include $(objects:.o=.d)
`;

function makeProject(directory: string): void {
  const write = (name: string, content: string) => writeFileSync(join(directory, name), content);
  write("Makefile", MAKEFILE);
  write("all.h", "#define ALL 1\n");
  write("even.h", "#define EVEN 1\n");
  const indexes = Array.from({ length: MODULES }, (_, index) => index);
  for (const index of indexes) {
    const even = index % 2 === 0 ? '#include "even.h"\n' : "#define EVEN 0\n";
    write(`m${index}.c`, `#include "all.h"\n${even}int m${index}(void) { return ALL + EVEN; }\n`);
  }
  const declared = indexes.map((index) => `int m${index}(void);`).join("\n");
  const sum = indexes.map((index) => `m${index}()`).join(" + ");
  write(
    "main.c",
    `#include <stdio.h>\n${declared}\nint main(void) { printf("%d\\n", ${sum}); return 0; }\n`,
  );
}

const lines = (text: string) =>
  text
    .split("\n")
    .filter((line) => line !== "")
    .toSorted()
    .join("\n");

async function run(place: WorkPlace): Promise<void> {
  makeProject(place.source);
  const objects = Array.from({ length: MODULES }, (_, index) => `m${index}.o`);
  // Clock skew is a warning.
  const make = async () => lines(await place.mounted("make -j2 2>&1"));
  expectSame("what is built first", await make(), lines(["main.o", ...objects, "link"].join("\n")));
  const upToDate = "make: 'program' is up to date.";
  expectSame("what is built then", await make(), upToDate);
  expectSame("what is to be built on the host", await place.host("make -q; echo $?"), "0\n");
  const output = async (expected: number) => {
    for (const side of [place.mounted, place.host]) {
      expectSame("output of the program", await side("./program"), `${expected}\n`);
    }
  };
  await output(MODULES + MODULES / 2);
  await edit(place, "even.h", "#undef EVEN\n#define EVEN 2\n");
  const even = objects.filter((_, index) => index % 2 === 0);
  expectSame("what one header rebuilds", await make(), lines([...even, "link"].join("\n")));
  expectSame("what is built then", await make(), upToDate);
  await output(2 * MODULES);
  await place.mounted("touch m3.c");
  expectSame("what a touched file rebuilds", await make(), "link\nm3.o");
  await edit(place, "all.h", "#undef ALL\n#define ALL 5\n");
  expectSame(
    "what the other header rebuilds",
    await make(),
    lines([...objects, "link"].join("\n")),
  );
  await output(MODULES * 6);
  expectSame("what is to be built on the host", await place.host("make -q; echo $?"), "0\n");
}

/** Edits a header on the host if the mount sees that, else on the mount. */
async function edit(place: WorkPlace, name: string, text: string): Promise<void> {
  if (!place.seesHostChanges) {
    await place.mounted(`printf '${text.replaceAll("\n", "\\n")}' >> ${name}`);
    return;
  }
  appendFileSync(join(place.source, name), text);
  const time = `stat -c %y ${name}`;
  const expected = await place.host(time);
  await eventually("the time of an edit", async () => (await place.mounted(time)) === expected);
}

export const MAKE: Workload = {
  name: "make of a C project, timestamps",
  programs: ["make", "gcc"],
  run,
};
