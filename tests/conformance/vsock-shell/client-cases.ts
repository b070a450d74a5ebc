/**
 * What a client has to do. `required` is what a server of either kind needs; `strict` is what ours
 * does. The command lines are the README's, which the C client does not know.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { holds, same } from "../expect.ts";
import { type Case, casesOf } from "../runner.ts";
import type { ClientSubject } from "./client-subject.ts";
import { message, type ShellWire, Type } from "./wire.ts";

/** What stands in front of the first NUL: all that a C server sees. */
const text = (data: Buffer) => data.subarray(0, data.indexOf(0)).toString();

const end = (status?: number) => {
  const data = Buffer.alloc(status === undefined ? 0 : 4);
  if (status !== undefined) data.writeInt32LE(status);
  return message(Type.CLIENT_END, data);
};

/** Takes an upload as a C server does; gives the bytes. */
async function take(wire: ShellWire): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for (;;) {
    const next = await wire.next();
    holds(next?.type === Type.FILE_DATA || next?.type === Type.FILE_DATA_END, `type ${next?.type}`);
    if (next === undefined || next.type === Type.FILE_DATA_END) return Buffer.concat(chunks);
    holds(next.data.length <= 4096, "a message is larger than 4,096 bytes");
    chunks.push(next.data);
  }
}

/** The client ends with this status, and says something like this. */
async function fails(
  done: Promise<{ status: number; stderr: string }>,
  status: number,
  reason: RegExp,
): Promise<void> {
  const run = await done;
  same("status", run.status, status);
  holds(reason.test(run.stderr), `it says ${JSON.stringify(run.stderr)}`);
}

