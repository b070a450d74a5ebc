/** HTTP of the library: requests and servers over Unix sockets, hybrid ones, and the product's bridge. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chmodSync, existsSync, readdirSync, statSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { fetch, httpClient, type HttpServer, serve, VsockboxError } from "vsockbox";
import { eventually, Running, ScratchDirectory } from "../support/binary.ts";

let scratch: ScratchDirectory;
let bridge: Running;
beforeAll(async () => {
  scratch = new ScratchDirectory();
  bridge = new Running([
    "bridge",
    ...["--uds-path", scratch.file("vmm.sock"), "--to", `unix:${scratch.file("guest")}`],
  ]);
  await bridge.says("listening");
});
afterAll(async () => {
  await bridge[Symbol.asyncDispose]();
  scratch[Symbol.dispose]();
});

const failureOf = (promise: Promise<unknown>) => promise.catch((thrown: unknown) => thrown);

/** The directories of private sockets that this user has. */
const privateDirectories = () =>
  readdirSync(tmpdir()).filter((name) => /^vsockbox-[^-]{6}$/.test(name)).length;

/** Bytes that the present answer has yielded. */
let sentBytes = 0;

/** Chunks that come only as they are asked for. */
async function* chunks(count: number, bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  sentBytes = 0;
  for (let index = 0; index < count; index++) {
    yield bytes;
    sentBytes += bytes.length;
  }
}

/** A body of what an iterable yields, as it is asked for. */
function streamOf(source: AsyncIterable<Uint8Array>): ReadableStream<Uint8Array> {
  const iterator = source[Symbol.asyncIterator]();
  return new ReadableStream({
    async pull(controller) {
      const { value, done } = await iterator.next();
      if (done) controller.close();
      else controller.enqueue(value);
    },
    cancel: () => void iterator.return?.(),
  });
}

const hello = () => new Response("hello");

/** Answers with the requested behaviour. */
async function answer(request: Request): Promise<Response> {
  const { pathname, searchParams } = new URL(request.url);
  switch (pathname) {
    case "/echo":
      return new Response(request.body, { headers: { "x-method": request.method } });
    case "/length":
      return new Response(String((await request.arrayBuffer()).byteLength));
    case "/host":
      return new Response(request.headers.get("host"));
    case "/status":
      return new Response("no", { status: 418 });
    case "/empty":
      return new Response(null, { status: 204 });
    case "/redirect":
      return Response.redirect("http://127.0.0.1:1/elsewhere");
    case "/zeros":
      return new Response(
        streamOf(chunks(Number(searchParams.get("count")), new Uint8Array(65_536))),
      );
    case "/throws":
      throw new Error("broken handler");
    default:
      return hello();
  }
}

