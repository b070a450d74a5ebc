/** The token of an agent: proved by both ends, never sent, and of no use to who listens or records. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHash, randomBytes } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { FrameConnection } from "../../src/agent/channel/frame-connection.ts";
import { proofOf } from "../../src/agent/channel/token-proof.ts";
import { connectAgent } from "../../src/index.ts";
import { dial } from "../../src/net/dial.ts";
import { listen } from "../../src/net/listen.ts";
import { encodeProof, NONCE_BYTES } from "../../src/protocols/agent/challenge.ts";
import { CHANNEL_WINDOW_BYTES } from "../../src/protocols/agent/credit.ts";
import { encodeJsonFrame, FrameType } from "../../src/protocols/agent/frame.ts";
import { decodeHello, encodeHello, FEATURES, type Hello } from "../../src/protocols/agent/hello.ts";
import { Running, ScratchDirectory, TestAgent, vsockbox } from "../support/binary.ts";
import { RawPeer, text } from "../support/raw-peer.ts";
import { recordingRelay } from "../support/recording-relay.ts";

const TOKEN = "correct-horse-battery-staple";
const scratch = new ScratchDirectory();
const tokenFile = scratch.file("token");
const withToken = ["--token-file", tokenFile];
let agent: TestAgent;
beforeAll(async () => {
  writeFileSync(tokenFile, `${TOKEN}\n`, { mode: 0o600 });
  agent = await TestAgent.start(withToken);
});
afterAll(async () => {
  await agent[Symbol.asyncDispose]();
  scratch[Symbol.dispose]();
});

const ownHello = (secret: Partial<Hello>, features: readonly string[] = FEATURES): Hello => ({
  protocol: 1,
  version: "test",
  features,
  window: CHANNEL_WINDOW_BYTES,
  token: undefined,
  ...secret,
});

const helloFrame = (secret: Partial<Hello>, features?: readonly string[]) =>
  encodeJsonFrame(FrameType.Hello, encodeHello(ownHello(secret, features)));

/** A frame that makes a file, for an agent that serves a connection though it should not. */
const touch = (path: string) =>
  encodeJsonFrame(FrameType.Exec, { command: `touch ${path}`, args: [] });

/** Everything that the wire must not carry. */
const tracesOfToken = [
  TOKEN,
  Buffer.from(TOKEN).toString("base64"),
  Buffer.from(TOKEN).toString("hex"),
  createHash("sha256").update(TOKEN).digest("base64"),
  createHash("sha256").update(TOKEN).digest("hex"),
];

function expectNoTrace(bytes: Buffer): void {
  for (const trace of tracesOfToken) expect(bytes.includes(trace)).toBe(false);
  expect(bytes.includes(createHash("sha256").update(TOKEN).digest())).toBe(false);
}

describe("a recording", () => {
  test("of every kind of request holds no token, and is of no use for another connection", async () => {
    const path = scratch.file("relay");
    using relay = await recordingRelay(path, agent.path);
    const marker = scratch.file("marker");
    for (const args of [
      ["exec", `unix:${path}`, "--", "sh", "-c", `echo >> ${marker}`],
      ["exec", "-n", `unix:${path}`, "--", "true"],
      ["exec", "-d", `unix:${path}`, "--", "true"],
      ["cp", "/etc/hostname", `unix:${path}:${scratch.file("copy")}`],
      ["info", `unix:${path}`],
    ]) {
      const result = await vsockbox([...args.slice(0, 1), ...withToken, ...args.slice(1)]);
      expect({ args, ...result }).toMatchObject({ status: 0 });
    }
    expect(relay.fromClients.length).toBeGreaterThanOrEqual(5);
    for (const side of [relay.fromClients, relay.fromAgent]) {
      for (const chunks of side) expectNoTrace(Buffer.concat(chunks));
    }
    const lines = () => readFileSync(marker, "utf8").length;
    const before = lines();
    for (const chunks of relay.fromClients) {
      const frames = await new RawPeer(agent.path).send(Buffer.concat(chunks)).frames();
      expect(text(frames, FrameType.Stderr)).toContain("connection refused: the token is wrong");
    }
    expect(lines()).toBe(before);
  });
});

