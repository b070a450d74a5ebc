import { expect, test } from "bun:test";
import type { Channel } from "../../../../src/agent/channel/channel.ts";
import type { ChannelRequest } from "../../../../src/protocols/agent/channel-requests.ts";
import { DownloadsAhead, downloadsOf } from "../../../../src/commands/files/downloads-ahead.ts";
import type { RemoteOperand } from "../../../../src/commands/files/copy-destination.ts";

const remote = (path: string): RemoteOperand => ({
  kind: "remote",
  target: "3",
  path: Buffer.from(path),
});

/** Opens channels that only have a name, and notes what becomes of them. */
function recorder() {
  const opened: string[] = [];
  const cancelled: string[] = [];
  const open = (request: ChannelRequest): Channel => {
    const path = "path" in request ? Buffer.from(request.path ?? []).toString() : "";
    opened.push(path);
    // Only what is used of a channel.
    return { path, cancel: () => cancelled.push(path) } as unknown as Channel;
  };
  return { opener: { open }, opened, cancelled };
}

const pathOf = (channel: Channel) => Reflect.get(channel, "path") as string;

test("the sources of a guest are downloads, but for those without a name", () => {
  const sources = [
    remote("/a/b"),
    remote("/a/."),
    { kind: "local", path: Buffer.from("c") } as const,
  ];
  const names = [...downloadsOf(sources).values()].map(({ name }) => Buffer.from(name).toString());
  expect(names).toEqual(["b"]);
});

test("a few are requested ahead of their turn, in order", () => {
  const { opener, opened, cancelled } = recorder();
  const downloads = [
    ...downloadsOf(Array.from({ length: 20 }, (_, at) => remote(`/${at}`))).values(),
  ];
  const ahead = new DownloadsAhead(opener, downloads, {});
  expect(opened).toEqual([]);
  for (const [turn, download] of downloads.entries()) {
    expect(pathOf(ahead.next(download))).toBe(`/${turn}`);
    expect(opened).toHaveLength(Math.min(20, turn + 9));
  }
  expect(opened).toEqual(downloads.map(({ path }) => Buffer.from(path).toString()));
  expect(cancelled).toEqual([]);
});

test("one that is left out is cancelled, and one that was not planned is requested", () => {
  const { opener, opened, cancelled } = recorder();
  const downloads = [...downloadsOf(["/a", "/b", "/c"].map(remote)).values()];
  const ahead = new DownloadsAhead(opener, downloads, {});
  const [, , last] = downloads;
  if (last === undefined) throw new Error("it is missing");
  expect(pathOf(ahead.next(last))).toBe("/c");
  expect(cancelled).toEqual(["/a", "/b"]);
  expect(pathOf(ahead.next({ path: Buffer.from("/d"), name: Buffer.from("d") }))).toBe("/d");
  expect(opened).toEqual(["/a", "/b", "/c", "/d"]);
});