describe.each([
  ["unix", () => ({ at: `unix:${scratch.file("u.sock")}`, to: `unix:${scratch.file("u.sock")}` })],
  [
    // Through the bridge, which leads to the sockets `guest_PORT`.
    "hybrid",
    () => ({
      at: `hybrid:${scratch.file("guest")}:80`,
      to: `hybrid:${scratch.file("vmm.sock")}:80`,
    }),
  ],
])("over %s", (_name, addresses) => {
  let server: HttpServer;
  let to: string;
  beforeAll(() => {
    const { at, to: reached } = addresses();
    to = reached;
    server = serve({
      address: at,
      fetch: answer,
      error: (error) => new Response(error.message, { status: 500 }),
    });
  });
  afterAll(() => server.stop(true));

  test("a request, its status, headers and URL", async () => {
    const response = await fetch(to, "/x?y=1");
    expect([response.status, response.ok, response.url, await response.text()]).toEqual([
      200,
      true,
      "http://localhost/x?y=1",
      "hello",
    ]);
    const teapot = await fetch(to, "/status");
    expect([teapot.status, teapot.ok, await teapot.text()]).toEqual([418, false, "no"]);
    expect((await fetch(to, "/empty")).status).toBe(204);
    const posted = await fetch(to, "/echo", { method: "POST", body: "text" });
    expect([posted.headers.get("x-method"), await posted.text()]).toEqual(["POST", "text"]);
    expect(await (await fetch(to, "http://name:1234/host")).text()).toBe("name:1234");
    expect(await (await fetch(to, "/throws")).text()).toBe("broken handler");
  });

  test("bodies stream in both directions at once", async () => {
    const sent: string[] = [];
    const received = Promise.withResolvers<void>();
    const body = async function* () {
      sent.push("one");
      yield Buffer.from("one");
      // The second chunk is only made when the first has come back.
      await received.promise;
      sent.push("two");
      yield Buffer.from("two");
    };
    const response = await fetch(to, "/echo", { method: "POST", body: body() });
    const echoed: string[] = [];
    for await (const chunk of response.body ?? []) {
      echoed.push(Buffer.from(chunk).toString());
      received.resolve();
    }
    expect([sent, echoed]).toEqual([
      ["one", "two"],
      ["one", "two"],
    ]);
  });

  test("40 MB each way", async () => {
    const bytes = new Uint8Array(1_000_000).fill(7);
    const up = await fetch(to, "/length", { method: "POST", body: chunks(40, bytes) });
    expect(await up.text()).toBe("40000000");
    const down = await fetch(to, "/zeros?count=600");
    expect((await down.arrayBuffer()).byteLength).toBe(600 * 65_536);
  });

  test("a redirect is returned, not followed", async () => {
    const response = await fetch(to, "/redirect");
    expect([response.status, response.headers.get("location")]).toEqual([
      302,
      "http://127.0.0.1:1/elsewhere",
    ]);
  });

  test("a client keeps its connections, and several requests run at once", async () => {
    await using client = httpClient(to);
    for (let index = 0; index < 5; index++) {
      expect(await (await client.fetch("/x")).text()).toBe("hello");
    }
    const answers = await Promise.all(
      Array.from({ length: 50 }, async (_, index) => {
        const options = { method: "POST", body: `body ${index}` };
        return (await client.fetch("/echo", options)).text();
      }),
    );
    expect(answers).toEqual(answers.map((_, index) => `body ${index}`));
  });

  test("a reader that pauses holds the sender up", async () => {
    await using client = httpClient(to);
    const total = 3000 * 65_536;
    const response = await client.fetch("/zeros?count=3000");
    const reader = response.body?.getReader();
    let bytes = (await reader?.read())?.value?.length ?? 0;
    let before = -1;
    await eventually("nothing more is sent", async () => {
      const isStill = sentBytes === before;
      before = sentBytes;
      await Bun.sleep(100);
      return isStill;
    });
    expect(sentBytes).toBeLessThan(total / 2);
    for (let next = await reader?.read(); next?.done === false; next = await reader?.read()) {
      bytes += next.value.length;
    }
    expect(bytes).toBe(total);
  });

  test("a signal ends a request, and a body", async () => {
    await using client = httpClient(to);
    const abort = new AbortController();
    const response = await client.fetch("/zeros?count=1000000", { signal: abort.signal });
    const read = async () => {
      let bytes = 0;
      for await (const chunk of response.body ?? []) {
        bytes += chunk.length;
        if (bytes > 1_000_000) abort.abort();
      }
    };
    expect(await failureOf(read())).toMatchObject({ code: "ABORTED" });
    const early = await failureOf(fetch(to, "/x", { signal: AbortSignal.abort() }));
    expect(early).toBeInstanceOf(VsockboxError);
    expect(early).toMatchObject({ code: "ABORTED" });
    expect(await (await client.fetch("/x")).text()).toBe("hello");
  });
});

