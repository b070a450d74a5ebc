/** What a server has to do. `required` is what the C server does, too; `strict` is what ours does. */
import { holds, same } from "../expect.ts";
import { type Case, casesOf } from "../runner.ts";
import type { ServerSubject } from "./server-subject.ts";
import { dataOf, describe, header, message, type ShellWire, Type, windowSize } from "./wire.ts";

const command = (line: string) => message(Type.OPEN_CMD, `${line}\0`);

/** The server says why, in words for every kind of client, and closes. */
async function refuses(server: ServerSubject, ...parts: Uint8Array[]): Promise<void> {
  const answer = await server.ask(...parts);
  const seen = describe(answer);
  for (const type of [Type.FILE_READY_SEND, Type.FILE_READY_RECV]) {
    const refusal = answer.find(
      (one) => one.type === type && one.data.toString().startsWith("KO "),
    );
    holds(refusal !== undefined, `no refusal: ${seen}`);
    holds(refusal?.data.at(-1) === 0, `a refusal without a NUL: ${seen}`);
    holds((refusal?.data.length ?? 0) < 300, `more than a C client takes: ${seen}`);
  }
  same("the last message", answer.at(-1)?.type, Type.CLIENT_END);
  await server.alive();
}

/** All PTY_DATA up to one that has the text. */
async function shows(wire: ShellWire, wanted: string): Promise<string> {
  let text = "";
  while (!text.includes(wanted)) text += (await wire.expect(Type.PTY_DATA)).toString();
  return text;
}

const upload = (path: string) => message(Type.FILE_UPLOAD_START, `/source ${path}\0`);
const download = (path: string) => message(Type.FILE_DOWNLOAD_START, `${path} /target\0`);

