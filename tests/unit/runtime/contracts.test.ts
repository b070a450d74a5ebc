/** What we lean on in the runtime: an upgrade of Bun that changes one of these shows here. */
import { afterEach, describe, expect, test } from "bun:test";
import { readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openPipe, closeDescriptor } from "../../../src/ffi/socket.ts";
import { dial } from "../../../src/net/dial.ts";
import { listen, type Listener } from "../../../src/net/listen.ts";
import { READ_HIGH_WATER_BYTES } from "../../../src/io/read-backpressure.ts";
import type { SocketStream } from "../../../src/io/stream.ts";
import { EARLY_MAPS } from "../../../src/process/init/mounts.ts";
import { PipeReader, PipeWriter } from "../../../src/io/pipe.ts";
import { describeUnshared } from "../../support/namespaces.ts";

const path = join(tmpdir(), `vsockbox-contract-${process.pid}.sock`);
const address = { kind: "unix", path } as const;
let listener: Listener | undefined;
afterEach(() => {
  listener?.close();
  listener = undefined;
  rmSync(path, { force: true });
});

/** Both ends of a connection whose descriptors were made through FFI and adopted by the runtime. */
async function connected(): Promise<[client: SocketStream, server: SocketStream]> {
  const accepted = Promise.withResolvers<SocketStream>();
  listener = listen(address, { allowed: "any", onConnection: accepted.resolve });
  const client = await dial(address);
  return [client, await accepted.promise];
}

const bytes = (text: string) => new TextEncoder().encode(text);
const rss = () => process.memoryUsage.rss();

async function readAll(stream: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}

describe("sockets adopted by descriptor", () => {
  test("half-close goes both ways", async () => {
    const [client, server] = await connected();
    await client.write(bytes("question"));
    await client.end();
    expect(new TextDecoder().decode(await readAll(server))).toBe("question");
    await server.write(bytes("answer"));
    await server.close();
    expect(new TextDecoder().decode(await readAll(client))).toBe("answer");
    await client.closed;
  });

  test("bytes from before the close are not lost without a pending read", async () => {
    const [client, server] = await connected();
    // More than the high-water mark: the socket is paused, and more waits in the kernel.
    const data = new Uint8Array(READ_HIGH_WATER_BYTES + 3_000_000).map((_, index) => index % 251);
    const sent = client.write(data).then(() => client.close());
    await Bun.sleep(200);
    expect(server.unreadBytes).toBeLessThan(data.length);
    expect(Buffer.compare(await readAll(server), data)).toBe(0);
    await sent;
  });

  test("a writer waits for a reader that does not read", async () => {
    const [client, server] = await connected();
    let written = 0;
    const writing = (async () => {
      for (let count = 0; count < 200; count++) {
        await client.write(new Uint8Array(64 * 1024));
        written += 64 * 1024;
      }
    })();
    await Bun.sleep(200);
    expect(written).toBeLessThan(READ_HIGH_WATER_BYTES + 2 * 1024 * 1024);
    for (let read = 0; read < 200 * 64 * 1024;) read += (await server.read())?.length ?? 0;
    await writing;
    await client.close();
  });

  test("a peer that closes is noticed without a pending read", async () => {
    const [client, server] = await connected();
    void client.write(new Uint8Array(READ_HIGH_WATER_BYTES + 3_000_000)).catch(() => undefined);
    await Bun.sleep(200);
    client.abort();
    await server.peerEnded;
    server.abort();
  });

  test("a half-closed peer is not closed, a closed one is", async () => {
    const [client, server] = await connected();
    await client.end();
    await server.peerEnded;
    expect(server.isPeerGone).toBe(false);
    await server.write(bytes("x"));
    expect(await client.readExactly(1)).toEqual(bytes("x"));
    client.abort();
    while (!server.isPeerGone) await Bun.sleep(5);
    server.abort();
  });

  test("readExactly reports the number of missing bytes", async () => {
    const [client, server] = await connected();
    await client.write(bytes("abc"));
    await client.close();
    expect(server.readExactly(5)).rejects.toThrow("the peer closed 2 of 5 bytes too early");
  });

  test("writes of several writers stay whole and in order", async () => {
    const [client, server] = await connected();
    const reading = readAll(server);
    const blocks = Array.from({ length: 60 }, (_, index) => new Uint8Array(100_000).fill(index));
    await Promise.all(blocks.map((block) => client.write(block)));
    await client.close();
    const received = await reading;
    expect(received.length).toBe(6_000_000);
    for (const [index, block] of blocks.entries()) {
      expect(Buffer.compare(received.subarray(index * 100_000, (index + 1) * 100_000), block)).toBe(
        0,
      );
    }
  });

  test("500 connections in bursts of 100", async () => {
    let served = 0;
    listener = listen(address, {
      allowed: "any",
      onConnection: (stream) => {
        served++;
        void stream.close();
      },
    });
    for (let burst = 0; burst < 5; burst++) {
      await Promise.all(
        Array.from({ length: 100 }, async () => {
          const stream = await dial(address);
          expect(await stream.read()).toBeUndefined();
          await stream.close();
        }),
      );
    }
    expect(served).toBe(500);
  });
});