describe("a client", () => {
  test("reports why it cannot connect", async () => {
    const address = `unix:${scratch.file("none.sock")}`;
    const expected = { code: "UNAVAILABLE", errno: "ENOENT", step: "connect" };
    expect(await failureOf(fetch(address, "/"))).toMatchObject(expected);
    await using client = httpClient(address);
    const failures = await Promise.all([1, 2, 3].map(() => failureOf(client.fetch("/"))));
    for (const failure of failures) expect(failure).toMatchObject(expected);
    expect(await failureOf(fetch("nonsense!", "/"))).toMatchObject({ code: "USAGE" });
  });

  test.skipIf(process.getuid?.() !== 0)("refuses the socket of another user", async () => {
    const path = scratch.file("other.sock");
    const script = `Bun.serve({ unix: ${JSON.stringify(path)}, fetch: () => new Response("x") })`;
    const other = Bun.spawn([process.execPath, "-e", script], { uid: 65_534, gid: 65_534 });
    // The scratch directory has to let that user in.
    chmodSync(scratch.path, 0o777);
    try {
      await eventually("it listens", () => existsSync(path));
      const refused = await failureOf(fetch(`unix:${path}`, "/"));
      expect(refused).toMatchObject({ code: "REFUSED" });
      const allowed = await fetch(`unix:${path}`, "/", { socketOwners: [65_534] });
      expect(await allowed.text()).toBe("x");
    } finally {
      chmodSync(scratch.path, 0o700);
      other.kill();
      await other.exited;
    }
  });

  test.each([
    ["does not speak HTTP", "SSH-2.0-OpenSSH\r\n\r\n"],
    ["answers with a status that is none", "HTTP/1.1 999 Odd\r\nContent-Length: 1\r\n\r\nx"],
  ])("a peer that %s is BAD_DATA", async (_what, bytes) => {
    const path = scratch.file("odd.sock");
    const server = createServer((socket) => {
      socket.on("error", () => undefined);
      socket.once("data", () => socket.write(bytes));
    });
    await new Promise<void>((resolve) => server.listen(path, resolve));
    try {
      expect(await failureOf(fetch(`unix:${path}`, "/"))).toMatchObject({ code: "BAD_DATA" });
    } finally {
      server.close();
    }
  });

  test.each([
    ["closes at once", "", "TRANSPORT"],
    ["sends half of the headers", "HTTP/1.1 200 OK\r\nContent-", "TRANSPORT"],
    ["sends a part of the body", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", "TRANSPORT"],
    [
      "sends a part of a chunk",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc",
      "TRANSPORT",
    ],
  ])("a peer that %s is an error of the library", async (_, sent, code) => {
    const path = scratch.file("raw.sock");
    const server = createServer((socket) => {
      socket.on("error", () => undefined);
      socket.once("data", () => socket.end(sent));
    });
    await new Promise<void>((resolve) => server.listen(path, resolve));
    try {
      await using client = httpClient(`unix:${path}`);
      for (const request of [client.fetch("/"), fetch(`unix:${path}`, "/")]) {
        const failure = await failureOf(request.then((response) => response.text()));
        expect(failure).toBeInstanceOf(VsockboxError);
        expect(failure).toMatchObject({ code, address: `unix:${path}` });
      }
    } finally {
      server.close();
    }
  });

  test("a malformed request is a TypeError", async () => {
    const address = `unix:${scratch.file("none.sock")}`;
    for (const request of [
      fetch(address, "no-slash"),
      fetch(address, "ftp://host/x"),
      fetch(address, "/", { method: "GET", body: "x" }),
      fetch(address, "/", { headers: { "a b": "x" } }),
    ]) {
      expect(await failureOf(request)).toBeInstanceOf(TypeError);
    }
  });

  test("connects again after its idle connection was closed, and after a restart", async () => {
    const address = `unix:${scratch.file("restart.sock")}`;
    const start = (text: string) =>
      serve({ address, idleTimeoutSeconds: 1, fetch: () => new Response(text) });
    let server = start("one");
    await using client = httpClient(address);
    const text = async () => (await client.fetch("/")).text();
    expect(await text()).toBe("one");
    await server.stop();
    expect(await failureOf(text())).toMatchObject({ code: "UNAVAILABLE" });
    server = start("two");
    expect(await text()).toBe("two");
    await server.stop(true);
    server = start("three");
    expect(await text()).toBe("three");
    await server.stop(true);
  });

  test("close ends its requests, and leaves no socket", async () => {
    const before = privateDirectories();
    const address = `unix:${scratch.file("slow.sock")}`;
    const asked = Promise.withResolvers<void>();
    await using _server = serve({
      address,
      fetch: () => {
        asked.resolve();
        return new Promise(() => undefined);
      },
    });
    const client = httpClient(address);
    const pending = failureOf(client.fetch("/"));
    await asked.promise;
    expect(privateDirectories()).toBe(before + 2);
    await client.close();
    await client.close();
    expect(await pending).toMatchObject({ code: "ABORTED" });
    expect(await failureOf(client.fetch("/"))).toMatchObject({ code: "ABORTED" });
    expect(privateDirectories()).toBe(before + 1);
  });
});

describe("a server", () => {
  test("has a socket of mode 0600, and leaves no file", async () => {
    const before = privateDirectories();
    const path = scratch.file("mode.sock");
    const server = serve({ address: `unix:${path}`, fetch: hello });
    expect(String(server.address)).toBe(`unix:${path}`);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(() => serve({ address: `unix:${path}`, fetch: hello })).toThrow(
      expect.objectContaining({ code: "CANNOT_CREATE" }),
    );
    expect(privateDirectories()).toBe(before + 1);
    await server.stop();
    expect([existsSync(path), privateDirectories()]).toEqual([false, before]);
  });

  test("stop lets requests finish, with their bodies, and accepts no others", async () => {
    const address = `unix:${scratch.file("stop.sock")}`;
    const release = Promise.withResolvers<void>();
    const server = serve({
      address,
      fetch: () =>
        new Response(
          streamOf(
            (async function* () {
              yield Buffer.from("begin ");
              await release.promise;
              for await (const chunk of chunks(100, Buffer.alloc(65_536, "x"))) yield chunk;
              yield Buffer.from(" end");
            })(),
          ),
        ),
    });
    await using client = httpClient(address);
    const response = await client.fetch("/");
    expect(server.pendingRequests).toBe(1);
    let isStopped = false;
    const stopping = server.stop().then(() => (isStopped = true));
    expect(await failureOf(fetch(address, "/"))).toMatchObject({ code: "UNAVAILABLE" });
    expect(isStopped).toBe(false);
    release.resolve();
    const text = await response.text();
    expect([text.length, text.slice(0, 6), text.slice(-4)]).toEqual([
      100 * 65_536 + 10,
      "begin ",
      " end",
    ]);
    await stopping;
    expect(isStopped).toBe(true);
  });

  test("stop(true) ends requests at once", async () => {
    const address = `unix:${scratch.file("stop-now.sock")}`;
    const asked = Promise.withResolvers<void>();
    const server = serve({
      address,
      fetch: () => {
        asked.resolve();
        return new Promise(() => undefined);
      },
    });
    const pending = failureOf(fetch(address, "/"));
    await asked.promise;
    const graceful = server.stop();
    await server.stop(true);
    await graceful;
    expect(await pending).toMatchObject({ code: "TRANSPORT" });
  });

  test("a client that disappears aborts its request", async () => {
    const address = `unix:${scratch.file("gone.sock")}`;
    const [asked, aborted] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    await using _server = serve({
      address,
      fetch: (request) => {
        request.signal.addEventListener("abort", () => aborted.resolve());
        asked.resolve();
        return new Promise(() => undefined);
      },
    });
    const abort = new AbortController();
    const pending = failureOf(fetch(address, "/", { signal: abort.signal }));
    await asked.promise;
    abort.abort();
    await pending;
    await aborted.promise;
  });

  test("connections above the limit wait for one that ends", async () => {
    const address = `unix:${scratch.file("limit.sock")}`;
    const gate = Promise.withResolvers<void>();
    let served = 0;
    await using _server = serve({
      address,
      maxConnections: 2,
      fetch: async () => {
        served++;
        await gate.promise;
        return new Response("ok");
      },
    });
    const answers = [1, 2, 3, 4, 5].map(async () => (await fetch(address, "/")).text());
    await eventually("two are served", () => served === 2);
    gate.resolve();
    expect(await Promise.all(answers)).toEqual(["ok", "ok", "ok", "ok", "ok"]);
    expect(() => serve({ address, fetch: hello, maxConnections: 0 })).toThrow(RangeError);
  });

  test("a body above the limit is refused", async () => {
    const address = `unix:${scratch.file("body.sock")}`;
    await using _server = serve({
      address,
      maxRequestBodyBytes: 10,
      fetch: async (request) => new Response(await request.text()),
    });
    expect((await fetch(address, "/", { method: "POST", body: "0123456789" })).status).toBe(200);
    expect((await fetch(address, "/", { method: "POST", body: "0123456789a" })).status).toBe(413);
  });

  test("WebSockets in both directions", async () => {
    const address = `unix:${scratch.file("web.sock")}`;
    await using _server = serve<{ name: string }>({
      address,
      fetch(request, server) {
        const name = new URL(request.url).pathname.slice(1);
        return server.upgrade(request, { data: { name } }) ? undefined : hello();
      },
      websocket: {
        message: (socket, message) => void socket.send(`${socket.data.name} ${message}`),
      },
    });
    await using client = httpClient(address);
    const socket = client.webSocket("/channel");
    const answered = Promise.withResolvers<unknown>();
    socket.addEventListener("message", ({ data }) => answered.resolve(data));
    socket.addEventListener("error", () => answered.resolve("error"));
    socket.addEventListener("open", () => socket.send("hi"));
    expect(await answered.promise).toBe("channel hi");
    socket.close();
  });
});
