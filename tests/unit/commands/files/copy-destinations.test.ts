import { expect, test } from "bun:test";
import { splitDestination } from "../../../../src/commands/files/copy-destinations.ts";

test.each([
  ["3:/tmp/", ["3:/tmp/"]],
  ["3,4:/tmp/", ["3:/tmp/", "4:/tmp/"]],
  ["3,unix:/run/a.sock,4:5000:x", ["3:x", "unix:/run/a.sock:x", "4:5000:x"]],
  ["3,4:/a,b", ["3:/a,b", "4:/a,b"]],
  ["3,4:", ["3:.", "4:"]],
  // No profile has these names.
  ["no-a,no-b:/tmp/", ["no-a,no-b:/tmp/"]],
  ["3,no-b:/tmp/", ["3,no-b:/tmp/"]],
  ["./3,4:/tmp", ["./3,4:/tmp"]],
  ["3,4", ["3,4"]],
  ["-", ["-"]],
])("%s", (word, expected) => {
  expect(splitDestination(Buffer.from(word)).map(String)).toEqual(expected);
});

test("bytes of the path are kept", () => {
  const path = Buffer.of(0x2f, 0xff, 0x2c);
  const word = Buffer.concat([Buffer.from("3,4:"), path]);
  expect(splitDestination(word)).toEqual([
    Buffer.concat([Buffer.from("3:"), path]),
    Buffer.concat([Buffer.from("4:"), path]),
  ]);
});