describe("pipes read and written by descriptor", () => {
  test("a reader that does not read leaves the bytes in the pipe", async () => {
    const pipe = openPipe();
    const child = Bun.spawn(["head", "-c", "300000000", "/dev/zero"], {
      stdio: ["ignore", pipe.write, 2],
    });
    closeDescriptor(pipe.write);
    const reader = new PipeReader(pipe.read);
    await reader.read();
    const before = rss();
    await Bun.sleep(300);
    expect(rss() - before).toBeLessThan(100_000_000);
    let count = 0;
    for await (const chunk of reader) count += chunk.length;
    expect(count).toBeGreaterThan(299_000_000);
    await child.exited;
    await reader.close();
  });

  test("a writer waits for a reader that does not read, and EPIPE is an error", async () => {
    const pipe = openPipe();
    const child = Bun.spawn(["sleep", "60"], { stdio: [pipe.read, "ignore", 2] });
    closeDescriptor(pipe.read);
    const writer = new PipeWriter(pipe.write);
    let outcome = "";
    const written = writer.write(new Uint8Array(10_000_000)).then(
      () => (outcome = "written"),
      (error: Error) => (outcome = error.message),
    );
    await Bun.sleep(100);
    expect(outcome).toBe("");
    child.kill();
    await written;
    expect(outcome).toContain("EPIPE");
    await writer.end();
  });

  test("the end of a pipe reaches the child, and no descriptor is left", async () => {
    const descriptors = () => new Set(readdir("/proc/self/fd")).size;
    const run = async () => {
      const pipe = openPipe();
      const child = Bun.spawn(["cat"], { stdio: [pipe.read, "ignore", 2] });
      closeDescriptor(pipe.read);
      const writer = new PipeWriter(pipe.write);
      await writer.write(bytes("x"));
      await writer.end();
      expect(await child.exited).toBe(0);
    };
    await run();
    const before = descriptors();
    for (let count = 0; count < 30; count++) await run();
    expect(descriptors()).toBeLessThanOrEqual(before + 2);
  });
});

function readdir(scratch: string): string[] {
  return [...new Bun.Glob("*").scanSync({ cwd: scratch, onlyFiles: false })];
}

describe.if(process.getuid?.() === 0)("Bun.spawn as root", () => {
  test("with uid and gid drops supplementary groups", () => {
    const groups = readFileSync("/proc/self/status", "utf8");
    expect(groups).toContain("Groups:");
    const { stdout } = Bun.spawnSync(["id", "-G"], { uid: 4711, gid: 4712 });
    expect(stdout.toString().trim()).toBe("4712");
  });

  test("detached makes the child leader of its own session and group", async () => {
    const child = Bun.spawn(["sleep", "5"], { detached: true });
    const fields = readFileSync(`/proc/${child.pid}/stat`, "utf8").split(") ")[1]?.split(" ");
    expect([fields?.[2], fields?.[3]]).toEqual([String(child.pid), String(child.pid)]);
    child.kill();
    await child.exited;
  });
});

describeUnshared(["-m", "-p", "-f"], "the runtime as PID 1 without /proc", (unshare) => {
  const script = `mount -t tmpfs none /proc && mkdir -p "\${0%/*}" && printf %s "$1" > "$0" && shift && exec "$@"`;

  test("starts with a stand-in for its own maps", () => {
    const { stdout } = Bun.spawnSync([
      ...[...unshare, "sh", "-c", script, EARLY_MAPS.path, EARLY_MAPS.content],
      ...[process.execPath, "-e", "console.log(process.pid)"],
    ]);
    expect(stdout.toString()).toBe("1\n");
  });
});
