import { describe, expect, test } from "bun:test";
import { type Message, Type } from "../../../../src/protocols/vsock-shell/message.ts";
import { encodeWindowSize } from "../../../../src/protocols/vsock-shell/payloads.ts";
import { ServerProtocol } from "../../../../src/protocols/vsock-shell/server-protocol.ts";

const message = (type: Type, data: Uint8Array | string = ""): Message => ({
  type,
  data: new Uint8Array(Buffer.from(data as string)),
});
const size = message(Type.WindowSize, encodeWindowSize({ rows: 30, cols: 90 }));

/** A server that has taken these messages. */
function after(...messages: Message[]): ServerProtocol {
  const protocol = new ServerProtocol();
  for (const one of messages) protocol.accept(one);
  return protocol;
}

const upload = message(Type.UploadStart, "/a /b\0");
const download = message(Type.DownloadStart, "/a /b\0");

describe("a session", () => {
  test("a size that comes before the open is remembered", () => {
    const event = after(size).accept(message(Type.OpenBash));
    expect(event).toMatchObject({ kind: "open", command: undefined, size: { rows: 30, cols: 90 } });
  });

  test("a command ends at its NUL, and may have none", () => {
    for (const data of ["ls\0", "ls", 'ls\0{"v":1,"term":"vt100"}']) {
      expect(after().accept(message(Type.OpenCommand, data))).toMatchObject({ command: "ls" });
    }
  });

  test("input and sizes follow", () => {
    const protocol = after(message(Type.OpenBash));
    expect(protocol.accept(message(Type.ClientData, "x"))).toMatchObject({ kind: "input" });
    expect(protocol.accept(size)).toEqual({ kind: "resize", size: { rows: 30, cols: 90 } });
  });

  test("an upload's path is its destination, a download's its source", () => {
    const path = (event: object) => Buffer.from(Reflect.get(event, "path") as Buffer).toString();
    expect(path(after().accept(upload))).toBe("/b");
    expect(path(after().accept(download))).toBe("/a");
  });

  test("a C client sends BEGIN more than once", () => {
    const protocol = after(upload, message(Type.FileDataBegin), message(Type.FileData, "x"));
    expect(protocol.accept(message(Type.FileDataBegin))).toEqual({ kind: "none" });
    expect(protocol.accept(message(Type.FileDataEnd))).toEqual({ kind: "end" });
  });

  test("an acknowledged download is over", () => {
    const protocol = after(download);
    expect(protocol.accept(message(Type.FileDataEndAck))).toEqual({ kind: "acknowledged" });
    expect(() => protocol.accept(message(Type.FileDataEndAck))).toThrow(/after the end/);
  });
});

describe("what bad input gets", () => {
  test.each([
    ["data before an open", [], message(Type.ClientData, "x"), /before a session is open/],
    ["file data before a start", [], message(Type.FileData, "x"), /before a session is open/],
    ["a server's message", [], message(Type.PtyData, "x"), /PtyData message is not allowed/],
    ["two opens", [message(Type.OpenBash)], message(Type.OpenBash), /second session/],
    [
      "another kind of open",
      [message(Type.OpenBash)],
      message(Type.OpenCommand, "ls"),
      /second session/,
    ],
    ["an upload in a shell", [message(Type.OpenBash)], upload, /in a terminal session/],
    ["a shell in an upload", [upload], message(Type.OpenBash), /in an upload/],
    ["a second upload", [upload], upload, /in an upload/],
    ["data in a download", [download], message(Type.FileData, "x"), /in a download/],
    ["data after the end", [upload, message(Type.FileDataEnd)], upload, /after the end/],
    ["an empty command", [], message(Type.OpenCommand, "\0"), /command is empty/],
    ["a size of 7 bytes", [], message(Type.WindowSize, "1234567"), /7 bytes/],
    ["one path", [], message(Type.UploadStart, "/a\0"), /source and destination/],
    ["three paths", [], message(Type.UploadStart, "/a b /c\0"), /has a blank/],
    ["no JSON behind the NUL", [], message(Type.OpenBash, "\0x"), /not JSON/],
  ])("%s", (_, before, wrong, reason) => {
    expect(() => after(...before).accept(wrong)).toThrow(reason);
  });
});
