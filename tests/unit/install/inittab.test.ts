import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  findEntry,
  inittabEntry,
  newInittab,
  withEntry,
  withoutEntry,
} from "../../../src/install/inittab.ts";

const entry = inittabEntry("/usr/bin/vsockbox agent");
const BUILDROOT = "::sysinit:/bin/mount -t proc proc /proc\nconsole::respawn:/sbin/getty\n";

describe("the entry in an inittab", () => {
  test("is a line of busybox init between marks, after all others", () => {
    expect(withEntry(BUILDROOT, entry)).toBe(
      `${BUILDROOT}# vsockbox install: begin\n::respawn:/usr/bin/vsockbox agent\n# vsockbox install: end\n`,
    );
  });

  test.each([BUILDROOT, "", "no end of line", "\n", "a\r\nb\r\n", "\u0000\u00FF\n\n"])(
    "is removed without a trace from %j",
    (text) => {
      const once = withEntry(text, entry);
      expect(findEntry(once)).toBe(entry);
      expect(withEntry(once, entry)).toBe(once);
      expect(withoutEntry(once)).toBe(text);
      expect(withoutEntry(text)).toBe(text);
    },
  );

  test("any text: the entry is added, changed and removed", () => {
    const anyText = fc.string({ unit: fc.constantFrom("a", "#", " ", ":", "\n", "\r", "\u00FF") });
    fc.assert(
      fc.property(anyText, anyText, (before, behind) => {
        const longer = inittabEntry("/usr/bin/vsockbox agent -q");
        const put = withEntry(before, entry);
        expect(withoutEntry(withEntry(put, longer))).toBe(before);
        if (put.endsWith("\n")) expect(withoutEntry(put + behind)).toBe(before + behind);
      }),
    );
  });

  test("keeps its place when its words change", () => {
    const text = `${withEntry(BUILDROOT, entry)}tty1::respawn:/sbin/getty\n`;
    const changed = withEntry(text, inittabEntry("/opt/bin/vsockbox agent -q"));
    expect(changed).toBe(text.replace("/usr/bin/vsockbox agent", "/opt/bin/vsockbox agent -q"));
  });

  test.each([
    "# vsockbox install: begin\n",
    "# vsockbox install: end\n",
    "# vsockbox install: end\n# vsockbox install: begin\n",
    `${entry}\n${entry}\n`,
  ])("damaged marks are an error: %j", (text) => {
    expect(() => withEntry(text, entry)).toThrow("not one pair");
    expect(() => withoutEntry(text)).toThrow("not one pair");
  });

  test("a file of our own keeps what busybox init does without any", () => {
    const text = newInittab(entry);
    for (const action of ["::sysinit:/etc/init.d/rcS", "::shutdown:umount -a -r", "::askfirst:"]) {
      expect(text).toContain(`\n${action}`);
    }
    expect(findEntry(text)).toBe(entry);
  });
});
