/** The servers and captures of a process, with real sockets and files. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { requestStatus } from "../../../../src/device/observe/control-client.ts";
import { Observers, type ObserverOptions } from "../../../../src/device/observe/observers.ts";
import { ObservedDevice } from "../../../support/observed-device.ts";
import { readPcap } from "../../../support/pcap.ts";
import { ScratchDirectory } from "../../../support/scratch-directory.ts";

let scratch: ScratchDirectory;
beforeEach(() => {
  scratch = new ScratchDirectory();
});
afterEach(() => scratch[Symbol.dispose]());

/** Observers of a device, which have not begun. */
function observe(options: ObserverOptions, capture?: string) {
  const changes = capture === undefined ? {} : { capture: { file: capture, payloadBytes: 5 } };
  const observed = new ObservedDevice(changes);
  const observers = new Observers(options);
  const { config, local, vm } = observed;
  observers.add(config, local.device, vm.log);
  return {
    ...{ control: observed.control, log: observed.log },
    begin: () => observers.begin(local.loop),
    end: () => observers.end(),
    async [Symbol.asyncDispose]() {
      await observers.end();
      observed[Symbol.dispose]();
    },
  };
}

const metricsAt = (path: string) => ({ kind: "unix", path }) as const;

test("a device without options has a control socket until its end, and neither a capture nor metrics", async () => {
  await using device = observe({});
  device.begin();
  expect(await requestStatus(device.control)).toMatchObject({ guest_cid: 3, capture: null });
  expect([existsSync(device.control), device.log]).toEqual([true, []]);
  await device.end();
  expect(existsSync(device.control)).toBe(false);
});

test("a capture of the configuration runs from the start to the end", async () => {
  const file = scratch.file("x.pcap");
  const device = observe({}, file);
  {
    await using running = device;
    running.begin();
    expect((await requestStatus(running.control)).capture).toMatchObject({
      ...{ file, payload_bytes: 5, packets: 0 },
    });
  }
  expect(readPcap(readFileSync(file))).toMatchObject({ snapBytes: 32 + 44 + 5, packets: [] });
  expect(device.log).toEqual([`capturing to ${file}`, `captured 0 packets to ${file}`]);
});

test("a capture of the configuration replaces an existing file only with force", async () => {
  const file = scratch.file("x.pcap");
  writeFileSync(file, "precious");
  {
    await using careful = observe({}, file);
    expect(() => careful.begin()).toThrow(
      expect.objectContaining({ code: "CANNOT_CREATE" }) as Error,
    );
  }
  expect(readFileSync(file, "utf8")).toBe("precious");
  await using forced = observe({ force: true }, file);
  forced.begin();
  expect(readPcap(readFileSync(file)).packets).toEqual([]);
});

test("metrics are served on request, until the end", async () => {
  const path = scratch.file("metrics");
  {
    await using running = observe({ metrics: metricsAt(path) });
    running.begin();
    const response = await fetch("http://localhost/metrics", { unix: path });
    expect([response.status, await response.text()]).toEqual([
      200,
      expect.stringContaining('cid="3"'),
    ]);
    expect((await requestStatus(running.control)).guest_cid).toBe(3);
  }
  expect(existsSync(path)).toBe(false);
});
