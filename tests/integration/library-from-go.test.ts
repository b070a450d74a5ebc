/** The table "In Go … here …" of docs/library.md: each row is carried out. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import * as library from "vsockbox";
import { Addr, dial, getLocalCid, listen, listenCid, VsockboxError } from "vsockbox";
import { execPipe, listFiles, MessageType, openPortForward, readFile, readFull } from "vsockbox";
import { readMessage, sendMessage, writeFile, type Conn, type Listener } from "vsockbox";
import { listenSocket } from "../../src/ffi/socket.ts";
import { ScratchDirectory, TestAgent } from "../support/binary.ts";

const page = readFileSync(join(import.meta.dir, "../../docs/library.md"), "utf8");

const start = page.indexOf("| in Go ");

/** The rows of the table: both cells. */
const tableRows = page
  .slice(start, page.indexOf("\n\n", start))
  .split("\n")
  .slice(2)
  .map((line) =>
    line
      .slice(2, -2)
      .split(" | ")
      .map((cell) => cell.trim()),
  )
  .map(([go = "", here = ""]) => [go, here] as const);

/** What a row has to work with. */
interface Context {
  listener: Listener;
  /** Both ends of a connection. */
  near: Conn;
  far: Conn;
  /** Connects to an agent. */
  agent: () => Promise<Conn>;
  scratch: ScratchDirectory;
}

async function errorOf(action: () => unknown): Promise<VsockboxError> {
  try {
    await action();
  } catch (thrown) {
    if (thrown instanceof VsockboxError) return thrown;
    throw thrown;
  }
  throw new Error("it did not fail");
}

/** A connection whose peer sends these bytes and reads nothing, or fails to be written to. */
const peerThatSends = (bytes: Uint8Array, write: () => Promise<void> = () => Promise.resolve()) => {
  let rest = bytes;
  return {
    read({ maxBytes }: { maxBytes: number }) {
      const chunk = rest.subarray(0, maxBytes);
      rest = rest.subarray(maxBytes);
      return Promise.resolve(chunk.length === 0 ? undefined : chunk);
    },
    write,
    close: () => Promise.resolve(),
  };
};

const text = (bytes: Uint8Array | undefined) => Buffer.from(bytes ?? []).toString();

/** A message of the agent's wire: u8 type, u32 length, payload. */
function message(type: number, payload: string): Uint8Array {
  const bytes = Buffer.alloc(5 + payload.length);
  bytes.writeUInt8(type, 0);
  bytes.writeUInt32BE(payload.length, 1);
  bytes.write(payload, 5);
  return bytes;
}

