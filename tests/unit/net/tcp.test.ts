import { expect, test } from "bun:test";
import { toVsockboxError } from "../../../src/errors.ts";
import { dialTcp, listenTcp } from "../../../src/net/tcp.ts";

const failure = async (host: string, port: number) =>
  dialTcp(host, port).then(
    (stream) => stream.abort(),
    (thrown: unknown) => toVsockboxError(thrown),
  );

test("a failed connect has the kernel's errno, also of a name", async () => {
  const listener = listenTcp("127.0.0.1", 0, () => undefined);
  const { port } = listener;
  listener.close();
  for (const host of ["127.0.0.1", "localhost"]) {
    expect(await failure(host, port)).toMatchObject({
      code: "UNAVAILABLE",
      errno: "ECONNREFUSED",
      reason: "connection refused",
      address: `${host}:${port}`,
    });
  }
  // The broadcast address cannot be connected to. The runtime calls each failure a refusal.
  expect(await failure("255.255.255.255", port)).toMatchObject({
    errno: expect.stringMatching(/^(?:ENETUNREACH|EACCES|EINVAL)$/),
  });
  expect(await failure("no-such-host.invalid", port)).toMatchObject({ code: "UNAVAILABLE" });
  expect(await failure("fe80::1%lo", port)).toMatchObject({ code: "UNAVAILABLE" });
});

test("a connection carries bytes both ways, and its half-close", async () => {
  const listener = listenTcp("127.0.0.1", 0, async (stream) => {
    for await (const chunk of stream) await stream.write(chunk);
    await stream.end();
  });
  const stream = await dialTcp("localhost", listener.port);
  await stream.write(Buffer.from("hello"));
  await stream.end();
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  expect(Buffer.concat(chunks).toString()).toBe("hello");
  await stream.close();
  listener.close();
});
