/** Connections and listeners of the library: their conformance suite, and what it does not cover. */
import { expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { dial, listen, VsockboxError } from "vsockbox";
import { ScratchDirectory } from "../support/scratch-directory.ts";

const text = (bytes: Uint8Array | undefined) => bytes && Buffer.from(bytes).toString();

test("dial and listen over a Unix socket", async () => {
  using scratch = new ScratchDirectory();
  const address = `unix:${scratch.file("x.sock")}`;
  const listener = listen(address);
  const [near, far] = await Promise.all([dial(address), listener.accept()]);
  expect(String(near.remoteAddress)).toBe(address);
  expect(String(far.localAddress)).toBe(address);
  await near.write("hello");
  expect(text(await far.read({ maxBytes: 2 }))).toBe("he");
  expect(text(await far.read())).toBe("llo");
  far.setReadDeadline(Date.now() + 10);
  expect(await far.read().catch((thrown: unknown) => thrown)).toMatchObject({ code: "TIMEOUT" });
  far.setReadDeadline(undefined);
  await near.closeWrite();
  expect(await far.read()).toBeUndefined();
  await far.write("bye");
  expect(text(await near.read())).toBe("bye");
  const pending = near.read().catch((thrown: unknown) => thrown);
  await near.close();
  expect(await pending).toBeInstanceOf(VsockboxError);
  await far.close();
  listener.close();
  expect(existsSync(scratch.file("x.sock"))).toBe(false);
  expect(await dial(address).catch((thrown: unknown) => thrown)).toMatchObject({ step: "connect" });
});
