import { describe, expect, test } from "bun:test";
import { encodeFrame, encodeJsonFrame, FrameType } from "../../../src/protocols/agent/frame.ts";
import { recogniseService } from "../../../src/protocols/recognise-service.ts";
import { encodeBenchResponse } from "../../../src/protocols/bench/response.ts";
import { encodeMessage, Type } from "../../../src/protocols/vsock-shell/message.ts";

const recognise = (bytes: string | Uint8Array) =>
  recogniseService(typeof bytes === "string" ? Buffer.from(bytes) : bytes);

describe("the first bytes of a peer", () => {
  test.each([
    ["vsock-shell", encodeMessage(Type.PtyData)],
    ["vsock-shell", encodeMessage(Type.ReadySend, Buffer.from("OK a b\0"))],
    ["agent", encodeJsonFrame(FrameType.Hello, { protocol: 1 })],
    ["agent", encodeFrame(FrameType.Stderr, Buffer.from("vsockbox agent: no\n"))],
    ["agent", encodeFrame(FrameType.Ready, Buffer.of())],
    ["bench", encodeBenchResponse("accepted")],
    ["bench", encodeBenchResponse("busy", { limit: 1 })],
    ["ssh", "SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"],
    ["ssh", "SSH-"],
    ["http", "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n"],
    ["http", "<!DOCTYPE html>"],
    ["tls", Uint8Array.of(0x15, 3, 1, 0, 2, 2, 22)],
    ["hybrid", "OK 1073741824\n"],
    ["text", "OK computer\n"],
    ["text", "220 mail.example.org ESMTP\r\n"],
    ["text", "echo hello"],
    ["text", "e"],
    ["text", "sch\u00f6n\n"],
    ["text", "\u001b[1mWelcome\u001b[0m\r\n"],
    ["text", "\u0007login:\b "],
    ["text", Uint8Array.of(0xff, 0xfd, 0x18)],
    ["text", Uint8Array.of(0xff, 0xfd, 0x18, 0xff, 0xfb, 0x01, 0xff)],
    ["text", Buffer.concat([Uint8Array.of(0xff, 0xfb, 0x01), Buffer.from("login: ")])],
    ["text", Buffer.from("sch\u00f6n").subarray(0, 4)],
  ] as const)("are those of: %s", (service, bytes) => {
    expect(recognise(bytes)).toBe(service);
  });

  test.each([
    ["nothing", Uint8Array.of()],
    ["zeros", new Uint8Array(32)],
    ["a magic number that is cut", Uint8Array.of(0xbe, 0xba, 0xfe)],
    ["the magic number in the other order", Uint8Array.of(0xca, 0xfe, 0xba, 0xbe)],
    ["a frame type that agents do not have", Uint8Array.of(5, 0, 0, 0, 1, 9)],
    ["a frame that is too long for an agent", Uint8Array.of(4, 4, 0, 0, 1, 0x41)],
    ["a header that is cut", Uint8Array.of(4, 0, 0, 0)],
    ["another TLS record", Uint8Array.of(0x16, 3, 1)],
    ["a control character of no terminal", Buffer.from("a\u0001")],
    ["Telnet's mark alone", Uint8Array.of(0xff)],
    ["a Telnet command that negotiates nothing", Uint8Array.of(0xff, 0xf0, 0x41)],
    ["binary data after a negotiation", Uint8Array.of(0xff, 0xfd, 0x18, 0, 1, 2, 3)],
    ["a C1 control", Buffer.from("a\u009b")],
    ["bytes that are not UTF-8", Uint8Array.of(0xfe, 0xfe, 0x41)],
    ["a third of a character", Uint8Array.of(0xe2)],
  ])("are not recognised: %s", (_what, bytes) => {
    expect(recognise(bytes)).toBeUndefined();
  });

  test("may be a view into a larger buffer", () => {
    const buffer = Buffer.concat([
      Buffer.from("xxx"),
      encodeFrame(FrameType.Stderr, Buffer.from("a")),
    ]);
    expect(recogniseService(buffer.subarray(3))).toBe("agent");
  });

  test("64 MiB is the longest frame of an agent", () => {
    expect(recognise(Uint8Array.of(4, 4, 0, 0, 0, 0x41))).toBe("agent");
  });
});
