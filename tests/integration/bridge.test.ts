import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { eventually, Running, ScratchDirectory, vsockbox } from "../support/binary.ts";

let scratch: ScratchDirectory;
let path: string;
let prefix: string;
const servers: Server[] = [];
beforeEach(() => {
  scratch = new ScratchDirectory();
  path = scratch.file("vm.vsock");
  prefix = scratch.file("guest");
});
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
  scratch[Symbol.dispose]();
});

/** What stands in for a guest's listener on a port. */
async function guest(port: number, serve: (socket: Socket) => void): Promise<void> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on("error", () => socket.destroy());
    serve(socket);
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(`${prefix}_${port}`, resolve));
}

const echo = (socket: Socket) => socket.pipe(socket);

async function bridge(...args: string[]): Promise<Running> {
  const running = new Running([
    "hybrid-proxy",
    "bridge",
    "--uds-path",
    path,
    "--to",
    `unix:${prefix}`,
    ...args,
  ]);
  await running.says("listening on");
  return running;
}

/** A client that keeps its side open until told otherwise. */
class Client {
  readonly socket: Socket;
  #received: Buffer[] = [];
  readonly #ended = Promise.withResolvers<void>();

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on("data", (chunk: Buffer) => this.#received.push(chunk));
    for (const event of ["end", "close", "error"]) socket.on(event, () => this.#ended.resolve());
  }

  static async open(at = path): Promise<Client> {
    const socket = connect({ path: at, allowHalfOpen: true });
    const client = new Client(socket);
    await new Promise<void>((resolve, reject) => {
      socket.once("connect", resolve);
      socket.once("error", reject);
    });
    return client;
  }

  /** Tries again where the backlog is full, which this runtime's client gives as a refusal. */
  static async openInFlood(): Promise<Client> {
    for (let attempt = 0; ; attempt++) {
      try {
        return await Client.open();
      } catch (thrown) {
        if (attempt === 200) throw thrown;
        await Bun.sleep(5);
      }
    }
  }

  send(data: string | Uint8Array): this {
    this.socket.write(data);
    return this;
  }

  get bytes(): Buffer {
    return Buffer.concat(this.#received);
  }

  /** Everything up to the other side's end of output. */
  async toEnd(): Promise<string> {
    await this.#ended.promise;
    return this.bytes.toString();
  }

  /** Ends this side's output, too. */
  end(): Promise<string> {
    this.socket.end();
    return this.toEnd();
  }

  async has(text: string): Promise<void> {
    await eventually(JSON.stringify(text), () => this.bytes.includes(text));
  }
}

/** Sends many round trips through another connection: whatever the bridge does by itself is done. */
async function carryOtherTraffic(): Promise<void> {
  await guest(77, echo);
  const client = await Client.open();
  await client.send("CONNECT 77\n").has("OK ");
  for (let round = 0; round < 50; round++) {
    await client.send(`round ${round}\n`).has(`round ${round}\n`);
  }
  client.socket.destroy();
}

const descriptors = (pid: number) => readdirSync(`/proc/${pid}/fd`).length;

/** How many descriptors the process comes back to. */
async function settlesAt(pid: number, count: number): Promise<void> {
  await eventually(`${count} descriptors`, () => descriptors(pid) <= count);
}

describe("bridge", () => {
  test("sends each client a number that counts up from 2^30, then carries bytes", async () => {
    await guest(5000, echo);
    await using _bridge = await bridge();
    for (let number = 1_073_741_824; number < 1_073_741_827; number++) {
      const client = (await Client.open()).send("CONNECT 5000\n");
      await client.has(`OK ${number}\n`);
      client.send("hello").socket.end();
      expect(await client.toEnd()).toBe(`OK ${number}\nhello`);
    }
  });

  test("loses no data that follows the line at once", async () => {
    await guest(5000, echo);
    await using _bridge = await bridge();
    const data = randomBytes(3_000_000);
    const client = (await Client.open()).send(
      Buffer.concat([Buffer.from("connect  5000\r\n"), data]),
    );
    client.socket.end();
    await client.toEnd();
    const answer = client.bytes;
    const begin = answer.indexOf("\n") + 1;
    expect(answer.subarray(0, begin).toString()).toBe("OK 1073741824\n");
    expect(answer.subarray(begin).equals(data)).toBe(true);
  });

  test("accepts a line byte by byte", async () => {
    await guest(5000, echo);
    await using _bridge = await bridge();
    const client = await Client.open();
    for (const byte of "CONNECT 5000\nx") {
      client.send(byte);
      await Bun.sleep(2);
    }
    await client.has("OK 1073741824\nx");
    client.socket.destroy();
  });

  test("passes on a half-close of the client, and the answer after it", async () => {
    const half = Promise.withResolvers<() => void>();
    await guest(1, (socket) => {
      let count = 0;
      socket.on("data", (chunk: Buffer) => (count += chunk.length));
      socket.on("end", () => half.resolve(() => socket.end(`${count} bytes`)));
    });
    await using _bridge = await bridge();
    const client = (await Client.open()).send("CONNECT 1\n12345");
    client.socket.end();
    const answer = await half.promise;
    await carryOtherTraffic();
    answer();
    expect(await client.toEnd()).toBe("OK 1073741824\n5 bytes");
  });

  test("passes on a half-close of the guest, and the bytes that the client sends after it", async () => {
    const received = Promise.withResolvers<string>();
    await guest(1, (socket) => {
      socket.end("bye");
      let text = "";
      socket.on("data", (chunk: Buffer) => (text += chunk.toString()));
      socket.on("end", () => received.resolve(text));
    });
    await using _bridge = await bridge();
    const client = (await Client.open()).send("CONNECT 1\n");
    expect(await client.toEnd()).toBe("OK 1073741824\nbye");
    await carryOtherTraffic();
    client.send("still here").socket.end();
    expect(await received.promise).toBe("still here");
  });

  test.each([
    ["a dead port", "CONNECT 9\n"],
    ["the port that means any", "CONNECT 4294967295\n"],
    ["garbage", "GET / HTTP/1.1\r\n\r\n"],
    ["an empty line", "\n"],
    ["a line without a port", "CONNECT\n"],
    ["a line that is too long", `CONNECT ${" ".repeat(30)}1\n`],
    ["a megabyte without a line", new Uint8Array(1_000_000).fill(0x78)],
    ["bytes that are no text", new Uint8Array([0xff, 0xfe, 0x0a])],
  ])("closes on %s without an answer", async (_, line) => {
    await guest(1, echo);
    await using running = await bridge();
    const before = descriptors(running.pid);
    const client = (await Client.open()).send(line);
    expect(await client.toEnd()).toBe("");
    await settlesAt(running.pid, before);
    await running.says("vsockbox: warning: unix: ");
    const next = (await Client.open()).send("CONNECT 1\n");
    await next.has("OK ");
    next.socket.destroy();
  });

  test("closes a client that sends no line in time", async () => {
    await using running = await bridge("--line-timeout", "300ms");
    const client = (await Client.open()).send("CONN");
    expect(await client.toEnd()).toBe("");
    await running.says("no CONNECT line in time");
  });

  test("closes the oldest client without a line for one too many", async () => {
    await guest(1, echo);
    await using running = await bridge("--max-pending", "2");
    const clients = [await Client.open(), await Client.open(), await Client.open()];
    expect(await clients[0]?.toEnd()).toBe("");
    await running.says("too many clients");
    for (const client of clients.slice(1)) {
      await client.send("CONNECT 1\n").has("OK ");
      client.socket.destroy();
    }
  });

  test("closes clients above the limit until others have ended", async () => {
    await guest(1, echo);
    await using running = await bridge("--max-connections", "1");
    const first = (await Client.open()).send("CONNECT 1\n");
    await first.has("OK ");
    expect(await (await Client.open()).send("CONNECT 1\n").toEnd()).toBe("");
    await running.says("--max-connections");
    first.socket.destroy();
    await eventually("room", async () => {
      const answer = await (await Client.open()).send("CONNECT 1\n").end();
      return answer.startsWith("OK ");
    });
  });

  test("that ends removes its socket and closes its connections", async () => {
    await guest(1, echo);
    await using running = await bridge();
    const client = (await Client.open()).send("CONNECT 1\n");
    await client.has("OK ");
    running.process.kill("SIGTERM");
    expect(await running.process.exited).toBe(0);
    await client.toEnd();
    expect(existsSync(path)).toBe(false);
  });
});

describe("a peer that vanishes", () => {
  const silent = () => undefined;

  test.each([
    ["before its line", "", false],
    ["in the middle of its line", "CONNE", false],
    ["right behind its line", "CONNECT 1\n", false],
    ["with data under way", `CONNECT 1\n${"x".repeat(100_000)}`, false],
    ["before a dead port is found", "CONNECT 2\n", false],
    ["once it is connected", "CONNECT 1\n", true],
  ])("%s leaks nothing", async (_, line, waits) => {
    const guests = new Set<Socket>();
    await guest(1, (socket) => {
      guests.add(socket.resume());
      socket.on("close", () => guests.delete(socket));
    });
    await using running = await bridge();
    const before = descriptors(running.pid);
    for (let round = 0; round < 20; round++) {
      const client = (await Client.open()).send(line);
      if (waits) await client.has("OK ");
      client.socket.destroy();
    }
    await settlesAt(running.pid, before);
    for (const socket of guests) socket.destroy();
  });

  test("on the guest's side leaks nothing, though the client stays", async () => {
    const guests: Socket[] = [];
    await guest(1, (socket) => guests.push(socket));
    await using running = await bridge();
    const before = descriptors(running.pid);
    const clients = await Promise.all(Array.from({ length: 10 }, () => Client.open()));
    for (const client of clients) await client.send("CONNECT 1\n").has("OK ");
    for (const socket of guests) socket.destroy();
    await settlesAt(running.pid, before);
    for (const client of clients) client.socket.destroy();
  });

  test("after its half-close leaks nothing, though the guest never answers", async () => {
    await guest(1, silent);
    await using running = await bridge();
    const before = descriptors(running.pid);
    const clients = await Promise.all(Array.from({ length: 10 }, () => Client.open()));
    for (const client of clients) {
      await client.send("CONNECT 1\nx").has("OK ");
      client.socket.end();
    }
    await carryOtherTraffic();
    await settlesAt(running.pid, before + 20);
    for (const client of clients) client.socket.destroy();
    await settlesAt(running.pid, before);
  });

  test("among ten thousand clients that never send a line leaks nothing", async () => {
    await guest(1, echo);
    await using running = await bridge("--max-pending", "500", "--line-timeout", "60s");
    const before = descriptors(running.pid);
    const limit = Number(
      /^Max open files +(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1],
    );
    const count = Math.min(10_000, limit - 600);
    const clients: Client[] = [];
    for (let made = 0; made < count; made += 50) {
      clients.push(...(await Promise.all(Array.from({ length: 50 }, () => Client.openInFlood()))));
    }
    expect(descriptors(running.pid)).toBeLessThanOrEqual(before + 510);
    const last = (await Client.openInFlood()).send("CONNECT 1\n");
    await last.has("OK ");
    last.socket.destroy();
    for (const client of clients) client.socket.destroy();
    await settlesAt(running.pid, before);
  });
});

describe("bridge the other way", () => {
  test("joins listeners to a port of a hybrid socket", async () => {
    await guest(5000, echo);
    await using _bridge = await bridge();
    const plain = scratch.file("plain.sock");
    const other = scratch.file("other.vsock");
    await using back = new Running([
      ...["bridge", "--listen", `unix:${plain}`, "--listen", `hybrid:${other}:7`],
      ...["--hybrid", path, "--port", "5000"],
    ]);
    await back.says(`hybrid:${other}:7`);
    for (const at of [plain, `${other}_7`]) {
      const client = (await Client.open(at)).send("ping");
      await client.has("ping");
      client.socket.end();
      expect(await client.toEnd()).toBe("ping");
    }
  });

  test("closes the connection if no process listens in the guest", async () => {
    await using _bridge = await bridge();
    const plain = scratch.file("plain.sock");
    await using back = new Running([
      ...["bridge", "--listen", `unix:${plain}`, "--hybrid", path, "--port", "9"],
    ]);
    await back.says("listening on");
    const before = descriptors(back.pid);
    expect(await (await Client.open(plain)).toEnd()).toBe("");
    await settlesAt(back.pid, before);
  });
});

test("exec through the bridge reaches an agent", async () => {
  await using agent = new Running(["agent", "--listen", `unix:${prefix}_5000`]);
  await agent.says("listening on");
  await using running = await bridge();
  const before = descriptors(running.pid);
  const run = await vsockbox(["exec", `hybrid:${path}`, "--", "sh", "-c", "cat; exit 3"], {
    stdin: "through",
  });
  expect(run).toEqual({ status: 3, stdout: "through", stderr: "" });
  const dead = await vsockbox(["exec", `hybrid:${path}:77`, "true"]);
  expect([dead.status, dead.stderr]).toEqual([69, expect.stringContaining("hybrid:")]);
  await settlesAt(running.pid, before);
});

test("bridge --json prints the address that it listens on and its target", async () => {
  await using running = new Running([
    ...["bridge", "--uds-path", path, "--to", `unix:${prefix}`, "--json"],
  ]);
  const { value } = await running.process.stdout.getReader().read();
  expect(JSON.parse(new TextDecoder().decode(value))).toEqual({
    listening: `unix:${path}`,
    to: `unix:${prefix}`,
  });
});

test.each([
  [[], "--uds-path is missing"],
  [["--to", "vsock:3"], "--uds-path is missing"],
  [["--uds-path", "/x"], "--to is missing"],
  [["--uds-path", "/x", "--to", "vsock:3:5"], "the port is what each client's CONNECT line names"],
  [["--uds-path", "/x", "--to", "vsock:any"], "any CID is for listening"],
  [["--uds-path", "/x", "--to", "unix:/y", "--forward-listen", "1"], "requires a CID"],
  [["--uds-path", "/x", "--to", "vsock:3", "--forward-listen", "1+1"], "1 is given twice"],
  [
    ["--uds-path", "/x", "--to", "vsock:3", "--listen", "unix:/y"],
    "--uds-path cannot be used with --listen",
  ],
  [["--hybrid", "/x", "--port", "5"], "--listen is missing"],
  [["--listen", "unix:/x", "--port", "5"], "--hybrid is missing"],
  [["--listen", "unix:/x", "--hybrid", "/y"], "--port is missing"],
  [["--listen", "unix:/x", "--hybrid", "/y", "--port", "x"], 'invalid value "x" for --port'],
])("bridge refuses %j", async (args, message) => {
  expect(await vsockbox(["bridge", ...args])).toEqual({
    status: 64,
    stdout: "",
    stderr: expect.stringContaining(message),
  });
});