/** The rows by their first cell. AF_VSOCK itself is used by tests/vm/library.ts. */
const CHECKS: Readonly<Record<string, (context: Context) => unknown>> = {
  "`AF_VSOCK`": () => expect(library.AF_VSOCK).toBe(40),
  "`VMADDR_CID_ANY`": () => expect(library.VMADDR_CID_ANY).toBe(0xffff_ffff),
  "`VMADDR_CID_HYPERVISOR`": () => expect(library.VMADDR_CID_HYPERVISOR).toBe(0),
  "`VMADDR_CID_LOCAL`": () => expect(library.VMADDR_CID_LOCAL).toBe(1),
  "`VMADDR_CID_HOST`": () => expect(library.VMADDR_CID_HOST).toBe(2),
  "`VMADDR_PORT_ANY`": () => expect(library.VMADDR_PORT_ANY).toBe(0xffff_ffff),
  "`IOCTL_VM_SOCKETS_GET_LOCAL_CID`": () =>
    expect(library.IOCTL_VM_SOCKETS_GET_LOCAL_CID).toBe(0x7b9),
  "`ServicePortExec`": () => expect(library.SERVICE_PORT_EXEC).toBe(5000),
  "`ServicePortVFS`": () => expect(library.SERVICE_PORT_VFS).toBe(5001),
  "`ServicePortReady`": () => expect(library.SERVICE_PORT_READY).toBe(5002),
  "`MsgTypeExec` … `MsgTypeFileResult`": () => {
    expect([MessageType.Exec, MessageType.FileResult]).toEqual([1, 17]);
    const types: readonly number[] = Object.values(MessageType);
    expect(types).toEqual(Array.from({ length: 17 }, (_, at) => at + 1));
  },
  "`GetLocalCID()`": async () =>
    expect(await errorOf(() => getLocalCid())).toMatchObject({ step: "open_device" }),
  "`Dial(3, 5000)`": async () => {
    for (const dialled of [() => dial(3, 5000), () => dial("vsock:3:5000")]) {
      expect(await errorOf(dialled)).toMatchObject({ address: "vsock:3:5000", code: "REFUSED" });
    }
  },
  "`Listen(5000)`": async () =>
    expect(await errorOf(() => listen(5000))).toMatchObject({ address: "vsock:any:5000" }),
  "`ListenCID(1, 5000)`": async () =>
    expect(await errorOf(() => listenCid(1, 5000))).toMatchObject({ address: "vsock:1:5000" }),
  "`listener.Accept()`": async ({ listener }) => {
    const [near, far] = await Promise.all([dial(listener.address), listener.accept()]);
    await near.close();
    expect(await far.read()).toBeUndefined();
    await far.close();
  },
  "`listener.Addr()`": ({ listener }) =>
    expect(String(listener.address)).toMatch(/^unix:.*table\.sock$/),
  "`listener.Close()`": async ({ scratch }) => {
    const listener = listen(`unix:${scratch.file("closed.sock")}`);
    listener.close();
    expect(await errorOf(() => listener.accept())).toMatchObject({ code: "ABORTED" });
  },
  "`conn.Read(b)`": async ({ near, far }) => {
    await near.write("abc");
    expect(text(await far.read({ maxBytes: 2 }))).toBe("ab");
    expect(text(await far.read())).toBe("c");
  },
  "`io.EOF`": async ({ near, far }) => {
    await near.closeWrite();
    const bytes = await far.read();
    expect(bytes === undefined).toBe(true);
  },
  "`n, err := conn.Write(b)`": async ({ near, far }) => {
    await near.write("abc");
    expect(near.bytesWritten).toBe(3);
    expect(text(await far.read())).toBe("abc");
  },
  "`conn.Close()`": async ({ near }) => {
    await near.close();
    expect(await errorOf(() => near.read())).toMatchObject({ code: "ABORTED" });
  },
  "`conn.File().Fd()`": ({ near }) => expect(near.descriptor).toBeGreaterThan(2),
  "`conn.LocalAddr()`": ({ far, listener }) =>
    expect(String(far.localAddress)).toBe(String(listener.address)),
  "`conn.RemoteAddr()`": ({ near, listener }) =>
    expect(String(near.remoteAddress)).toBe(String(listener.address)),
  "`conn.SetDeadline(t)`": async ({ near }) => {
    near.setDeadline(new Date());
    expect(await errorOf(() => near.read())).toMatchObject({ code: "TIMEOUT" });
    expect(await errorOf(() => near.write("x"))).toMatchObject({ code: "TIMEOUT" });
  },
  "`conn.SetReadDeadline(t)`": async ({ near }) => {
    near.setReadDeadline(Date.now() + 1);
    expect(await errorOf(() => near.read())).toMatchObject({ code: "TIMEOUT" });
    await near.write("x");
  },
  "`conn.SetWriteDeadline(t)`": async ({ near, far }) => {
    near.setWriteDeadline(Date.now());
    expect(await errorOf(() => near.write("x"))).toMatchObject({ code: "TIMEOUT" });
    await far.write("y");
    expect(text(await near.read())).toBe("y");
  },
  "`conn.SetDeadline(time.Time{})`": async ({ near, far }) => {
    near.setDeadline(0);
    near.setDeadline(undefined);
    await near.write("x");
    expect(text(await far.read())).toBe("x");
  },
  "`os.ErrDeadlineExceeded`": async ({ near }) => {
    near.setDeadline(0);
    const error = await errorOf(() => near.read());
    expect(error.code === "TIMEOUT").toBe(true);
  },
  "`Addr{CID: 3, Port: 5000}`": () => {
    const address = new Addr({ kind: "vsock", cid: 3, port: 5000 });
    expect(address).toMatchObject({ cid: 3, port: 5000 });
    expect(Addr.parse("3:5000")).toEqual(address);
  },
  "`addr.Network()`": ({ near }) => {
    const address = near.remoteAddress;
    expect(address.network).toBe("unix");
  },
  "`addr.String()`": () => {
    const address = Addr.parse("vsock/3", 5000);
    expect(String(address)).toBe("vsock:3:5000");
  },
  "`ErrCreateSocket`": async () => {
    const error = await errorOf(() => dial(3, 5000));
    expect(error.step === "create_socket").toBe(true);
  },
  "`ErrBind`": async ({ scratch }) => {
    const address = `unix:${scratch.file("bind.sock")}`;
    await using _listener = listen(address);
    const error = await errorOf(() => listen(address));
    expect(error.step === "bind").toBe(true);
    expect(error).toMatchObject({ code: "CANNOT_CREATE", errno: "EADDRINUSE" });
  },
  "`ErrListen`": async () => {
    // After bind(2), listen(2) fails for no address: the call of the library, on no socket.
    const error = await errorOf(() => listenSocket(-1, { operation: "listen" }));
    expect(error.step === "listen").toBe(true);
  },
  "`ErrAccept`": async ({ scratch }) => {
    const listener = listen(`unix:${scratch.file("accept.sock")}`);
    const accepted = errorOf(() => listener.accept());
    listener.close();
    const error = await accepted;
    expect(error.step === "accept").toBe(true);
  },
  "`ErrConnect`": async ({ scratch }) => {
    const error = await errorOf(() => dial(`unix:${scratch.file("nothing.sock")}`));
    expect(error.step === "connect").toBe(true);
    expect(error).toMatchObject({ code: "UNAVAILABLE", errno: "ENOENT" });
  },
  "`ErrOpenDevice`": async () => {
    const error = await errorOf(() => getLocalCid());
    expect(error.step === "open_device").toBe(true);
  },
  "`ErrGetLocalCID`": () => {
    // The ioctl fails on no kernel that has the device.
    const error = { step: library.ERROR_STEPS.find((step) => step === "get_local_cid") };
    expect(error.step === "get_local_cid").toBe(true);
  },
  "`ReadFull(conn, buf)`": async ({ near, far }) => {
    await near.write("abcdef");
    expect(text(await readFull(far, 4))).toBe("abcd");
    expect(text(await far.read())).toBe("ef");
  },
  "`SendMessage(conn, t, data)`, `WriteMessage(conn, t, data)`": async ({ near, far }) => {
    await sendMessage(near, MessageType.Stdin, "abc");
    expect(await readFull(far, 8)).toEqual(new Uint8Array(message(7, "abc")));
  },
  "`ReadMessage(conn)`": async ({ near, far }) => {
    await near.write(message(3, "out"));
    const received = await readMessage(far);
    expect([received?.type, text(received?.payload)]).toEqual([3, "out"]);
  },
  "`ExecPipe(ctx, conn, command, opts)`": async ({ agent }) => {
    const { signal } = new AbortController();
    const conn = await agent();
    const result = await execPipe(conn, "cat; exit 3", { stdin: "abc", signal });
    expect([result.exitCode, text(result.stdout)]).toEqual([3, "abc"]);
  },
  "`OpenPortForward(conn, host, port)`": async ({ agent }) => {
    using server = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch: () => new Response("there"),
    });
    const conn = await agent();
    await openPortForward(conn, { host: "127.0.0.1", port: server.port ?? 0 });
    await conn.write("GET / HTTP/1.0\r\n\r\n");
    let answer = "";
    for await (const chunk of conn) answer += text(chunk);
    expect(answer).toEndWith("there");
    await conn.close();
  },
  "`WriteFileVsock(conn, path, content, mode)`": async ({ agent, scratch }) => {
    await using conn = await agent();
    await writeFile(conn, scratch.file("written"), "content", { mode: 0o600 });
    expect(readFileSync(scratch.file("written"), "utf8")).toBe("content");
  },
  "`ReadFileVsock(conn, path)`": async ({ agent }) => {
    await using conn = await agent();
    expect(text(await readFile(conn, join(import.meta.dir, "../../package.json")))).toContain(
      '"vsockbox"',
    );
  },
  "`ListFilesVsock(conn, path)`": async ({ agent }) => {
    await using conn = await agent();
    const files = await listFiles(conn, join(import.meta.dir, "../../src"));
    expect(files.find(({ name }) => name === "index.ts")).toMatchObject({ type: "file" });
  },
  "`ErrWriteHeader`, `ErrWriteRequest`": async () => {
    const failing = () =>
      Promise.reject(new VsockboxError({ code: "TRANSPORT", operation: "write to" }));
    const conn = peerThatSends(new Uint8Array(0), failing);
    const error = await errorOf(() => execPipe(conn, "true"));
    expect(error.step === "write_request").toBe(true);
  },
  "`ErrReadResponseHeader`": async () => {
    const conn = peerThatSends(Uint8Array.of(1, 0, 0));
    const error = await errorOf(() => readMessage(conn));
    expect(error.step === "read_response_header").toBe(true);
  },
  "`ErrReadResponseData`": async () => {
    const conn = peerThatSends(message(3, "output").subarray(0, 8));
    const error = await errorOf(() => readMessage(conn));
    expect(error.step === "read_response_data").toBe(true);
  },
  "`ErrReadPortForwardResponse`": async () => {
    const conn = peerThatSends(new Uint8Array(0));
    const error = await errorOf(() => openPortForward(conn, { port: 80 }));
    expect(error.step === "read_port_forward_response").toBe(true);
  },
  "`ErrPortForwardRejected`": async ({ agent }) => {
    await using conn = await agent();
    const error = await errorOf(() => openPortForward(conn, { host: "127.0.0.1", port: 1 }));
    expect(error.step === "port_forward_rejected").toBe(true);
  },
  "`ErrUnexpectedPortForwardMsg`": async () => {
    const conn = peerThatSends(message(3, "out"));
    const error = await errorOf(() => openPortForward(conn, { port: 80 }));
    expect(error.step === "unexpected_port_forward_message").toBe(true);
  },
  "`ErrEncodeFileRequest`": async ({ agent }) => {
    await using conn = await agent();
    const tooMuch = new Uint8Array(17 * 1024 * 1024);
    const error = await errorOf(() => writeFile(conn, "/tmp/x", tooMuch));
    expect(error.step === "encode_file_request").toBe(true);
  },
  "`ErrFileRemote`": async ({ agent }) => {
    await using conn = await agent();
    const error = await errorOf(() => readFile(conn, "/nowhere"));
    expect(error.step === "file_remote").toBe(true);
  },
};

