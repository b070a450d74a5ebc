import { expect, test } from "bun:test";
import { parsePressure } from "../../../../src/protocols/procfs/pressure.ts";

test("the totals are seconds", () => {
  const text = `some avg10=92.12 avg60=89.03 avg300=78.57 total=10136989165
full avg10=0.17 avg60=0.28 avg300=0.45 total=61951822
`;
  expect(parsePressure(text)).toEqual({ someSeconds: 10_136.989165, fullSeconds: 61.951822 });
});

test("a line that is missing or broken is undefined", () => {
  // Linux before 5.13 has no `full` for the processor.
  const text = "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n";
  expect(parsePressure(text)).toEqual({ someSeconds: 0, fullSeconds: undefined });
  const none = { someSeconds: undefined, fullSeconds: undefined };
  for (const broken of ["", "some total=-1\nfull total=", "full\nsome 5", "total=5"]) {
    expect(parsePressure(broken)).toEqual(none);
  }
});
