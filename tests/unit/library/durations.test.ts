import { expect, test } from "bun:test";
import { connectAgent, dial, fetch as fetchFrom, httpClient } from "../../../src/index.ts";
import { assertDurations } from "../../../src/library/durations.ts";

test.each([0, 0.5, 10_000, Infinity, undefined])("%p is a duration", (value) => {
  assertDurations({ timeoutMs: value, keepaliveMs: value });
});

test.each([-1, -Infinity, Number.NaN, "10" as never, null as never])(
  "%p is not a duration",
  (value) => {
    expect(() => assertDurations({ timeoutMs: value })).toThrow(RangeError);
    expect(() => assertDurations({ keepaliveMs: value })).toThrow("keepaliveMs");
  },
);

test("nothing is connected with a time-out that is not a duration", async () => {
  const address = "unix:/nonexistent/vsockbox.sock";
  const failureOf = (promise: Promise<unknown>) => promise.catch((thrown: unknown) => thrown);
  for (const timeoutMs of [Number.NaN, -1]) {
    const options = { timeoutMs };
    expect(await failureOf(connectAgent(address, options))).toBeInstanceOf(RangeError);
    expect(await failureOf(dial(address, options))).toBeInstanceOf(RangeError);
    expect(await failureOf(fetchFrom(address, "/", options))).toBeInstanceOf(RangeError);
    expect(() => httpClient(address, options)).toThrow(RangeError);
  }
  const keepalive = { keepaliveMs: Number.NaN };
  expect(await failureOf(connectAgent(address, keepalive))).toBeInstanceOf(RangeError);
});