/** Names of a cell that its check must use: what is called, the members, and the constants. */
function namesOf(here: string): string[] {
  const code = [...here.matchAll(/`([^`]+)`/g)].map(([, found = ""]) => found).join(" ");
  const names = code.matchAll(/\.(\w+)|(\w+)\(|\b([A-Z]\w+)|"(\w+)"/g);
  return [...names].map(
    ([, member, called, constant, value]) => member ?? called ?? constant ?? value ?? "",
  );
}

/** What is carried out by tests: the page's programs, and the second cells of the table. */
const carriedOut = [
  ...[...page.matchAll(/^```ts\n(.*?)^```$/gms)].map(([, code = ""]) => code),
  ...tableRows.map(([, here]) => here),
].join("\n");

const isCarriedOut = (name: string) => new RegExp(`\\b${name}\\b`).test(carriedOut);

/** Members of Conn, Listener and Addr in the frozen surface. */
const surface = readFileSync(join(import.meta.dir, "../unit/index.surface.txt"), "utf8");
const membersOf = (name: string) =>
  [
    ...(surface.split(`${name}\n`)[1]?.split("\n\n")[0] ?? "").matchAll(
      /^ {4}(?:\w+ )*?(\w+)[(:]/gm,
    ),
  ]
    .map(([, member = ""]) => member)
    .filter((member) => member !== "constructor");

describe("docs/library.md has an example of", () => {
  test("each value that is exported", () => {
    expect(Object.keys(library).filter((name) => !isCarriedOut(name))).toEqual([]);
  });

  test.each(["export type Conn", "export type Listener", "export Addr"])(
    "each member of %s",
    (name) => {
      const members = membersOf(name);
      expect(members.length).toBeGreaterThan(2);
      expect(members.filter((member) => !isCarriedOut(member))).toEqual([]);
    },
  );
});

describe("the table of docs/library.md", () => {
  let agent: TestAgent;
  let scratch: ScratchDirectory;
  let listener: Listener;
  beforeAll(async () => {
    agent = await TestAgent.start();
    scratch = new ScratchDirectory();
    listener = listen(`unix:${scratch.file("table.sock")}`);
  });
  afterAll(async () => {
    listener.close();
    await agent[Symbol.asyncDispose]();
    scratch[Symbol.dispose]();
  });

  test("has the rows that are carried out here", () => {
    expect(tableRows.map(([go]) => go)).toEqual(Object.keys(CHECKS));
  });

  for (const [go, here] of tableRows) {
    test(`${go}: ${here}`, async () => {
      const check = CHECKS[go];
      if (check === undefined) throw new Error("it is not carried out");
      const source = check.toString();
      expect(namesOf(here).filter((name) => !source.includes(name))).toEqual([]);
      const [near, far] = await Promise.all([dial(listener.address), listener.accept()]);
      try {
        await check({ listener, near, far, scratch, agent: () => dial(agent.address) });
      } finally {
        await Promise.all([near.close(), far.close()]);
      }
    });
  }
});
