import { describe, expect, test } from "bun:test";
import {
  decodeReport,
  encodeReport,
  type Report,
  REPORT_ANNOUNCEMENT,
  REPORT_LINE_MAX_BYTES,
  REPORT_OUTPUT_MAX_BYTES,
  ReportReader,
} from "../../../../src/protocols/guest-exec/report.ts";

const REPORT: Report = {
  exitCode: 137,
  signal: "SIGKILL",
  stdout: Uint8Array.of(0, 255, 10),
  stderr: new Uint8Array(0),
  durationMs: 12,
  droppedBytes: 0,
};

const bytes = (text: string) => new TextEncoder().encode(text);
const line = (report: Report) => Buffer.from(encodeReport(report)).toString();

describe("a report", () => {
  test("is the line that the protocol has", () => {
    expect(
      line({ ...REPORT, exitCode: 0, signal: undefined, stdout: bytes("hi\n"), durationMs: 11.6 }),
    ).toBe('{"exit_code":0,"signal":null,"stdout":"aGkK","stderr":"","duration_ms":12}\n');
    expect(line({ ...REPORT, droppedBytes: 5 })).toContain('"dropped_bytes":5');
  });

  test("of the largest output fits", () => {
    const full = new Uint8Array(REPORT_OUTPUT_MAX_BYTES);
    const encoded = encodeReport({
      exitCode: 255,
      signal: "SIGRTMIN+10",
      stdout: full,
      stderr: full,
      durationMs: Number.MAX_SAFE_INTEGER,
      droppedBytes: Number.MAX_SAFE_INTEGER,
    });
    expect(encoded.length).toBeLessThanOrEqual(REPORT_LINE_MAX_BYTES);
    const [report] = [...new ReportReader().push(encoded)];
    expect(report?.stdout.length).toBe(REPORT_OUTPUT_MAX_BYTES);
  });

  test.each([
    ["", "not JSON"],
    ["[]", "not a JSON object"],
    ["{}", "exit_code is missing"],
    ['{"exit_code":256}', "exit_code is not a whole number from 0 to 255"],
    ['{"exit_code":-1}', "exit_code"],
    ['{"exit_code":"0"}', "exit_code"],
    ['{"exit_code":0,"signal":9}', "signal is not the name of a signal"],
    ['{"exit_code":0,"signal":"\\u001b[2J"}', "signal is not the name of a signal"],
    ['{"exit_code":0,"stdout":"?"}', "stdout is not base64"],
    ['{"exit_code":0,"stderr":1}', "stderr is not base64"],
    ['{"exit_code":0,"duration_ms":1.5}', "duration_ms"],
  ])("%j is refused: %s", (text, message) => {
    expect(() => decodeReport(bytes(text))).toThrow(message);
  });

  test("may have fields that are not known, and lack what can be guessed", () => {
    expect(decodeReport(bytes('{"exit_code":3,"new":[]}'))).toEqual({
      exitCode: 3,
      signal: undefined,
      stdout: new Uint8Array(0),
      stderr: new Uint8Array(0),
      durationMs: 0,
      droppedBytes: 0,
    });
  });
});

describe("ReportReader", () => {
  test.each([1, 5, 1000])("reads chunks of %d bytes", (size) => {
    const stream = Buffer.from(line(REPORT) + line({ ...REPORT, exitCode: 1 }));
    const reader = new ReportReader();
    const reports: Report[] = [];
    for (let at = 0; at < stream.length; at += size) {
      reports.push(...reader.push(stream.subarray(at, at + size)));
    }
    reader.finish();
    expect(reports.map(({ exitCode }) => exitCode)).toEqual([137, 1]);
    expect(reports[0]).toEqual(REPORT);
  });

  test("skips the announcement of a guest, alone and before its first report", () => {
    const reader = new ReportReader();
    expect([...reader.push(REPORT_ANNOUNCEMENT)]).toEqual([]);
    reader.finish();
    expect([...reader.push(bytes(line(REPORT)))]).toEqual([REPORT]);
    const other = new ReportReader();
    expect([...other.push(Buffer.concat([REPORT_ANNOUNCEMENT, bytes(line(REPORT))]))]).toEqual([
      REPORT,
    ]);
  });

  test("the announcement is skipped by a host that does not know it", () => {
    expect(decodeReport(Buffer.concat([REPORT_ANNOUNCEMENT, bytes(line(REPORT))]))).toEqual(REPORT);
  });

  test("an end inside a line is an error", () => {
    const reader = new ReportReader();
    expect([...reader.push(bytes('{"exit'))]).toEqual([]);
    expect(() => reader.finish()).toThrow("after 6 bytes of it");
  });

  test("holds no line that is too long", () => {
    const reader = new ReportReader();
    const chunk = new Uint8Array(1024 * 1024).fill(0x20);
    expect(() => {
      for (let count = 0; count < 20; count++) expect([...reader.push(chunk)]).toEqual([]);
    }).toThrow(`more than ${REPORT_LINE_MAX_BYTES} bytes`);
  });
});