describe("a process that listens in the agent's place", () => {
  /** Answers each Hello with `answer`; gives what clients sent. */
  function squatter(path: string, answer: (hello: Hello) => Uint8Array) {
    const seen: Buffer[] = [];
    const onConnection = async (stream: Awaited<ReturnType<typeof dial>>) => {
      let greeted = false;
      for (;;) {
        const chunk = await stream.read().catch(() => undefined);
        if (chunk === undefined) break;
        seen.push(Buffer.from(chunk));
        if (greeted) continue;
        greeted = true;
        const answered = answer(decodeHello(chunk.subarray(5)));
        await stream.write(answered).catch(() => undefined);
        // An agent that refuses closes; one that says Hello waits.
        if (answered[0] === FrameType.Stderr) await stream.end();
      }
      await stream.close();
    };
    const listener = listen(
      { kind: "unix", path },
      { allowed: "any", onConnection: (stream) => void onConnection(stream) },
    );
    return { seen, [Symbol.dispose]: () => listener.close() };
  }

  const nonce = randomBytes(NONCE_BYTES);
  const refusal = "vsockbox agent: accept: connection refused: the token is missing\n";
  const answers: Record<string, (hello: Hello) => Uint8Array> = {
    "makes a proof up": () => helloFrame({ nonce, proof: randomBytes(NONCE_BYTES) }),
    "sends the client's nonce back as a proof": (hello) =>
      helloFrame({ nonce, proof: hello.nonce }),
    "proves another token": ({ nonce: client = nonce }) =>
      helloFrame({ nonce, proof: proofOf("another-token", "agent", { client, agent: nonce }) }),
    "proves the role of a client": ({ nonce: client = nonce }) =>
      helloFrame({ nonce, proof: proofOf(TOKEN, "client", { client, agent: nonce }) }),
    "says that it has no token": () => helloFrame({}),
    "says that it is old": () => helloFrame({}, ["exec", "channels"]),
    "asks for the token in clear": () =>
      Buffer.concat([
        Buffer.from([FrameType.Stderr, 0, 0, 0, refusal.length]),
        Buffer.from(refusal),
      ]),
  };

  test.each(Object.keys(answers))("learns nothing if it %s", async (what) => {
    const path = scratch.file(`squatter-${Object.keys(answers).indexOf(what)}`);
    using server = squatter(path, answers[what] ?? (() => helloFrame({})));
    for (const args of [
      ["exec", `unix:${path}`, ...withToken, "--", "echo", "secret-argument"],
      ["exec", "-n", `unix:${path}`, ...withToken, "--", "echo", "secret-argument"],
      ["info", `unix:${path}`, ...withToken],
      ["exec", "-d", `unix:${path}`, ...withToken, "--", "echo", "secret-argument"],
    ]) {
      expect({ args, ...(await vsockbox(args)) }).toMatchObject({
        status: 77,
        stderr: expect.stringContaining("token"),
      });
    }
    const seen = Buffer.concat(server.seen);
    expectNoTrace(seen);
    expect(seen.includes("secret-argument")).toBe(false);
    expect(seen.includes('"proof"')).toBe(false);
  });

  test("is sent the token only with --allow-clear-token", async () => {
    const path = scratch.file("clear");
    using server = squatter(path, ({ token }) =>
      token === undefined
        ? (answers["asks for the token in clear"]?.(ownHello({})) ?? nonce)
        : nonce,
    );
    const args = ["info", `unix:${path}`, ...withToken, "--connect-timeout", "1"];
    const refused = await vsockbox(args);
    expect(refused).toMatchObject({
      status: 77,
      stderr: expect.stringContaining("--allow-clear-token"),
    });
    expectNoTrace(Buffer.concat(server.seen));
    await vsockbox([...args, "--allow-clear-token"]);
    expect(Buffer.concat(server.seen).includes(TOKEN)).toBe(true);
  });
});

