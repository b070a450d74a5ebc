/** The end of a command's output whose pipe a background process keeps open. */
import { expect, test } from "bun:test";
import { closeDescriptor, openPipe, writeDescriptor } from "../../../src/ffi/socket.ts";
import { openOutput } from "../../../src/io/output-reader.ts";
import { WatchedOutput } from "../../../src/process/command-output.ts";

/** Blocks the event loop, as a busy system does. */
function starve(milliseconds: number): void {
  Bun.sleepSync(milliseconds);
}

async function textOf(output: WatchedOutput): Promise<string> {
  let text = "";
  await output.drain((bytes) => {
    text += Buffer.from(bytes).toString();
    return Promise.resolve();
  });
  return text;
}

test("bytes that a starved process has not read yet are not lost", async () => {
  const { read, write } = openPipe();
  try {
    const output = new WatchedOutput(openOutput(read));
    const text = textOf(output);
    await Bun.sleep(1);
    output.endWhenQuiet();
    writeDescriptor(write, Buffer.from("before, "));
    starve(600);
    writeDescriptor(write, Buffer.from("after"));
    expect(await text).toBe("before, after");
  } finally {
    closeDescriptor(write);
  }
});

test("a silent pipe is closed though a process keeps it open", async () => {
  const { read, write } = openPipe();
  try {
    const output = new WatchedOutput(openOutput(read));
    const text = textOf(output);
    output.endWhenQuiet();
    expect(await text).toBe("");
  } finally {
    closeDescriptor(write);
  }
});
