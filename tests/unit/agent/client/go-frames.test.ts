import { describe, expect, test } from "bun:test";
import {
  connectTwice,
  GO_FRAMES_MS,
  KnownGoFrames,
} from "../../../../src/agent/client/go-frames.ts";
import { OldAgentError } from "../../../../src/agent/client/handshake.ts";
import { VsockboxError } from "../../../../src/errors.ts";

const old = () => new OldAgentError("unix:/x");
const other = () => new VsockboxError({ code: "TIMEOUT", operation: "connect" });

/** Connects with these results in turn, and counts. */
function connecting(...results: (VsockboxError | string)[]) {
  let count = 0;
  const connect = async () => {
    const result = results[count++];
    if (typeof result === "string") return result;
    throw result;
  };
  return { connect, count: () => count };
}

describe("a second connection", () => {
  test.each([
    [["first"], "first", 1],
    [[old(), "second"], "second", 2],
    [[old(), old(), "third"], "UNAVAILABLE", 2],
    [[other(), "second"], "TIMEOUT", 1],
    [[old(), other(), "third"], "TIMEOUT", 2],
  ] as const)("decides after a closed Hello alone: %j", async (results, expected, count) => {
    const attempts = connecting(...results);
    const result = await connectTwice(attempts.connect).catch(
      (thrown: VsockboxError) => thrown.code,
    );
    expect([result, attempts.count()]).toEqual([expected, count]);
  });
});

test("an agent is known to have only the Go agent's frames for ten seconds, or until it is forgotten", () => {
  expect(GO_FRAMES_MS).toBe(10_000);
  const known = new KnownGoFrames();
  expect(known.isRecent(0)).toBe(false);
  known.note(500);
  expect([known.isRecent(500), known.isRecent(10_499), known.isRecent(10_500)]).toEqual([
    true,
    true,
    false,
  ]);
  known.note(20_000);
  known.forget();
  expect(known.isRecent(20_000)).toBe(false);
});
