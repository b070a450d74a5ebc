/** The connection of a device with a VMM, over a real socket, in an event loop that the test turns. */
import { describe, expect, test } from "bun:test";
import { existsSync, fstatSync } from "node:fs";
import { VmmConnection } from "../../../../src/device/vhost-user/vmm-connection.ts";
import { openEvent } from "../../../../src/ffi/eventfd.ts";
import { closeDescriptor, readDescriptor } from "../../../../src/ffi/socket.ts";
import { EventLoop } from "../../../../src/io/event-loop.ts";
import { openUnixListener } from "../../../../src/net/listen.ts";
import {
  encodeRegion,
  encodeRegions,
  encodeRequest,
  encodeRingDescriptor,
  encodeU64,
  encodeVringAddresses,
  encodeVringState,
} from "../../../../src/protocols/vhost-user/encode.ts";
import {
  DEFAULT_FEATURES,
  DEFAULT_PROTOCOL_FEATURES,
} from "../../../../src/protocols/vhost-user/features.ts";
import { openDescriptors } from "../../../support/local-device.ts";
import { openMemory } from "../../../support/memfd.ts";
import { RawVmm } from "../../../support/raw-vmm.ts";
import { ScratchDirectory } from "../../../support/scratch-directory.ts";
import { addresses, CID, high } from "../../../support/vhost-session.ts";

const SIZE = 0x1_0000;

/** Rounds after which a connection that still has events is stuck. */
const MAX_ROUNDS = 1000;

/** A connection whose events are recorded, in their order. */
class Recorded implements Disposable {
  readonly #scratch = new ScratchDirectory();
  readonly loop = new EventLoop();
  readonly path = this.#scratch.file("vmm");
  readonly events: string[] = [];
  /** The event or action on a queue that fails. */
  failing: string | undefined;
  /** Called before it fails. */
  beforeFailure: () => void = () => {};
  /** The kick descriptors of the queues that have started. */
  readonly kicks: number[] = [];
  readonly connection = new VmmConnection(
    this.loop,
    {
      onConnected: () => this.#record("connected"),
      onRing: (action) => {
        if (action.kind === "start") this.kicks.push(action.setup.kick);
        this.#record(action.kind === "reset" ? "reset" : `${action.kind} ${action.ring}`);
      },
      onDisconnecting: () => this.#record("disconnecting"),
      onDisconnected: (reason, isFault) => {
        this.#record(`${isFault ? "fault" : "end"}: ${reason}`);
      },
      onRefused: () => this.#record("refused"),
      onWarning: (message) => this.#record(message),
    },
    {
      listener: openUnixListener({ kind: "unix", path: this.path }),
      config: CID,
      maxRingEntries: 1024,
      lastAvailable: () => 77,
    },
  );

  #record(event: string): void {
    this.events.push(event);
    if (event !== this.failing) return;
    this.beforeFailure();
    throw new Error(`${event} failed`);
  }

  /** Rounds until no descriptor has events. */
  readonly turn = (): void => {
    for (let rounds = 0; this.loop.round(0); rounds++) {
      if (rounds === MAX_ROUNDS) throw new Error(`busy after ${MAX_ROUNDS} rounds`);
    }
  };

  /** A VMM that is connected and has sent nothing. */
  connect(): RawVmm {
    const vmm = new RawVmm(this.path, this.turn);
    this.turn();
    return vmm;
  }

  /** A VMM that has negotiated all features. */
  negotiate(): RawVmm {
    const vmm = this.connect();
    vmm.post("SET_PROTOCOL_FEATURES", encodeU64(DEFAULT_PROTOCOL_FEATURES));
    vmm.post("SET_FEATURES", encodeU64(DEFAULT_FEATURES));
    this.turn();
    return vmm;
  }

  /** The guest addresses of the mapped regions. */
  get regions(): number[] {
    return this.connection.memory.table.regions.map(({ guestAddress }) => guestAddress);
  }

  [Symbol.dispose](): void {
    this.failing = undefined;
    this.connection.close();
    this.loop.close();
    this.#scratch[Symbol.dispose]();
  }
}

