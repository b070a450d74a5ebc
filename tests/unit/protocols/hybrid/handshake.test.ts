import { describe, expect, test } from "bun:test";
import { encodeConnect, HandshakeReader } from "../../../../src/protocols/hybrid/handshake.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

describe("hybrid-vsock handshake", () => {
  test("the request names the port", () => {
    expect(encodeConnect(5000)).toEqual(bytes("CONNECT 5000\n"));
  });

  test("keeps the bytes after the line, however the answer is cut", () => {
    const answer = bytes("OK 1073741824\nSSH-2.0");
    for (let cut = 0; cut <= 14; cut++) {
      const reader = new HandshakeReader();
      const first = reader.push(answer.subarray(0, cut));
      const done = first ?? reader.push(answer.subarray(cut));
      expect(done?.assignedPort).toBe(1073741824);
      const rest = first === undefined ? done?.rest : bytes("SSH-2.0");
      expect(rest).toEqual(bytes("SSH-2.0"));
    }
  });

  test.each(["ERR\n", "OK\n", "OK x\n", "OK 4294967296\n", "\n", "SSH-2.0-OpenSSH_9.2\n"])(
    "refuses %j",
    (line) => {
      expect(() => new HandshakeReader().push(bytes(line))).toThrow('expected "OK <port>"');
    },
  );

  test("refuses a line without an end after 32 bytes", () => {
    expect(() => new HandshakeReader().push(bytes("x".repeat(1000)))).toThrow("expected");
  });
});
