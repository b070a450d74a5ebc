import { describe, expect, test } from "bun:test";
import { comparable, inDirectory, withAgent } from "../../support/example-text.ts";

describe("withAgent", () => {
  test.each([
    ["vsockbox exec 3 -- uname", "vsockbox exec unix:/a -- uname"],
    ["vsockbox cp x 3:/srv '3:/var/log/*'", "vsockbox cp x unix:/a:/srv 'unix:/a:/var/log/*'"],
    ["vsockbox exec 3,3 -- ls", "vsockbox exec unix:/a,unix:/a -- ls"],
    ["vsockbox info 3", "vsockbox info unix:/a"],
  ])("replaces the CID of %s", (line, expected) => {
    expect(withAgent(line, "unix:/a")).toBe(expected);
  });

  test.each(["vsockbox exec 30 -- ls", "x3", "status $3", "vm3.sock"])(
    "leaves %s alone",
    (line) => {
      expect(withAgent(line, "unix:/a")).toBe(line);
    },
  );
});

describe("inDirectory", () => {
  test.each([
    ["cat /tmp/x", "cat /D/tmp/x"],
    ["unix:/run/a.sock", "unix:/D/run/a.sock"],
    ["3:/var/log/x", "3:/D/var/log/x"],
    ["/etc/passwd $run/tmp ./tmp/x /runs", "/etc/passwd $run/tmp ./tmp/x /runs"],
  ])("%s", (line, expected) => {
    expect(inDirectory(line, "/D")).toBe(expected);
  });
});

describe("comparable", () => {
  const exact = (text: string) => ({ text, isAlike: false });
  const alike = (text: string) => ({ text, isAlike: true });

  test("equal output is as the page shows it", () => {
    expect(comparable("one\r\ntwo\n\n", exact("one\ntwo\n"))).toBe("one\ntwo\n");
  });

  test("other output is shown itself", () => {
    expect(comparable("one\nthree\n", exact("one\ntwo\n"))).toBe("one\nthree");
    expect(comparable("one\ntwo\nthree\n", exact("one\ntwo\n"))).toBe("one\ntwo\nthree");
  });

  test("an ellipsis stands for any text of a line, and alone for any lines", () => {
    expect(comparable("a 12 b\n", exact("a … b\n"))).toBe("a … b\n");
    expect(comparable("x\ny\nend\n", exact("…\nend\n"))).toBe("…\nend\n");
    expect(comparable("a\nb\n", exact("a…b\n"))).toBe("a\nb");
  });

  test("numbers and the width of columns may differ in output that is alike", () => {
    expect(comparable("id   0a1b2c3d  9.5\n", alike("id  1efa0198 12\n"))).toBe(
      "id  1efa0198 12\n",
    );
    expect(comparable("id 12\n", exact("id 13\n"))).toBe("id 12");
    expect(comparable("ended (0)\n", alike("running\n"))).toBe("ended (#)");
  });
});