/** Sends a message with descriptors, which the device has then, and this process no longer. */
function hand(vmm: RawVmm, request: Uint8Array, ...fds: number[]): void {
  vmm.sendRaw(request, fds);
  for (const fd of fds) closeDescriptor(fd);
}

/** Starts a ring, and turns. */
function startRing(recorded: Recorded, vmm: RawVmm, ring = 0): void {
  vmm.post("SET_VRING_NUM", encodeVringState(ring, 64));
  vmm.post("SET_VRING_ADDR", encodeVringAddresses(ring, addresses(ring)));
  hand(vmm, encodeRequest("SET_VRING_KICK", encodeRingDescriptor(ring)), openEvent());
  vmm.post("SET_VRING_ENABLE", encodeVringState(ring, 1));
  recorded.turn();
}

/** A region that begins with its memfd. */
const regionAt = (guestAddress: number, size = SIZE) => ({
  guestAddress,
  userAddress: high.userAddress + guestAddress,
  size,
  mmapOffset: 0,
});

describe("a VMM", () => {
  test("that has sent nothing further remains connected", () => {
    using recorded = new Recorded();
    const { connection } = recorded;
    expect(connection.isConnected).toBe(false);
    const vmm = recorded.connect();
    expect(connection.isConnected).toBe(true);
    expect(vmm.ask("GET_FEATURES")).toEqual(encodeU64(DEFAULT_FEATURES));
    expect(vmm.ask("GET_FEATURES")).toEqual(encodeU64(DEFAULT_FEATURES));
    recorded.turn();
    expect(vmm.isGone).toBe(false);
    expect(recorded.events).toEqual(["connected"]);
    vmm.close();
  });

  test("may send a message byte by byte", () => {
    using recorded = new Recorded();
    const vmm = recorded.connect();
    for (const byte of encodeRequest("SET_FEATURES", encodeU64(DEFAULT_FEATURES))) {
      expect(recorded.connection.features).toBe(0n);
      vmm.sendRaw(Uint8Array.of(byte));
      recorded.turn();
    }
    expect(recorded.connection.features).toBe(DEFAULT_FEATURES);
    expect(recorded.events).toEqual(["connected"]);
    vmm.close();
  });

  test("that sends many messages is served over several rounds", () => {
    using recorded = new Recorded();
    const vmm = recorded.connect();
    const count = 100;
    const answered = () => {
      let answers = 0;
      const bytes = new Uint8Array(20 * count);
      for (let got = readDescriptor(vmm.fd, bytes); got > 0; got = readDescriptor(vmm.fd, bytes)) {
        answers += got / 20;
      }
      return answers;
    };
    for (let sent = 0; sent < count; sent++) vmm.post("GET_FEATURES");
    recorded.loop.round(0);
    const first = answered();
    expect(first).toBeGreaterThan(0);
    expect(first).toBeLessThan(count);
    recorded.turn();
    expect(first + answered()).toBe(count);
    vmm.close();
  });

  test("is refused while another one is connected", () => {
    using recorded = new Recorded();
    const first = recorded.connect();
    const second = recorded.connect();
    expect(second.isGone).toBe(true);
    expect(first.ask("GET_FEATURES")).toEqual(encodeU64(DEFAULT_FEATURES));
    expect(recorded.events).toEqual(["connected", "refused"]);
    first.close();
    second.close();
  });

  test("that was restarted connects although the end of the old connection was not read", () => {
    using recorded = new Recorded();
    recorded.connect().close();
    const second = recorded.connect();
    expect(second.isGone).toBe(false);
    expect(recorded.events).toEqual([
      "connected",
      "disconnecting",
      "end: the VMM has disconnected",
      "connected",
    ]);
    second.close();
  });
});

