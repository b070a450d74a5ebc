import { describe, expect, test } from "bun:test";
import {
  ClientProtocol,
  type Purpose,
  WAKE_PATH,
} from "../../../../src/protocols/vsock-shell/client-protocol.ts";
import { type Message, Type } from "../../../../src/protocols/vsock-shell/message.ts";
import { encodeStatus } from "../../../../src/protocols/vsock-shell/payloads.ts";
import { encodeGrant, encodeRefusal } from "../../../../src/protocols/vsock-shell/texts.ts";

const message = (type: Type, data: Uint8Array | string = ""): Message => ({
  type,
  data: new Uint8Array(Buffer.from(data as string)),
});
const readySend = message(Type.ReadySend, encodeGrant(Buffer.from("/a /b")));
const readyReceive = message(Type.ReadyReceive, encodeGrant(Buffer.from("/a /b")));

function after(purpose: Purpose, ...messages: Message[]): ClientProtocol {
  const protocol = new ClientProtocol(purpose);
  for (const one of messages) protocol.accept(one);
  return protocol;
}

describe("a client", () => {
  test("knows our server by its answer, and a C server by none", () => {
    const answer = message(Type.OpenBash, '\0{"v":1,"max_data":65536}');
    expect(after("terminal").accept(answer)).toMatchObject({
      kind: "greeted",
      extension: { maxData: 65_536 },
    });
    expect(after("upload").accept(readySend)).toEqual({ kind: "granted", grant: undefined });
  });

  test("shows output, and nothing for an empty message", () => {
    const protocol = after("terminal");
    expect(protocol.accept(message(Type.PtyData, "x"))).toMatchObject({ kind: "output" });
    expect(protocol.accept(message(Type.PtyData))).toEqual({ kind: "none" });
  });

  test("reads the exit status, if there is one", () => {
    expect(after("terminal").accept(message(Type.ClientEnd, encodeStatus(7)))).toEqual({
      kind: "over",
      status: 7,
    });
    expect(after("terminal").accept(message(Type.ClientEnd))).toEqual({
      kind: "over",
      status: undefined,
    });
  });

  test("is not woken for ever: empty messages do not belong to a transfer", () => {
    expect(after("upload").accept(message(Type.PtyData))).toEqual({ kind: "none" });
    expect(after("download", readyReceive).accept(message(Type.FileDataBegin))).toEqual({
      kind: "none",
    });
  });

  test("distinguishes the refusal of a wake-up request from a real one", () => {
    const protocol = after("download", readyReceive);
    const woken = encodeRefusal(`source file '${WAKE_PATH}---' does not exist`);
    expect(protocol.accept(message(Type.ReadyReceive, woken))).toEqual({ kind: "woken" });
    const meant = message(Type.ReadyReceive, encodeRefusal("disk on fire"));
    expect(() => protocol.accept(meant)).toThrow(/refused: disk on fire/);
  });

  test.each([
    ["upload", [], message(Type.FileDataEndAck), /before the answer/],
    ["download", [], message(Type.FileData, "x"), /before the answer/],
    ["download", [], readySend, /not allowed here/],
    ["upload", [readySend], readySend, /not allowed here/],
    ["upload", [readySend], message(Type.FileData, "x"), /in an upload/],
    ["terminal", [], readySend, /not allowed here/],
    ["terminal", [], message(Type.FileData, "x"), /in a terminal session/],
    ["terminal", [], message(Type.OpenBash), /in a session/],
    ["terminal", [message(Type.ClientEnd)], message(Type.PtyData), /after the end/],
  ] as const)("%s: what has no place there is refused", (purpose, before, wrong, reason) => {
    expect(() => after(purpose, ...before).accept(wrong)).toThrow(reason);
  });

  test.each(["terminal", "upload", "download"] as const)(
    "%s: gets the reason of the refusal",
    (purpose) => {
      for (const type of [Type.ReadySend, Type.ReadyReceive]) {
        const refusal = message(type, encodeRefusal("not in --allow-cid"));
        expect(() => after(purpose).accept(refusal)).toThrow(/refused: not in --allow-cid/);
      }
    },
  );
});
