import { expect, test } from "bun:test";
import { readlinkSync } from "node:fs";
import { Epoll, EPOLLIN } from "../../../src/ffi/epoll.ts";
import { openEvent } from "../../../src/ffi/eventfd.ts";
import { closeDescriptor } from "../../../src/ffi/socket.ts";
import { epollTargets, findRuntimeEpoll } from "../../../src/io/runtime-epoll.ts";
import { ScratchDirectory } from "../../support/scratch-directory.ts";

test("the runtime's epoll is the one that a server of the runtime's is put into", async () => {
  using scratch = new ScratchDirectory();
  const own = new Epoll();
  const event = openEvent();
  own.add(event, EPOLLIN);
  const before = epollTargets();
  expect(findRuntimeEpoll(before)).toBeUndefined();
  const unix = scratch.file("x.sock");
  const server = Bun.serve({ unix, fetch: () => new Response("yes") });
  const fd = findRuntimeEpoll(before);
  expect(readlinkSync(`/proc/self/fd/${fd}`)).toBe("anon_inode:[eventpoll]");

  // Another epoll hears through it that the runtime has something to do.
  const loop = new Epoll();
  loop.add(fd ?? -1, EPOLLIN);
  while (loop.wait(0) !== 0) await Bun.sleep(1);
  const client = Bun.spawn([
    process.execPath,
    "-e",
    `console.log(await (await fetch("http://x/", { unix: "${unix}" })).text())`,
  ]);
  expect(loop.wait(10_000)).toBe(1);
  expect(loop.token(0)).toBe(fd ?? -1);
  expect(await new Response(client.stdout).text()).toBe("yes\n");
  await server.stop(true);
  for (const epoll of [own, loop]) epoll.close();
  closeDescriptor(event);
});