describe("the end of a connection", () => {
  test("by the VMM is not a fault, stops the queues, and unmaps the memory", () => {
    using recorded = new Recorded();
    const before = openDescriptors();
    const vmm = recorded.negotiate();
    hand(vmm, encodeRequest("SET_MEM_TABLE", encodeRegions([regionAt(0)])), openMemory(SIZE));
    startRing(recorded, vmm);
    expect(recorded.regions).toEqual([0]);
    vmm.close();
    recorded.turn();
    expect(recorded.connection.isConnected).toBe(false);
    expect(recorded.connection.features).toBe(0n);
    expect(recorded.regions).toEqual([]);
    expect(openDescriptors()).toBe(before);
    expect(recorded.events).toEqual([
      ...["connected", "start 0", "disconnecting", "stop 0"],
      "end: the VMM has disconnected",
    ]);
    const next = recorded.connect();
    expect(next.ask("GET_FEATURES")).toEqual(encodeU64(DEFAULT_FEATURES));
    next.close();
  });

  test("within a message closes the descriptors that came with it", () => {
    using recorded = new Recorded();
    const before = openDescriptors();
    const vmm = recorded.negotiate();
    const request = encodeRequest("SET_VRING_CALL", encodeRingDescriptor(0));
    hand(vmm, request.subarray(0, 14), openEvent());
    recorded.turn();
    expect(openDescriptors()).toBe(before + 3);
    vmm.close();
    recorded.turn();
    expect(openDescriptors()).toBe(before);
    expect(recorded.events.at(-1)).toBe("end: the VMM has disconnected");
  });

  test("is a fault of the VMM if its queues cannot be processed once more", () => {
    using recorded = new Recorded();
    recorded.failing = "disconnecting";
    recorded.connect().close();
    recorded.turn();
    expect(recorded.connection.isConnected).toBe(false);
    expect(recorded.events.at(-1)).toBe("fault: the VMM was dropped: disconnecting failed");
  });

  test("by the device is not a fault, and removes the socket", () => {
    using recorded = new Recorded();
    const vmm = recorded.connect();
    expect(existsSync(recorded.path)).toBe(true);
    recorded.connection.close();
    expect(vmm.isGone).toBe(true);
    expect(existsSync(recorded.path)).toBe(false);
    expect(recorded.events).toEqual(["connected", "end: the device ends"]);
    vmm.close();
  });

  test("is reported once, and not without a VMM", () => {
    using recorded = new Recorded();
    recorded.connection.drop("nothing is connected", true);
    expect(recorded.events).toEqual([]);
    const vmm = recorded.connect();
    recorded.connection.drop("its queue is broken", true);
    recorded.connection.drop("its queue is broken", true);
    recorded.turn();
    expect(vmm.isGone).toBe(true);
    expect(recorded.events).toEqual(["connected", "fault: its queue is broken"]);
    vmm.close();
  });
});

