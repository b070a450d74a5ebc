import { describe, expect, test } from "bun:test";
import { headLine, intervalLine, noteLines, resultLines } from "../../../src/bench/report.ts";
import { benchResult } from "../../support/bench-results.ts";

describe("a table of results", () => {
  test("has a row a direction, with the processor time once", () => {
    expect([headLine("both"), ...resultLines(benchResult("both"))]).toEqual([
      "test      direction            rate                    received          time    client CPU    server CPU",
      "both      to server     1000.0 MB/s   8.00 Gbit/s       2.00 GB         2.0 s          45 %          90 %",
      "          from server    502.5 MB/s   4.02 Gbit/s       1.00 GB         2.0 s",
    ]);
  });

  test("has one direction of upload and of download", () => {
    expect(resultLines(benchResult("upload"))).toEqual([
      "upload    to server     1000.0 MB/s   8.00 Gbit/s       2.00 GB         2.0 s          45 %          90 %",
    ]);
    expect(resultLines(benchResult("download"))).toEqual([
      "download  from server    502.5 MB/s   4.02 Gbit/s       1.00 GB         2.0 s          45 %          90 %",
    ]);
  });

  test.each(["latency", "connects"] as const)("has percentiles of %s", (name) => {
    expect([headLine(name), ...resultLines(benchResult(name))].join("\n")).toMatch(
      new RegExp(
        "^test +rate +p50 +p90 +p99 +p99\\.9 +max +client CPU +server CPU\n" +
          `${name} +500/s +50\\d\\.\\d µs +90\\d\\.\\d µs +99\\d\\.\\d µs +\\d+\\.\\d µs +1\\.00 ms +45 % +90 %$`,
      ),
    );
  });

  test("has columns of the same width in head and rows", () => {
    expect(headLine("latency")).toBe(
      "test             rate        p50        p90        p99      p99.9        max client CPU server CPU",
    );
    const [line = ""] = resultLines(benchResult("latency"));
    expect(line.indexOf("500/s") + "500/s".length).toBe("test             rate".length);
    expect(line).toHaveLength(headLine("latency").length);
  });

  test("names a result that the user has interrupted", () => {
    const lines = resultLines(benchResult("upload", { isInterrupted: true }));
    expect(lines.at(-1)).toBe("upload: interrupted, this is its result so far");
  });

  test("explains latencies that do not count from when a message was due", () => {
    expect(noteLines([benchResult("upload"), benchResult("connects")])).toEqual([]);
    expect(noteLines([benchResult("latency")])).toHaveLength(2);
    const { operations } = benchResult("latency");
    if (operations === undefined) throw new Error("no operations");
    const result = benchResult("latency", { operations: { ...operations, isFromDue: true } });
    expect(noteLines([result])).toEqual([]);
  });
});

describe("the line of an interval", () => {
  const before = { atMs: 1000, toServerBytes: 1e6, fromServerBytes: 5e6, operations: 10 };
  const after = { atMs: 1500, toServerBytes: 3e6, fromServerBytes: 6e6, operations: 40 };

  test.each([
    ["upload", "upload, 1.0 s to 1.5 s: to server 4.0 MB/s"],
    ["download", "download, 1.0 s to 1.5 s: from server 2.0 MB/s"],
    ["both", "both, 1.0 s to 1.5 s: to server 4.0 MB/s, from server 2.0 MB/s"],
    ["latency", "latency, 1.0 s to 1.5 s: 60/s"],
    ["connects", "connects, 1.0 s to 1.5 s: 60/s"],
  ] as const)("of %s has what was added", (name, line) => {
    expect(intervalLine(name, before, after)).toBe(line);
  });
});
