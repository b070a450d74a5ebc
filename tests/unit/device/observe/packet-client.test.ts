/** The packets of a VM from its control socket, over real connections. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { serveControl } from "../../../../src/device/observe/control-server.ts";
import { openPackets } from "../../../../src/device/observe/packet-client.ts";
import type { PacketSource } from "../../../../src/monitor/packet-source.ts";
import type { HttpServer } from "../../../../src/net/http.ts";
import { Op } from "../../../../src/protocols/virtio-vsock/packet.ts";
import { ObservedDevice } from "../../../support/observed-device.ts";
import { response, serveRaw } from "../../../support/raw-http-service.ts";
import { VM_STATUS } from "../../../support/vm-status.ts";

const errorOf = (asked: Promise<unknown>) => asked.catch((thrown: unknown) => thrown);

/** Reads until the source ends or fails. */
async function readAll(source: PacketSource): Promise<void> {
  for await (const _ of source.batches());
}

describe("a device that runs", () => {
  let observed: ObservedDevice;
  let server: HttpServer | undefined;
  beforeEach(() => {
    observed = new ObservedDevice();
    server = serveControl(observed.vm);
  });
  afterEach(() => {
    server?.close();
    observed[Symbol.dispose]();
  });

  test("sends its packets, until the source is stopped", async () => {
    const { local } = observed;
    const driver = local.startGuest();
    driver.post();
    const source = await openPackets(observed.control, 10);
    driver.send({ op: Op.Request, srcPort: 700, dstPort: 800 });
    // The device's loop passes the time to its tap.
    const turns = setInterval(local.turn, 5);
    const lengths: number[] = [];
    for await (const records of source.batches()) {
      lengths.push(...records.map(({ length }) => length));
      // The request, and the reset as nothing listens there.
      if (lengths.length >= 2) source.stop();
    }
    clearInterval(turns);
    expect(lengths).toEqual([32 + 44, 32 + 44]);
    expect(await source.lost()).toBe(0);
    source.close();
  });

  test("refuses a stream too many, which is not the fault of its version", async () => {
    const streams = Array.from({ length: 8 }, () => observed.vm.openStream(0));
    const error = await errorOf(openPackets(observed.control, 10));
    expect(error).toMatchObject({
      ...{ code: "REFUSED", operation: "capture through", address: observed.control },
      hint: undefined,
    });
    for (const stream of streams) stream.close();
  });

  test("ends the packets when it closes", async () => {
    const source = await openPackets(observed.control, 10);
    server?.close();
    expect(await errorOf(readAll(source))).toMatchObject({
      ...{ code: "UNAVAILABLE", address: observed.control, reason: "the device has closed" },
    });
    source.close();
  });
});

describe("a device of another version, or another program", () => {
  let observed: ObservedDevice;
  beforeEach(() => {
    observed = new ObservedDevice();
  });
  afterEach(() => observed[Symbol.dispose]());

  /** Answers `GET /status` with 5 lost packets, then with 12, and the others as given. */
  function serve(packets: readonly string[] | undefined, lost: readonly string[] = []) {
    let before = 5;
    return serveRaw(observed.control, (request) => {
      if (request.startsWith("GET /packets/lost?")) return lost;
      if (request.startsWith("GET /packets?")) return packets;
      const counters = { ...VM_STATUS.counters, capture_packets_lost: before };
      before += 7;
      return [response(200, JSON.stringify({ ...VM_STATUS, counters }))];
    });
  }

  const head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
  const failure = (code: string) =>
    response(400, JSON.stringify({ code, message: "unknown request" }));

  test("asks for the bytes of each payload, by a name of the reader's own", async () => {
    using service = serve([head]);
    for (const _ of [1, 2]) (await openPackets(observed.control, 10)).close();
    const asked = service.requests.filter((request) => request.startsWith("GET /packets"));
    const names = asked.map(
      (text) =>
        /^GET \/packets\?payload_bytes=10&stream=([0-9a-f]{32}) HTTP\/1\.1\r\n/.exec(text)?.[1],
    );
    expect([names.length, new Set(names).size, names.includes(undefined)]).toEqual([2, 2, false]);
  });

  test("a response whose head is in several pieces is read", async () => {
    using _service = serve([head.slice(0, 20), head.slice(20)]);
    const source = await openPackets(observed.control, 10);
    expect(await errorOf(readAll(source))).toMatchObject({ code: "UNAVAILABLE" });
    source.close();
  });

  test("one that does not count by stream has lost what all streams have lost since the start", async () => {
    using _service = serve([head], [failure("BAD_DATA")]);
    const source = await openPackets(observed.control, 10);
    expect(await source.lost()).toBe(7);
    source.close();
  });

  test("one that counts by stream has lost that number", async () => {
    using _service = serve([head], [response(200, '{"packets_lost":3}')]);
    const source = await openPackets(observed.control, 10);
    expect(await source.lost()).toBe(3);
    source.close();
  });

  test("another failure of that request is one of the source", async () => {
    using _service = serve([head], [failure("REFUSED")]);
    const source = await openPackets(observed.control, 10);
    expect(await errorOf(source.lost())).toMatchObject({ code: "REFUSED" });
    source.close();
  });

  test("one that does not know the request may be older", async () => {
    using _service = serve([failure("BAD_DATA")]);
    expect(await errorOf(openPackets(observed.control, 10))).toMatchObject({
      ...{ code: "BAD_DATA", reason: "unknown request" },
      hint: expect.stringContaining("may run an older vsockbox") as string,
    });
  });

  test("a refusal in several pieces is read to its end", async () => {
    const whole = failure("REFUSED");
    using _service = serve([whole.slice(0, 40), whole.slice(40, -9), whole.slice(-9)]);
    expect(await errorOf(openPackets(observed.control, 10))).toMatchObject({
      ...{ code: "REFUSED", reason: "unknown request" },
    });
  });

  test("a 200 that is not chunked is not a stream of packets", async () => {
    using _service = serve([response(200, "hello")]);
    expect(await errorOf(openPackets(observed.control, 10))).toMatchObject({ code: "BAD_DATA" });
  });

  test("one that closes without a response has closed", async () => {
    using _service = serve([]);
    expect(await errorOf(openPackets(observed.control, 10))).toMatchObject({
      ...{ code: "UNAVAILABLE", reason: "the device has closed" },
    });
  });

  test("a body that ends is a device that has closed", async () => {
    using _service = serve([`${head}0\r\n\r\n`]);
    const source = await openPackets(observed.control, 10);
    expect(await errorOf(readAll(source))).toMatchObject({
      ...{ code: "UNAVAILABLE", reason: "the device has closed" },
    });
    source.close();
  });
});
