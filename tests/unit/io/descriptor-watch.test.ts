/** The watch of descriptors on real pipes, with each method of the kernel and with a timer. */
import { afterEach, describe, expect, test } from "bun:test";
import { EPOLLHUP, EPOLLIN, EPOLLOUT } from "../../../src/ffi/epoll.ts";
import {
  closeDescriptor,
  openPipe,
  readDescriptor,
  setNonBlocking,
  writeDescriptor,
} from "../../../src/ffi/socket.ts";
import { DescriptorWatch } from "../../../src/io/descriptor-watch.ts";
import { eventually } from "../../support/eventually.ts";
import { EACH_METHOD } from "../../support/wake-up-methods.ts";

const open = new Set<number>();
afterEach(() => {
  for (const fd of open) closeDescriptor(fd);
  open.clear();
});

const BUFFER = new Uint8Array(1024 * 1024);

function newPipe() {
  const pipe = openPipe();
  for (const fd of [pipe.read, pipe.write]) {
    open.add(fd);
    setNonBlocking(fd);
  }
  return pipe;
}

describe.each(EACH_METHOD)("by $name", ({ methods }) => {
  test("nothing is reported before add has returned, nor after close", async () => {
    const watch = new DescriptorWatch(methods);
    expect(watch.hasEvents).toBe(methods.length > 0);
    const { read, write } = newPipe();
    writeDescriptor(write, Uint8Array.of(1));
    let calls = 0;
    const watched = watch.add(read, EPOLLIN, () => calls++);
    expect(calls).toBe(0);
    await eventually("it is reported", () => calls > 0);
    watched.close();
    const before = calls;
    const other = newPipe();
    let others = 0;
    const second = watch.add(other.write, EPOLLOUT, () => others++);
    await eventually("the other is reported", () => others > 0);
    expect(calls).toBe(before);
    second.close();
  });

  test("want reports anew what is true already", async () => {
    const watch = new DescriptorWatch(methods);
    const { read, write } = newPipe();
    writeDescriptor(write, Uint8Array.of(1));
    const reported: number[] = [];
    const watched = watch.add(read, 0, (events) => {
      reported.push(events);
      watched.want(0);
    });
    for (let round = 1; round <= 5; round++) {
      watched.want(EPOLLIN);
      expect(watched.events).toBe(EPOLLIN);
      await eventually("it is reported", () => reported.length >= round);
    }
    expect(reported.every((events) => (events & EPOLLIN) !== 0)).toBe(true);
    watched.close();
  });

  test("the end of a pipe is reported", async () => {
    const watch = new DescriptorWatch(methods);
    const { read, write } = newPipe();
    let events = 0;
    const watched = watch.add(read, EPOLLIN, (happened) => {
      events |= happened;
    });
    open.delete(write);
    closeDescriptor(write);
    await eventually("the end is reported", () => (events & EPOLLHUP) !== 0);
    watched.close();
  });

  test("a handler may close another descriptor that has an event of the same round", async () => {
    const watch = new DescriptorWatch(methods);
    const pipes = [newPipe(), newPipe()];
    let calls = 0;
    const watched = pipes.map(({ read }) =>
      watch.add(read, EPOLLIN, () => {
        calls++;
        for (const other of watched) other.close();
      }),
    );
    for (const { write } of pipes) writeDescriptor(write, Uint8Array.of(1));
    await eventually("one is reported", () => calls > 0);
    await Bun.sleep(0);
    expect(calls).toBe(1);
  });

  test("many bytes pass between two pipes, with and without lingering", async () => {
    const watch = new DescriptorWatch(methods);
    using _linger = watch.linger();
    const { read, write } = newPipe();
    let received = 0;
    let left = 3_000_000;
    const reader = watch.add(read, EPOLLIN, () => {
      for (let count = 1; count > 0;) {
        count = readDescriptor(read, BUFFER);
        if (count > 0) received += count;
      }
    });
    const writer = watch.add(write, EPOLLOUT, () => {
      while (left > 0) {
        const count = writeDescriptor(write, BUFFER.subarray(0, Math.min(left, BUFFER.length)));
        if (count < 0) return;
        left -= count;
      }
    });
    await eventually("all bytes have passed", () => received === 3_000_000);
    reader.close();
    writer.close();
  });
});

test("a process whose watches are closed ends, and one that waits does not", async () => {
  const run = (closes: boolean) => {
    const code = `
      const { DescriptorWatch } = await import(${JSON.stringify(`${import.meta.dir}/../../../src/io/descriptor-watch.ts`)});
      const { openPipe } = await import(${JSON.stringify(`${import.meta.dir}/../../../src/ffi/socket.ts`)});
      const pipe = openPipe();
      const watched = new DescriptorWatch().add(pipe.read, 1, () => undefined);
      setTimeout(() => { console.log("timer"); ${closes ? "watched.close()" : ""} }, 50);`;
    return Bun.spawn([process.execPath, "-e", code], { stdout: "pipe", stderr: "inherit" });
  };
  const ends = run(true);
  expect(await ends.exited).toBe(0);
  const waits = run(false);
  const reader = waits.stdout.getReader();
  await reader.read();
  expect(waits.exitCode).toBeNull();
  waits.kill();
  await waits.exited;
});