describe("a message", () => {
  test("that breaks the protocol disconnects the VMM and closes its descriptors", () => {
    using recorded = new Recorded();
    const before = openDescriptors();
    const vmm = recorded.negotiate();
    const request = encodeRequest("SET_VRING_CALL", encodeRingDescriptor(3));
    hand(vmm, request, openEvent());
    vmm.awaitEnd();
    expect(recorded.connection.isConnected).toBe(false);
    expect(recorded.events.at(-1)).toMatch(/^fault: the VMM was dropped: .*ring 3 of 3/);
    vmm.close();
    expect(openDescriptors()).toBe(before);
  });

  test("that cannot be performed is acknowledged as failed before the end", () => {
    using recorded = new Recorded();
    const before = openDescriptors();
    const vmm = recorded.negotiate();
    const payload = encodeRegions([regionAt(0), regionAt(SIZE, SIZE + 1)]);
    const request = encodeRequest("SET_MEM_TABLE", payload, { needReply: true });
    hand(vmm, request, openMemory(SIZE), openMemory(SIZE));
    expect(vmm.answer()).toEqual(encodeU64(1n));
    vmm.awaitEnd();
    expect(recorded.events.at(-1)).toMatch(/^fault: .*do not fit in a file/);
    expect(recorded.regions).toEqual([]);
    vmm.close();
    expect(openDescriptors()).toBe(before);
  });

  test("that breaks the protocol is acknowledged as failed too", () => {
    using recorded = new Recorded();
    const vmm = recorded.negotiate();
    vmm.sendRaw(encodeRequest("SET_VRING_NUM", encodeVringState(0, 3), { needReply: true }));
    expect(vmm.answer()).toEqual(encodeU64(1n));
    vmm.awaitEnd();
    vmm.close();
  });

  test("about one region adds it to the others, or removes it from them", () => {
    using recorded = new Recorded();
    const vmm = recorded.negotiate();
    const before = openDescriptors();
    for (const at of [0, SIZE, 2 * SIZE]) {
      const payload = encodeRegion(regionAt(at));
      hand(vmm, encodeRequest("ADD_MEM_REG", payload, { needReply: true }), openMemory(SIZE));
      expect(vmm.answer()).toEqual(encodeU64(0n));
    }
    expect(recorded.regions).toEqual([0, SIZE, 2 * SIZE]);
    hand(vmm, encodeRequest("REM_MEM_REG", encodeRegion(regionAt(SIZE))), openEvent());
    recorded.turn();
    expect(recorded.regions).toEqual([0, 2 * SIZE]);
    expect(openDescriptors()).toBe(before);
    vmm.close();
  });
});

describe("an action on a queue that fails", () => {
  test("disconnects the VMM, and the descriptors of the following actions are closed", () => {
    using recorded = new Recorded();
    const before = openDescriptors();
    const vmm = recorded.negotiate();
    startRing(recorded, vmm);
    recorded.failing = "kick 0";
    // The old descriptor is closed by the action after the one that fails.
    hand(vmm, encodeRequest("SET_VRING_KICK", encodeRingDescriptor(0)), openEvent());
    vmm.awaitEnd();
    expect(recorded.events).toEqual([
      ...["connected", "start 0", "kick 0", "stop 0"],
      "fault: the VMM was dropped: kick 0 failed",
    ]);
    vmm.close();
    expect(openDescriptors()).toBe(before);
  });

  test("at the end closes all descriptors, and the next VMM may connect", () => {
    using recorded = new Recorded();
    const before = openDescriptors();
    const vmm = recorded.negotiate();
    startRing(recorded, vmm);
    recorded.failing = "stop 0";
    expect(() => recorded.connection.drop("the device ends", false)).toThrow("stop 0 failed");
    expect(recorded.events.at(-1)).toBe("end: the device ends");
    vmm.close();
    expect(openDescriptors()).toBe(before);
    const next = recorded.connect();
    expect(next.ask("GET_FEATURES")).toEqual(encodeU64(DEFAULT_FEATURES));
    next.close();
  });

  test("does not close the descriptors of earlier actions again", () => {
    using recorded = new Recorded();
    const vmm = recorded.negotiate();
    for (const ring of [0, 1]) startRing(recorded, vmm, ring);
    const [reused = -1] = recorded.kicks;
    const opened: number[] = [];
    recorded.failing = "stop 1";
    // The number of the first ring's descriptor, which is closed by now, is used again.
    recorded.beforeFailure = () => {
      do opened.push(openEvent());
      while (opened.at(-1) !== reused && opened.length < 1000);
    };
    vmm.close();
    recorded.turn();
    expect(opened.at(-1)).toBe(reused);
    expect(recorded.events.at(-1)).toBe("end: the VMM has disconnected");
    for (const fd of opened) expect(fstatSync(fd).size).toBe(0);
    for (const fd of opened) closeDescriptor(fd);
  });
});