export const CLIENT_CASES: readonly Case<ClientSubject>[] = [
  ...casesOf<ClientSubject>("Command", "required", {
    "the open comes first, a C string": async (client) => {
      const { wire, done } = await client.start("echo a");
      same("the command", text(await wire.expect(Type.OPEN_CMD)), "echo a");
      await wire.send(message(Type.PTY_DATA, "out\r\n"), end());
      same("output", (await done).stdout, "out\r\n");
    },
    "input is CLIENT_DATA, and its end Ctrl-D": async (client) => {
      const { wire, type } = await client.start("cat");
      await wire.expect(Type.OPEN_CMD);
      await type("typed\n");
      let typed = "";
      while (!typed.includes("\u0004")) typed += (await wire.expect(Type.CLIENT_DATA)).toString();
      same("input", typed, "typed\n\u0004");
    },
    "an empty PTY_DATA shows nothing": async (client) => {
      const { wire, done } = await client.start("true");
      await wire.send(message(Type.PTY_DATA));
      await wire.expect(Type.OPEN_CMD);
      await wire.send(message(Type.PTY_DATA), message(Type.PTY_DATA, "x"), end());
      same("output", (await done).stdout, "x");
    },
  }),
  ...casesOf<ClientSubject>("Command", "strict", {
    "the exit status is that of CLIENT_END": async (client) => {
      const { wire, done } = await client.start("x");
      await wire.expect(Type.OPEN_CMD);
      await wire.send(end(42));
      same("status", (await done).status, 42);
    },
    "without one it is 0": async (client) => {
      const { wire, done } = await client.start("x");
      await wire.expect(Type.OPEN_CMD);
      await wire.send(end());
      same("status", (await done).status, 0);
    },
    "a close without CLIENT_END is a broken connection": async (client) => {
      const { wire, done } = await client.start("x");
      await wire.expect(Type.OPEN_CMD);
      wire.close();
      same("status", (await done).status, 255);
    },
    "it asks for more behind the NUL": async (client) => {
      const { wire } = await client.start("x");
      const data = await wire.expect(Type.OPEN_CMD);
      const asked = JSON.parse(data.subarray(data.indexOf(0) + 1).toString()) as { v: number };
      same("v", asked.v, 1);
    },
    "a refusal is told": async (client) => {
      const { wire, done } = await client.start("x");
      await wire.expect(Type.OPEN_CMD);
      await wire.send(message(Type.FILE_READY_SEND, "KO no shell here\0"), end());
      await fails(done, 77, /no shell here/);
    },
    "wrong magic": async (client) => {
      const { wire, done } = await client.start("x");
      await wire.send(message(Type.PTY_DATA, "", 1));
      await fails(done, 65, /does not begin with/);
    },
    "a type that is none": async (client) => {
      const { wire, done } = await client.start("x");
      await wire.send(message(0x99));
      await fails(done, 65, /unknown message type/);
    },
    "more than 4,096 bytes": async (client) => {
      const { wire, done } = await client.start("x");
      await wire.send(message(Type.PTY_DATA, "x".repeat(5000)));
      await fails(done, 65, /more than 4096/);
    },
  }),
  ...casesOf<ClientSubject>("Upload to a C server", "required", {
    "START, DATA without BEGIN, END; done at the ACK": async (client) => {
      const bytes = Buffer.from("0123456789".repeat(2000));
      writeFileSync(client.file("f"), bytes);
      const { wire, done } = await client.start("-u", "f:/far/f");
      same("the pair", text(await wire.expect(Type.FILE_UPLOAD_START)), "f /far/f");
      await wire.send(message(Type.FILE_READY_SEND, "OK f /far/f\0"));
      holds((await take(wire)).equals(bytes), "the bytes differ");
      await wire.send(message(Type.FILE_DATA_END_ACK));
      const bye = await wire.next();
      same("the farewell is what a C server knows", bye?.type, Type.OPEN_CMD);
      wire.close();
      same("status", (await done).status, 0);
    },
    "KO: the reason, and nothing is sent": async (client) => {
      writeFileSync(client.file("f"), "x");
      const { wire, done } = await client.start("-u", "f:/far/f");
      await wire.expect(Type.FILE_UPLOAD_START);
      await wire.send(message(Type.FILE_READY_SEND, "KO it is full\0"));
      same("then", (await wire.next())?.type, Type.OPEN_CMD);
      wire.close();
      await fails(done, 77, /it is full/);
    },
    "a path with a blank is something that a C server refuses": async (client) => {
      writeFileSync(client.file("a b"), "x");
      const { wire, done } = await client.start("--upload", "a b", "--to", "/tmp/a b");
      const [source = "", target = ""] = text(await wire.expect(Type.FILE_UPLOAD_START)).split(" ");
      holds(!existsSync(source) && !existsSync(target.slice(0, target.lastIndexOf("/"))), target);
      const reason = `KO destination directory '${target.slice(0, -2)}' does not exist\0`;
      await wire.send(message(Type.FILE_READY_SEND, reason));
      await wire.next();
      wire.close();
      await fails(done, 69, /has a blank/);
    },
  }),
  ...casesOf<ClientSubject>("Download from a C server", "required", {
    "BEGIN is taken, the file stands when END has come": async (client) => {
      const { wire, done } = await client.start("-d", "/far/f:f");
      same("the pair", text(await wire.expect(Type.FILE_DOWNLOAD_START)), "/far/f f");
      await wire.send(message(Type.FILE_READY_RECV, "OK /far/f f\0"));
      await wire.send(message(Type.FILE_DATA_BEGIN), message(Type.FILE_DATA, "one "));
      await Bun.sleep(100);
      holds(!existsSync(client.file("f")), "it stands there already");
      await wire.send(message(Type.FILE_DATA, "two"), message(Type.FILE_DATA_END));
      for (let next = await wire.next(); next?.type !== Type.OPEN_CMD; next = await wire.next()) {
        same("to keep it going", next?.type, Type.FILE_DOWNLOAD_START);
      }
      wire.close();
      same("status", (await done).status, 0);
      same("the file", readFileSync(client.file("f"), "utf8"), "one two");
    },
    "what keeps it going names no file": async (client) => {
      const { wire } = await client.start("-d", "/far/f:f");
      await wire.expect(Type.FILE_DOWNLOAD_START);
      await wire.send(message(Type.FILE_READY_RECV, "OK /far/f f\0"));
      await wire.send(message(Type.FILE_DATA, "x".repeat(4096)));
      const wake = await wire.next();
      same("type", wake?.type, Type.FILE_DOWNLOAD_START);
      const [path = "/"] = text(wake?.data ?? Buffer.alloc(1)).split(" ");
      holds(!existsSync(path), `${path} exists`);
    },
    "half a file is none": async (client) => {
      const { wire, done } = await client.start("-d", "/far/f:f");
      await wire.expect(Type.FILE_DOWNLOAD_START);
      await wire.send(message(Type.FILE_READY_RECV, "OK /far/f f\0"));
      await wire.send(message(Type.FILE_DATA, "half"));
      await wire.next();
      wire.close();
      same("status", (await done).status, 255);
      holds(!existsSync(client.file("f")), "it stands there");
    },
  }),
  ...casesOf<ClientSubject>("Transfer with ours", "strict", {
    "with no features it is in messages, BEGIN and ACK included": async (client) => {
      const { wire, done } = await client.start("-d", "/far/f:f");
      const data = await wire.expect(Type.FILE_DOWNLOAD_START);
      const asked = JSON.parse(data.subarray(data.indexOf(0) + 1).toString()) as { path: string };
      same("path", asked.path, "/far/f");
      await wire.send(message(Type.FILE_READY_RECV, 'OK /far/f f\0{"v":1,"features":[]}'));
      await wire.send(message(Type.FILE_DATA, "x"), message(Type.FILE_DATA_END));
      same("ACK", (await wire.next())?.type, Type.FILE_DATA_END_ACK);
      wire.close();
      same("status", (await done).status, 0);
    },
    "a grant of what was not asked for is refused": async (client) => {
      const { wire, done } = await client.start("-d", "/far/f:f");
      await wire.expect(Type.FILE_DOWNLOAD_START);
      await wire.send(message(Type.FILE_READY_SEND, "OK /far/f f\0"));
      await fails(done, 65, /not allowed here/);
    },
  }),
];
