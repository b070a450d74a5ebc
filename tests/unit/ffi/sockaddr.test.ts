import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  AF_INET,
  AF_INET6,
  AF_UNIX,
  AF_VSOCK,
  decodeSockaddrIn,
  decodeSockaddrIn6,
  decodeSockaddrUn,
  decodeSockaddrVm,
  encodeSockaddrInternet,
  encodeSockaddrUn,
  encodeSockaddrVm,
  encodeUnixName,
  isAbstract,
  SOCKADDR_UN_BYTES,
  SOCKADDR_VM_BYTES,
  VMADDR_FLAG_TO_HOST,
} from "../../../src/ffi/sockaddr.ts";

/** Prints, in hex, the bytes that C lays out for the same addresses, and the constants. */
const C_PROGRAM = String.raw`
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <linux/vm_sockets.h>
static void hex(const void *p, unsigned n) {
  for (unsigned i = 0; i < n; i++) printf("%02x", ((const unsigned char *)p)[i]);
  printf("\n");
}
int main(void) {
  struct sockaddr_vm vm;
  memset(&vm, 0, sizeof vm);
  vm.svm_family = AF_VSOCK;
  vm.svm_port = 0x01020304;
  vm.svm_cid = 0xa0b0c0d0;
  vm.svm_flags = VMADDR_FLAG_TO_HOST;
  hex(&vm, sizeof vm);
  struct sockaddr_un un;
  memset(&un, 0, sizeof un);
  un.sun_family = AF_UNIX;
  strcpy(un.sun_path, "/run/x.sock");
  hex(&un, sizeof un);
  printf("%d %d %u %u\n", AF_UNIX, AF_VSOCK, (unsigned)sizeof vm, (unsigned)sizeof un);
  return 0;
}`;

/** What the program above printed on Debian 12, x86-64: for machines without a C compiler. */
const RECORDED = [
  "2800000004030201d0c0b0a001000000",
  `0100${Buffer.from("/run/x.sock").toString("hex")}`.padEnd(220, "0"),
  "1 40 16 110",
];

let lines: string[] = RECORDED;
let scratch: string;

beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), "vsockbox-sockaddr-"));
  if (Bun.which("gcc") === null) return;
  const program = join(scratch, "sockaddr");
  const compiled = Bun.spawnSync(["gcc", "-x", "c", "-", "-o", program], {
    stdin: new TextEncoder().encode(C_PROGRAM),
  });
  if (compiled.exitCode !== 0) throw new Error(compiled.stderr.toString());
  lines = Bun.spawnSync([program]).stdout.toString().trim().split("\n");
});

afterAll(() => rmSync(scratch, { recursive: true }));

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");

describe("sockaddr", () => {
  test("the recorded bytes are those of the C compiler", () => {
    expect(lines).toEqual(RECORDED);
  });

  test("sockaddr_vm is laid out as C does it", () => {
    const address = { cid: 0xa0b0c0d0, port: 0x01020304, flags: VMADDR_FLAG_TO_HOST };
    expect(hex(encodeSockaddrVm(address))).toBe(lines[0] ?? "");
    expect(decodeSockaddrVm(Buffer.from(lines[0] ?? "", "hex"))).toEqual(address);
  });

  test("sockaddr_un is laid out as C does it", () => {
    expect(hex(encodeSockaddrUn("/run/x.sock"))).toBe(lines[1] ?? "");
    expect(decodeSockaddrUn(Buffer.from(lines[1] ?? "", "hex"))).toBe("/run/x.sock");
  });

  test("constants and sizes are those of the headers", () => {
    expect(lines[2]).toBe([AF_UNIX, AF_VSOCK, SOCKADDR_VM_BYTES, SOCKADDR_UN_BYTES].join(" "));
  });

  test("a name that begins with @ is in the abstract namespace, and every byte of it counts", () => {
    const sockaddr = encodeUnixName("@ab");
    expect(hex(sockaddr)).toBe("0100006162");
    expect(decodeSockaddrUn(sockaddr)).toBe("@ab");
    expect([isAbstract("@ab"), isAbstract("/@ab"), isAbstract("./@ab")]).toEqual([
      true,
      false,
      false,
    ]);
    expect(encodeUnixName("/run/x.sock")).toEqual(encodeSockaddrUn("/run/x.sock"));
    expect(encodeUnixName(`@${"x".repeat(106)}`)).toHaveLength(109);
    expect(() => encodeUnixName(`@${"x".repeat(107)}`)).toThrow("108 bytes long");
    // An unnamed socket: the kernel returns the family alone.
    expect(decodeSockaddrUn(sockaddr.subarray(0, 2))).toBe("");
  });

  test("a path may have 107 bytes and not one more", () => {
    expect(decodeSockaddrUn(encodeSockaddrUn("x".repeat(107)))).toHaveLength(107);
    expect(() => encodeSockaddrUn("x".repeat(108))).toThrow("108 bytes long");
    expect(() => encodeSockaddrUn("ü".repeat(54))).toThrow("108 bytes long");
    expect(() => encodeSockaddrUn("")).toThrow("empty");
  });
});

test.each([
  ["127.0.0.1", 80],
  ["::1", 65_535],
  ["::", 1],
  ["2001:db8::8:800:200c:417a", 443],
  ["1:2:3:4:5:6:7:8", 22],
  ["1::", 2],
])("the internet address %s port %d comes back", (host, port) => {
  const bytes = encodeSockaddrInternet({ host, port });
  const decode = host.includes(":") ? decodeSockaddrIn6 : decodeSockaddrIn;
  expect(decode(bytes)).toEqual({ host, port });
  expect(bytes[0]).toBe(host.includes(":") ? AF_INET6 : AF_INET);
});

test("an IPv4-mapped address is that of AF_INET6", () => {
  const bytes = encodeSockaddrInternet({ host: "::ffff:192.0.2.1", port: 1 });
  expect([bytes.length, decodeSockaddrIn6(bytes).host]).toEqual([28, "192.0.2.1"]);
});