export const SERVER_CASES: readonly Case<ServerSubject>[] = [
  ...casesOf<ServerSubject>("Command", "required", {
    "its output, then CLIENT_END and a close": async (server) => {
      const answer = await server.ask(command("echo one; sleep 0.1"));
      same("output", dataOf(answer, Type.PTY_DATA).toString(), "one\r\n");
      same("the last message", answer.at(-1)?.type, Type.CLIENT_END);
    },
    "runs on a terminal, with the environment of the protocol": async (server) => {
      const said = await server.sh("tty; echo $TERM $PATH; sleep 0.1");
      holds(/^\/dev\/pts\/\d+\nxterm \/usr\/sbin:\/usr\/bin:\/sbin:\/bin\n$/.test(said), said);
    },
    "takes input and a size": async (server) => {
      const wire = await server.open();
      await wire.send(command("read x; stty size; read y; echo $x-$y; sleep 0.1"));
      await wire.send(windowSize(11, 77), message(Type.CLIENT_DATA, "a\n"));
      await shows(wire, "11 77");
      await wire.send(message(Type.CLIENT_DATA, "b\n"));
      await shows(wire, "a-b");
    },
    "a request cut into single bytes is one request": async (server) => {
      const wire = await server.open();
      for (const byte of command("echo whole; sleep 0.1")) {
        await wire.send(Uint8Array.of(byte));
        await Bun.sleep(1);
      }
      await shows(wire, "whole");
    },
    "no message is larger than 4,096 bytes": async (server) => {
      const answer = await server.ask(command("head -c 20000 /dev/zero | tr '\\0' x; sleep 0.2"));
      same("bytes", dataOf(answer, Type.PTY_DATA).length, 20_000);
      holds(
        answer.every(({ data }) => data.length <= 4096),
        "a message is larger",
      );
    },
  }),
  ...casesOf<ServerSubject>("Command", "strict", {
    "CLIENT_END carries the exit code, little-endian": async (server) => {
      const answer = await server.ask(command("exit 258"));
      same("status", answer.at(-1)?.data.toString("hex"), "02000000");
    },
    "CLIENT_END carries 128 + N for signal N": async (server) => {
      const answer = await server.ask(command("kill -TERM $$"));
      same("status", answer.at(-1)?.data.toString("hex"), "8f000000");
    },
    "all output comes before CLIENT_END": async (server) => {
      const answer = await server.ask(command("seq 20000"));
      holds(
        dataOf(answer, Type.PTY_DATA).toString().endsWith("\r\n20000\r\n"),
        "the end is missing",
      );
      same("the last message", answer.at(-1)?.type, Type.CLIENT_END);
    },
    "a command without a NUL is one, too": async (server) => {
      const answer = await server.ask(message(Type.OPEN_CMD, "echo open"));
      same("output", dataOf(answer, Type.PTY_DATA).toString(), "open\r\n");
    },
  }),
  ...casesOf<ServerSubject>("Shell", "required", {
    "is interactive, and its end ends the session": async (server) => {
      const wire = await server.open();
      await wire.send(message(Type.OPEN_BASH));
      await wire.send(message(Type.CLIENT_DATA, "echo $((20 + 3))\nexit\n"));
      await shows(wire, "23\r\n");
      const rest = await wire.rest();
      same("the last message", rest.at(-1)?.type, Type.CLIENT_END);
    },
  }),
  ...casesOf<ServerSubject>("Shell", "strict", {
    "a size ahead of the open is remembered": async (server) => {
      const wire = await server.open();
      await wire.send(windowSize(12, 66), command("stty size"));
      await shows(wire, "12 66\r\n");
    },
    "a client that is silent is woken": async (server) => {
      const wire = await server.open();
      const first = await wire.next();
      same("the greeting", [first?.type, first?.data.length], [Type.PTY_DATA, 0]);
    },
    "a client that is gone takes its command with it": async (server) => {
      const scratch = await server.scratch();
      const wire = await server.open();
      await wire.send(command(`echo $$ > ${scratch}/pid; sleep 300; :`));
      let pid = "";
      while (!/\d/.test(pid)) pid = await server.sh(`cat ${scratch}/pid 2> /dev/null`);
      wire.close();
      for (let tries = 0; tries < 100; tries++) {
        if ((await server.sh(`kill -0 ${pid.trim()} 2> /dev/null || echo gone`)) === "gone\n")
          return;
        await Bun.sleep(50);
      }
      holds(false, "it still runs");
    },
  }),
  ...casesOf<ServerSubject>("Upload", "required", {
    "START, OK, DATA, END, ACK": async (server) => {
      const path = `${await server.scratch()}/file`;
      const wire = await server.open();
      await wire.send(upload(path));
      same("answer", (await wire.expect(Type.FILE_READY_SEND)).toString(), `OK /source ${path}\0`);
      await wire.send(message(Type.FILE_DATA, "one "), message(Type.FILE_DATA, "two"));
      await wire.send(message(Type.FILE_DATA_END));
      same("ACK", (await wire.expect(Type.FILE_DATA_END_ACK)).length, 0);
      same("the file", await server.sh(`cat ${path}; sleep 0.1`), "one two");
    },
    "what exists is not replaced": async (server) => {
      const path = `${await server.scratch()}/file`;
      await server.sh(`echo old > ${path}`);
      const wire = await server.open();
      await wire.send(upload(path));
      holds(
        (await wire.expect(Type.FILE_READY_SEND)).toString().startsWith("KO "),
        "it is granted",
      );
      same("the file", await server.sh(`cat ${path}; sleep 0.1`), "old\n");
    },
    "no directory: KO": async (server) => {
      const wire = await server.open();
      await wire.send(upload("/no/such/directory/file"));
      holds(
        (await wire.expect(Type.FILE_READY_SEND)).toString().startsWith("KO "),
        "it is granted",
      );
    },
  }),
  ...casesOf<ServerSubject>("Upload", "strict", {
    "BEGIN is taken, and more than once": async (server) => {
      const path = `${await server.scratch()}/file`;
      const wire = await server.open();
      const begin = message(Type.FILE_DATA_BEGIN);
      await wire.send(upload(path));
      await wire.expect(Type.FILE_READY_SEND);
      await wire.send(begin, message(Type.FILE_DATA, "a"), begin, message(Type.FILE_DATA, "b"));
      await wire.send(message(Type.FILE_DATA_END));
      await wire.expect(Type.FILE_DATA_END_ACK);
      same("the file", await server.sh(`cat ${path}`), "ab");
    },
    "nothing partial stands under the name": async (server) => {
      const path = `${await server.scratch()}/file`;
      const wire = await server.open();
      await wire.send(upload(path));
      await wire.expect(Type.FILE_READY_SEND);
      await wire.send(message(Type.FILE_DATA, "half"));
      await Bun.sleep(100);
      same("the file", await server.sh(`ls ${path} 2> /dev/null`), "");
      wire.close();
      for (let tries = 0; tries < 100; tries++) {
        if ((await server.sh(`ls -A ${path.slice(0, -5)}`)) === "") return;
        await Bun.sleep(50);
      }
      holds(false, "something is left of it");
    },
    "a stalled client is woken": async (server) => {
      const wire = await server.open();
      await wire.send(upload(`${await server.scratch()}/file`));
      await wire.expect(Type.FILE_READY_SEND);
      const next = await wire.next();
      same("the wake", [next?.type, next?.data.length], [Type.PTY_DATA, 0]);
    },
    "a pair with three paths is refused": (server) =>
      refuses(server, message(Type.FILE_UPLOAD_START, "/a /b /c\0")),
  }),
  ...casesOf<ServerSubject>("Download", "required", {
    "START, OK, BEGIN, DATA, END": async (server) => {
      const path = `${await server.scratch()}/file`;
      await server.sh(`head -c 10000 /dev/zero | tr '\\0' x > ${path}`);
      const wire = await server.open();
      await wire.send(download(path));
      same("answer", (await wire.expect(Type.FILE_READY_RECV)).toString(), `OK ${path} /target\0`);
      same("BEGIN", (await wire.expect(Type.FILE_DATA_BEGIN)).length, 0);
      let bytes = 0;
      for (let next = await wire.nextSaid(); ; next = await wire.nextSaid()) {
        if (next?.type !== Type.FILE_DATA) {
          same("behind the data", next?.type, Type.FILE_DATA_END);
          break;
        }
        holds(next.data.length <= 4096, "a message is larger than 4,096 bytes");
        bytes += next.data.length;
      }
      same("bytes", bytes, 10_000);
    },
    "nothing there: KO": async (server) => {
      const wire = await server.open();
      await wire.send(download("/no/such/file"));
      holds(
        (await wire.expect(Type.FILE_READY_RECV)).toString().startsWith("KO "),
        "it is granted",
      );
    },
    "a directory: KO": async (server) => {
      const wire = await server.open();
      await wire.send(download("/tmp"));
      holds(
        (await wire.expect(Type.FILE_READY_RECV)).toString().startsWith("KO "),
        "it is granted",
      );
    },
  }),
  ...casesOf<ServerSubject>("Bad input", "strict", {
    "wrong magic": (server) => refuses(server, message(Type.OPEN_BASH, "", 0xbabe_cafe)),
    "a type below the range": (server) => refuses(server, message(0x06)),
    "a type above the range": (server) => refuses(server, message(0x15)),
    "4,097 bytes": (server) => refuses(server, header(Type.OPEN_CMD, 4097)),
    "4 GiB": (server) => refuses(server, header(Type.CLIENT_DATA, 0xffff_ffff)),
    "input before an open": (server) => refuses(server, message(Type.CLIENT_DATA, "x")),
    "file data before a start": (server) => refuses(server, message(Type.FILE_DATA, "x")),
    "a server's own message": (server) => refuses(server, message(Type.PTY_DATA, "x")),
    "two opens": (server) => refuses(server, message(Type.OPEN_BASH), message(Type.OPEN_BASH)),
    "an open in an upload": async (server) =>
      refuses(server, upload(`${await server.scratch()}/f`), message(Type.OPEN_BASH)),
    "no JSON behind the NUL": (server) => refuses(server, message(Type.OPEN_CMD, "true\0[1]")),
    "half a header, then nothing": async (server) => {
      const wire = await server.open();
      await wire.send(command("true").subarray(0, 5));
      wire.close();
      await server.alive();
    },
  }),
  ...casesOf<ServerSubject>("Extension", "strict", {
    "a client that asks is answered ahead of all output": async (server) => {
      const wire = await server.open();
      await wire.send(message(Type.OPEN_CMD, 'echo out\0{"v":1,"max_data":65536,"term":"vt220"}'));
      const answer = await wire.expect(Type.OPEN_CMD);
      same("the text", answer[0], 0);
      same("v", (JSON.parse(answer.subarray(1).toString()) as { v: number }).v, 1);
      await shows(wire, "out\r\n");
    },
    "TERM is the client's": async (server) => {
      const wire = await server.open();
      await wire.send(message(Type.OPEN_CMD, 'echo $TERM\0{"v":1,"term":"vt220"}'));
      await wire.expect(Type.OPEN_CMD);
      await shows(wire, "vt220\r\n");
    },
    "a client that does not ask sees nothing of it": async (server) => {
      const answer = await server.ask(command("echo plain"));
      same("types", [...new Set(answer.map(({ type }) => type))], [Type.PTY_DATA, Type.CLIENT_END]);
    },
    "larger messages are taken then": async (server) => {
      const wire = await server.open();
      await wire.send(message(Type.OPEN_CMD, 'stty -echo; wc -c\0{"v":1,"max_data":65536}'));
      await wire.expect(Type.OPEN_CMD);
      await Bun.sleep(200);
      await wire.send(message(Type.CLIENT_DATA, `${"x".repeat(99)}\n`.repeat(300)));
      await wire.send(message(Type.CLIENT_DATA, "\u0004"));
      await shows(wire, "30000\r\n");
    },
    "a path with a blank comes through the extension": async (server) => {
      const scratch = await server.scratch();
      const asked = {
        ...{ v: 1, features: [], path: `${scratch}/a b`, name: "a b" },
      };
      const wire = await server.open();
      await wire.send(message(Type.FILE_UPLOAD_START, `- -\0${JSON.stringify(asked)}`));
      holds((await wire.expect(Type.FILE_READY_SEND)).toString().startsWith("OK "), "no OK");
      await wire.send(message(Type.FILE_DATA, "x"), message(Type.FILE_DATA_END));
      await wire.expect(Type.FILE_DATA_END_ACK);
      same("the file", await server.sh(`cat '${scratch}/a b'`), "x");
    },
  }),
];
