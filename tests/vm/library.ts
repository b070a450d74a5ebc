/** The library over AF_VSOCK, in a guest with vsock_loopback. */
import { beforeAll, describe, expect, test } from "bun:test";
import type { Guest } from "../../src/vm/guest.ts";
import { CONFORMANCE_CASES } from "../support/conformance.ts";
import { runIn, startListener } from "../support/guest-lines.ts";
import { runtimeGuest } from "./runtime-guest.ts";
import { describeGo, describeUml } from "./support.ts";

/** The lines of JSON that a script has printed, as one object. */
const merged = (output: string): Record<string, unknown> =>
  Object.assign(
    {},
    ...output
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as unknown),
  );

describeUml("the library over AF_VSOCK", () => {
  describe("conforms", () => {
    const faults = new Map<string, string>();
    beforeAll(async () => {
      const output = await runIn(
        await runtimeGuest(),
        "run-script library-guest conformance",
        900_000,
      );
      for (const line of output.trim().split("\n")) {
        const { name, fault } = JSON.parse(line) as { name: string; fault: string };
        faults.set(name, fault);
      }
    }, 900_000);
    for (const { name } of CONFORMANCE_CASES) {
      test(name, () => expect(faults.get(name)).toBe(""));
    }
  });

  test("reports the step that failed, keeps records apart, and refuses CIDs", async () => {
    const output = await runIn(await runtimeGuest(), "run-script library-guest errors");
    expect(merged(output)).toEqual({
      localCid: 1,
      nothingListens: "UNAVAILABLE connect ECONNRESET",
      noSuchCid: "UNAVAILABLE connect ENODEV",
      foreignCid: "CANNOT_CREATE bind EADDRNOTAVAIL",
      chosen: true,
      inUse: "CANNOT_CREATE bind EADDRINUSE",
      records: [1, 3000, 500],
      refused: "closed",
      waiting: "vsock:any:7200",
    });
  });

  test("sends and serves HTTP, with WebSockets, and stops after the last answer", async () => {
    const output = await runIn(await runtimeGuest(), "run-script library-guest http");
    expect(merged(output)).toEqual({
      echoed: true,
      answers: true,
      message: "there and back",
      whileStopping: "UNAVAILABLE connect ECONNRESET",
      later: "complete",
      refused: "TRANSPORT",
    });
  });

  test("drives an agent by the wire helpers", async () => {
    const guest = await runtimeGuest();
    await runIn(guest, "vsockbox agent --listen vsock::7300 --allow-local --quiet &");
    await runIn(guest, "vsockbox wait 1:7300 --timeout 120");
    expect(merged(await runIn(guest, "run-script library-guest wire 7300"))).toEqual({
      exitCode: 7,
      output: "TEXT",
      content: "content",
    });
  });
});

describeGo("the library and a program in Go over AF_VSOCK", () => {
  let guest: Guest;
  beforeAll(async () => {
    guest = await runtimeGuest();
  });

  test("the library dials: addresses, both half-closes, deadlines of both", async () => {
    await startListener(guest, "go-vsock serve 7600");
    const output = await runIn(guest, "run-script library-guest go-dial 7600");
    expect(merged(output)).toEqual({
      addresses: "local(1):7600 local(1):PORT",
      echo: true,
      hash: true,
      halfClosed: "first",
      read: "TIMEOUT undefined ETIMEDOUT",
      goTimedOut: "timeout",
      after: "whole",
      write: "TIMEOUT undefined ETIMEDOUT",
      counted: true,
      complete: false,
      closed: true,
    });
  });

  test("the library listens: the same the other way round", async () => {
    const output = await runIn(
      guest,
      "run-script library-guest go-listen 7700 > /tmp/library.log & listener=$!; " +
        "until grep -q listening /tmp/library.log; do sleep 0.1; done; " +
        "go-vsock dial 7700 && wait $listener; cat /tmp/library.log >&2",
    );
    expect(output.split("\n")).toEqual([
      "remote: local(1):7700",
      "echo: true",
      "after the end: the answer",
      "read timed out: true",
      "later: here",
      "write timed out: true",
      "the peer read what was written: true",
      "nothing listens there: true",
      "",
    ]);
  });
});