describe("an agent with a token", () => {
  /** Sends a Hello with a nonce, then what `answer` makes of the agent's; gives what is answered. */
  async function afterHello(answer: (hello: Hello, client: Uint8Array) => Uint8Array[]) {
    const stream = await dial({ kind: "unix", path: agent.path });
    const connection = new FrameConnection(stream);
    const client = randomBytes(NONCE_BYTES);
    await connection.sendEncoded(helloFrame({ nonce: client }));
    const hello = decodeHello((await connection.next())?.payload ?? Buffer.from("{}"));
    for (const frame of answer(hello, client)) await connection.sendEncoded(frame);
    let said = "";
    for (;;) {
      const frame = await connection.next();
      if (frame === undefined) break;
      said += Buffer.from(frame.payload).toString();
    }
    await stream.close();
    return said;
  }

  const proofFrame = (proof: Uint8Array) => encodeJsonFrame(FrameType.Proof, encodeProof(proof));
  const marker = scratch.file("never");

  test("serves a client that proves it", async () => {
    const path = scratch.file("made");
    const said = await afterHello(({ nonce: own = nonceOf() }, client) => [
      proofFrame(proofOf(TOKEN, "client", { client, agent: own })),
      touch(path),
    ]);
    expect(said).toContain('"exit_code":0');
    expect(existsSync(path)).toBe(true);
  });

  const nonceOf = () => new Uint8Array(NONCE_BYTES);
  const wrong: Record<string, (hello: Hello, client: Uint8Array) => Uint8Array[]> = {
    "no proof": () => [],
    "the agent's own proof": ({ proof = nonceOf() }) => [proofFrame(proof)],
    "a proof under another token": ({ nonce: own = nonceOf() }, client) => [
      proofFrame(proofOf("another-token", "client", { client, agent: own })),
    ],
    "a proof for other nonces": (_, client) => [
      proofFrame(proofOf(TOKEN, "client", { client, agent: client })),
    ],
    "a short proof": () => [encodeJsonFrame(FrameType.Proof, { proof: "AAAA" })],
    "a second Hello with the token": () => [helloFrame({ token: TOKEN })],
  };

  test.each(Object.keys(wrong))("refuses %s, and does nothing that follows it", async (what) => {
    const said = await afterHello((hello, client) => [
      ...(wrong[what]?.(hello, client) ?? []),
      touch(marker),
    ]);
    expect(said).toMatch(/token|proof/);
    expect(said).not.toContain("exit_code");
    expect(existsSync(marker)).toBe(false);
  });

  test("accepts the token in clear from clients of version 0.1, with a warning", async () => {
    const path = scratch.file("by-old-client");
    await new RawPeer(agent.path).send(helloFrame({ token: TOKEN }), touch(path)).frames();
    expect(existsSync(path)).toBe(true);
    expect(agent.running.stderr).toContain("sent its token in clear");
    const frames = await new RawPeer(agent.path)
      .send(helloFrame({ token: "another-token" }), touch(marker))
      .frames();
    expect(text(frames, FrameType.Stderr)).toContain("the token is wrong");
    expect(existsSync(marker)).toBe(false);
  });

  test("refuses it with --refuse-clear-token", async () => {
    await using strict = await TestAgent.start([...withToken, "--refuse-clear-token"]);
    const frames = await new RawPeer(strict.path)
      .send(helloFrame({ token: TOKEN }), touch(marker))
      .frames();
    expect(text(frames, FrameType.Stderr)).toContain("sent in clear");
    expect(existsSync(marker)).toBe(false);
    expect((await vsockbox(["info", strict.address, ...withToken])).status).toBe(0);
  });
});

describe("a client with a token", () => {
  test("refuses an agent that has none", async () => {
    await using open = await TestAgent.start();
    for (const args of [
      ["info", open.address, ...withToken],
      ["info", open.address, ...withToken, "--allow-clear-token"],
      ["exec", open.address, ...withToken, "--", "true"],
    ]) {
      expect({ args, ...(await vsockbox(args)) }).toMatchObject({
        status: 77,
        stderr: expect.stringContaining("the agent has no token"),
      });
    }
    const env = { VSOCKBOX_TOKEN_FILE: tokenFile };
    expect((await vsockbox(["info", open.address], { env })).status).toBe(77);
    const without = ["info", open.address, "--token-file", ""];
    expect((await vsockbox(without, { env })).status).toBe(0);
  });

  test("proves it from the library, too", async () => {
    await using remote = await connectAgent(agent.address, { token: TOKEN });
    expect((await remote.exec(["true"])).exitCode).toBe(0);
    const refused = connectAgent(agent.address, { token: "another-token" });
    expect(await refused.catch((thrown: unknown) => thrown)).toMatchObject({ code: "REFUSED" });
  });
});

describe("wait", () => {
  test("counts an agent as ready that proves the token, and no other one", async () => {
    const other = scratch.file("other-token");
    writeFileSync(other, "another-horse-battery-staple\n", { mode: 0o600 });
    await using bare = await TestAgent.start();
    const wait = (address: string, ...words: string[]) =>
      vsockbox(["wait", address, "--timeout", "120", ...words]);
    expect(await wait(agent.address, ...withToken)).toMatchObject({ status: 0, stderr: "" });
    const refused = await wait(agent.address, "--token-file", other);
    expect(refused).toMatchObject({ status: 77 });
    expect(refused.stderr).toContain("the agent does not know the token");
    const noToken = await wait(bare.address, ...withToken);
    expect(noToken).toMatchObject({ status: 77 });
    expect(noToken.stderr).toContain("the agent has no token");
    expect(await wait(bare.address, "--token-file", "")).toMatchObject({ status: 0 });
  });

  test("with a token asks the agent's port, not the ready port", async () => {
    const prefix = scratch.file("guest");
    const hybrid = scratch.file("vm");
    await using serving = new Running([
      ...["agent", "--listen", `unix:${prefix}_5000`, ...withToken],
    ]);
    await serving.says("listening on");
    await using bridge = new Running(["bridge", "--uds-path", hybrid, "--to", `unix:${prefix}`]);
    await bridge.says("listening on");
    expect(await vsockbox(["wait", `hybrid:${hybrid}`, ...withToken])).toMatchObject({ status: 0 });
  });

  test("refuses a token that it would not prove", async () => {
    const run = await vsockbox(["wait", agent.address, "--connect-only", ...withToken]);
    expect(run).toMatchObject({ status: 64 });
    expect(run.stderr).toContain("--token-file cannot be used with --connect-only");
  });
});
