/** Targets over Unix sockets in this process; tests/integration/doctor.test.ts has the real executable. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { SystemFiles } from "../../../../src/diagnose/facts/system-files.ts";
import { probeTarget } from "../../../../src/diagnose/target/probe-target.ts";
import type { SocketAddress } from "../../../../src/net/address.ts";
import { listen, type Listener } from "../../../../src/net/listen.ts";
import { FEATURES } from "../../../../src/protocols/agent/hello.ts";
import { hostileAgent } from "../../../support/hostile-agent.ts";
import { ScratchDirectory } from "../../../support/scratch-directory.ts";

/** An agent that is not asked for its limits. */
const PLAIN = { features: FEATURES.filter((name) => name !== "info") };

let scratch: ScratchDirectory;
beforeAll(() => {
  scratch = new ScratchDirectory();
});
afterAll(() => scratch[Symbol.dispose]());

const probe = (address: SocketAddress, ownCid?: number, timeoutMs = 2000) =>
  probeTarget(new SystemFiles(), { written: "it", address, options: { timeoutMs }, ownCid });
const unix = (name: string) => ({ kind: "unix", path: scratch.file(name) }) as const;
const hybrid = (name: string, port: number) =>
  ({ kind: "hybrid", path: scratch.file(name), port }) as const;

/** A VMM's socket, whose guest has an agent or a closing listener on some ports. */
function hybridSocket(name: string, ports: Readonly<Record<number, string | "close">>): Listener {
  return listen(unix(name), {
    allowed: "any",
    onConnection: async (stream) => {
      const line = new TextDecoder().decode(await stream.read());
      const port = Number(/^CONNECT (\d+)\n$/.exec(line)?.[1]);
      const served = ports[port];
      if (served === undefined) return stream.abort();
      await stream.write(new TextEncoder().encode(`OK ${port}\n`));
      if (served === "close") return stream.close();
      const inner = await Bun.connect({
        unix: served,
        socket: {
          data: (_socket, bytes) => void stream.write(new Uint8Array(bytes)).catch(() => undefined),
          close: () => stream.abort(),
        },
      });
      for await (const bytes of stream) inner.write(bytes);
      inner.end();
    },
  });
}

describe("an agent", () => {
  test("at a Unix socket has no ready port", async () => {
    using _agent = hostileAgent(scratch.file("a"), () => undefined, {
      version: "vsockbox 9",
      ...PLAIN,
    });
    const facts = await probe(unix("a"));
    expect(facts).toMatchObject({
      written: "it",
      address: unix("a"),
      file: { state: "socket", uid: process.geteuid?.() },
      listener: { pid: process.pid },
      stoppedAgents: [],
      outcome: {
        kind: "agent",
        agent: { version: "vsockbox 9", isAnswering: true, limits: undefined },
      },
    });
    if (facts.outcome.kind !== "agent") throw new Error("no agent");
    const { isReady, clock } = facts.outcome.agent;
    expect(isReady).toBeUndefined();
    expect(Math.abs(clock?.offsetMs ?? 1e9)).toBeLessThan(1000 + (clock?.errorMs ?? 0));
    expect(clock?.errorMs).toBeGreaterThan(0);
  });

  test("in a VM has a ready port, if the agent is at its usual one", async () => {
    using _agent = hostileAgent(scratch.file("inner"), () => undefined, PLAIN);
    const ports = { 5000: scratch.file("inner"), 6000: scratch.file("inner") };
    const ready = hybridSocket("ready", { ...ports, 5002: "close" });
    const other = hybridSocket("other", ports);
    try {
      const isReady = async (address: SocketAddress) => {
        const { outcome } = await probe(address);
        return outcome.kind === "agent" ? outcome.agent.isReady : outcome.error;
      };
      expect(await isReady(hybrid("ready", 5000))).toBe(true);
      expect(await isReady(hybrid("other", 5000))).toBe(false);
      expect(await isReady(hybrid("ready", 6000))).toBeUndefined();
    } finally {
      ready.close();
      other.close();
    }
  });

  test("that answers its Hello alone", async () => {
    using _agent = hostileAgent(scratch.file("half"), () => undefined, { isSilent: true });
    expect((await probe(unix("half"), undefined, 300)).outcome).toMatchObject({
      kind: "agent",
      agent: { isAnswering: false, clock: undefined, limits: undefined },
    });
  });
});

describe("the failing step", () => {
  test("is the connection", async () => {
    const missing = await probe(unix("none"));
    expect(missing.file).toEqual({ state: "missing", hasDirectory: true });
    expect(missing.outcome).toMatchObject({
      kind: "failed",
      step: "connect",
      error: { errno: "ENOENT" },
    });
    expect((await probe(unix("no/such"))).file).toEqual({ state: "missing", hasDirectory: false });
    writeFileSync(scratch.file("file"), "");
    const file = await probe(hybrid("file", 5000));
    expect(file.file).toEqual({ state: "other", kind: "a regular file" });
    expect(file.outcome).toMatchObject({
      step: "connect",
      failure: { kind: "other" },
      agentAt: undefined,
    });
  });

  test("is the guest's port, and an agent is found at the usual one", async () => {
    using _agent = hostileAgent(scratch.file("usual"), () => undefined, PLAIN);
    const vmm = hybridSocket("vmm", { 5000: scratch.file("usual") });
    const empty = hybridSocket("empty", {});
    try {
      expect((await probe(hybrid("vmm", 4711))).outcome).toMatchObject({
        step: "guest",
        error: { code: "UNAVAILABLE" },
        agentAt: hybrid("vmm", 5000),
      });
      for (const port of [4711, 5000]) {
        expect((await probe(hybrid("empty", port))).outcome).toMatchObject({
          step: "guest",
          agentAt: undefined,
        });
      }
    } finally {
      vmm.close();
      empty.close();
    }
  });

  test("is the greeting", async () => {
    const silent = listen(unix("silent"), { allowed: "any", onConnection: () => undefined });
    try {
      expect((await probe(unix("silent"), undefined, 300)).outcome).toMatchObject({
        step: "greet",
        error: { code: "TIMEOUT" },
        failure: { kind: "other" },
      });
    } finally {
      silent.close();
    }
    const echo = listen(unix("echo"), {
      allowed: "any",
      onConnection: async (stream) => {
        for await (const bytes of stream) await stream.write(bytes);
      },
    });
    try {
      expect((await probe(unix("echo"))).outcome).toMatchObject({
        step: "greet",
        failure: { kind: "service", service: "echo" },
      });
      expect((await probe(hybrid("echo", 5000))).outcome).toMatchObject({ step: "guest" });
    } finally {
      echo.close();
    }
  });

  test("is AF_VSOCK itself, which this test has switched off", async () => {
    for (const cid of [1, 9]) {
      const facts = await probe({ kind: "vsock", cid, port: 5000 }, 9);
      expect(facts).toMatchObject({ file: undefined, listener: undefined });
      expect(facts.outcome).toMatchObject({ step: "connect", error: { code: "REFUSED" } });
    }
  });
});
