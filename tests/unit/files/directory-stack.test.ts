import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdirSync, readdirSync, readlinkSync, renameSync } from "node:fs";
import { DirectoryHandle } from "../../../src/files/directory-handle.ts";
import { DirectoryStack, MAX_OPEN_DIRECTORIES } from "../../../src/files/directory-stack.ts";
import { ScratchDirectory } from "../../support/scratch-directory.ts";

let scratch: ScratchDirectory;
beforeEach(() => {
  scratch = new ScratchDirectory();
});
afterEach(() => scratch[Symbol.dispose]());

const D = Buffer.from("d");

/** Descriptors of this process that are in the test's directory: others come and go meanwhile. */
function descriptors(): number {
  return readdirSync("/proc/self/fd").filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith(scratch.path);
    } catch {
      return false;
    }
  }).length;
}

function descend(depth: number): DirectoryStack<number> {
  const root = DirectoryHandle.open(Buffer.from(scratch.path));
  const stack = new DirectoryStack<number>(root, Buffer.from("shown"), 0);
  for (let level = 1; level <= depth; level++) {
    stack.top.makeDirectory(D, 0o700);
    stack.enter(stack.top.openDirectory(D), D, level);
  }
  return stack;
}

test("few directories are open at any depth, and all states come back", () => {
  {
    using stack = descend(100);
    expect(descriptors()).toBe(MAX_OPEN_DIRECTORIES + 1);
    for (let level = 100; level > 0; level--) {
      expect([stack.depth, stack.state]).toEqual([level, level]);
      expect(stack.top.entries().map(({ name }) => Buffer.from(name).toString())).toEqual(
        level === 100 ? [] : ["d"],
      );
      stack.leave();
    }
    expect(stack.shown().toString()).toBe("shown");
  }
  expect(descriptors()).toBe(0);
});

test("paths for messages", () => {
  using stack = descend(2);
  expect(stack.shown().toString()).toBe("shown/d/d");
  expect(stack.shown(Buffer.from("f")).toString()).toBe("shown/d/d/f");
});

test("a moved directory is not replaced by another one", () => {
  using stack = descend(MAX_OPEN_DIRECTORIES + 3);
  // The directory at depth 4 gets another parent, which is closed at the moment.
  mkdirSync(`${scratch.path}/elsewhere`);
  renameSync(`${scratch.path}/d/d/d/d`, `${scratch.path}/elsewhere/d`);
  while (stack.depth > 4) stack.leave();
  expect(() => stack.leave()).toThrow("the directory was moved meanwhile");
  expect(stack.depth).toBe(0);
  expect(stack.state).toBe(0);
});

test("the parent stays open until it has been finished", () => {
  using stack = descend(MAX_OPEN_DIRECTORIES + 2);
  let calls = 0;
  while (stack.depth > 0) {
    const { depth } = stack;
    stack.leave(({ fd }, { state }) => {
      expect(DirectoryHandle.borrow(fd).status().mode & 0o777).toBe(0o700);
      expect(state).toBe(depth);
      calls++;
    });
  }
  expect(calls).toBe(MAX_OPEN_DIRECTORIES + 2);
});

test("an entry has a path from the root on", () => {
  using stack = descend(0);
  expect(stack.relative(Buffer.from("x\xff")).toString()).toBe("x\xff");
  using deep = descend(2);
  expect(deep.relative(Buffer.from("x")).toString()).toBe("d/d/x");
});
