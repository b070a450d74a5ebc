/** Changes that an agent reports, and the events of a kernel's queue. */
import { resolve } from "node:path";
import { parseObject } from "../../src/protocols/agent/json-fields.ts";
import { decodeChange, encodeChange } from "../../src/protocols/agent/watch-records.ts";
import { decodeInotifyEvents } from "../../src/vfs/watch/inotify-events.ts";
import { MovePairs } from "../../src/vfs/watch/move-pairs.ts";
import * as corpus from "./corpus.ts";
import { type Target, Violation } from "./targets.ts";

function demand(holds: boolean, promise: string): asserts holds {
  if (!holds) throw new Violation(promise);
}

const ROOT = "/srv/app";

const RECORDS: Target = {
  name: "watch-records",
  corpus: [
    { event: "create", path: "a/b c", directory: true },
    { event: "rename", path: "b", from: { base64: "ww==" } },
    { event: "modify", path: "../etc/passwd" },
    { event: "overflow" },
    { event: "attributes" },
  ].map(corpus.json),
  codes: ["BAD_DATA"],
  run(input) {
    const change = decodeChange(parseObject("fuzz", input));
    if (change === undefined || change.kind === "overflow") return;
    for (const path of [change.path, change.from ?? change.path]) {
      const whole = `${ROOT}/${Buffer.from(path).toString("latin1")}`;
      const isRoot = path.length === 0;
      demand(isRoot || resolve(whole) === whole, "a path is below the watched one");
      demand(!path.includes(0), "a path is one that the kernel accepts");
    }
    const again = decodeChange(JSON.parse(JSON.stringify(encodeChange(change))));
    demand(Bun.deepEquals(again, change), "a change comes back");
  },
};

/** `struct inotify_event`. */
function event(watch: number, mask: number, cookie: number, name: string): Uint8Array {
  const padded = Buffer.alloc(name === "" ? 0 : 16);
  padded.write(name);
  const head = Buffer.alloc(16);
  head.writeInt32LE(watch, 0);
  head.writeUInt32LE(mask, 4);
  head.writeUInt32LE(cookie, 8);
  head.writeUInt32LE(padded.length, 12);
  return new Uint8Array(Buffer.concat([head, padded]));
}

const EVENTS: Target = {
  name: "inotify-events",
  corpus: [
    event(1, 0x100, 0, "a"),
    new Uint8Array(Buffer.concat([event(1, 0x40, 7, "a"), event(2, 0x80, 7, "b")])),
    event(-1, 0x4000, 0, ""),
  ],
  codes: [],
  run(input) {
    const events = decodeInotifyEvents(input);
    demand(events.length * 16 <= input.length, "an event has its bytes");
    const pairs = new MovePairs();
    pairs.push(events);
    let returned = 0;
    for (let next = pairs.shift(); next !== undefined; next = pairs.shift()) {
      returned += next.kind === "move" ? 2 : 1;
    }
    demand(returned <= events.length && !pairs.hasEvents, "no event is returned twice");
  },
};

/** Everything that is fuzzed here. */
export const WATCH_TARGETS: readonly Target[] = [RECORDS, EVENTS];
