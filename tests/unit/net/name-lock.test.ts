import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { AF_UNIX, encodeUnixName } from "../../../src/ffi/sockaddr.ts";
import { bindSocket, closeDescriptor, openSocket, SOCK_STREAM } from "../../../src/ffi/socket.ts";
import { lockName, type NameLock } from "../../../src/net/name-lock.ts";
import { eventually } from "../../support/eventually.ts";
import { describeWith } from "../../support/tools.ts";

let names = 0;
const newName = () => `vsockbox/test/${process.pid}/${names++}`;

function release(lock: NameLock): void {
  if (typeof lock === "string") throw new Error(`it is ${lock}`);
  lock[Symbol.dispose]();
}

test("a name is locked once, until it is released", () => {
  const name = newName();
  const lock = lockName(name);
  expect(lockName(name)).toBe("held");
  release(lockName(`${name}0`));
  expect(lockName(name)).toBe("held");
  release(lock);
  release(lockName(name));
  expect(() => lockName("x".repeat(200))).toThrow("107");
});

test("a name stays locked however many processes have asked for it", () => {
  const name = newName();
  const lock = lockName(name);
  for (let count = 0; count < 2000; count++) expect(lockName(name)).toBe("held");
  release(lock);
});

test("a socket that does not listen is not a lock", () => {
  const name = newName();
  const fd = openSocket(AF_UNIX, SOCK_STREAM, name);
  bindSocket(fd, encodeUnixName(`@${name}`), { operation: "listen on" });
  expect(lockName(name)).toBe("occupied");
  closeDescriptor(fd);
  release(lockName(name));
});

describeWith(["setpriv", "socat"], "another user", () => {
  test.if(process.getuid?.() === 0)("occupies a name, and holds no lock", async () => {
    const name = newName();
    const user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    const child = Bun.spawn([
      ...user,
      "socat",
      "-u",
      `ABSTRACT-LISTEN:${name},fork`,
      "OPEN:/dev/null",
    ]);
    try {
      const isBound = () => readFileSync("/proc/net/unix", "utf8").includes(`@${name}\n`);
      await eventually("the other user's socket", isBound);
      await eventually("that it listens", () => lockName(name) === "occupied");
    } finally {
      child.kill();
      await child.exited;
    }
    // A process that socat has forked for the connection above may outlive it for a moment.
    let lock = lockName(name);
    await eventually("the name is free", () => {
      if (lock === "occupied") lock = lockName(name);
      return lock !== "occupied";
    });
    release(lock);
  });
});
