/** Valid payloads, from which broken ones are made. */

const encoder = new TextEncoder();

/** Text as UTF-8. */
export const text = (value: string): Uint8Array => encoder.encode(value);

/** A value as JSON. */
export const json = (value: unknown): Uint8Array => text(JSON.stringify(value));

/** Several byte strings as one. */
export const join = (...parts: readonly Uint8Array[]): Uint8Array =>
  new Uint8Array(Buffer.concat(parts));

/** A frame, made by hand. */
export function frame(type: number, payload: Uint8Array, length = payload.length): Uint8Array {
  const bytes = new Uint8Array(5 + payload.length);
  bytes[0] = type;
  new DataView(bytes.buffer).setUint32(1, length);
  bytes.set(payload, 5);
  return bytes;
}

/** A u32, big-endian. */
export function u32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value);
  return bytes;
}

const command = {
  command: "/bin/echo",
  args: ["a", "b c", ""],
  working_dir: "/tmp",
  env: { LANG: "C", EMPTY: "" },
  user: "1000:1000",
};

const size = { rows: 24, cols: 80 };

/** Everything that an Open may ask for. */
export const REQUESTS: readonly Record<string, unknown>[] = [
  { op: "exec", ...command, input: true },
  { op: "exec", command: "true", tty: size, detach: true, name: "build", sandbox: ["no-net"] },
  { op: "attach", id: "abc", offset: 5, tty: size },
  { op: "logs", id: "abc", follow: true },
  { op: "kill", id: "abc", signal: 15, remove: true },
  { op: "put", path: "/tmp/x", preserve: true, resume: true, checksum: true, keep: false },
  { op: "get", path: { base64: "L3RtcC//" }, name: "x", recursive: true },
  { op: "stat", path: "/etc", follow: true },
  { op: "list", path: "/etc" },
  { op: "glob", pattern: "/etc/*.[ch]" },
  { op: "mkdir", path: "/tmp/x", parents: true, mode: 493 },
  { op: "remove", path: "/tmp/x", recursive: true, force: true },
  { op: "rename", path: "/tmp/x", to: "/tmp/y", replace: true },
  { op: "dial", host: "::1", port: 80 },
  { op: "dial", path: "/run/x.sock" },
  { op: "listen", host: "0.0.0.0", port: 0 },
  { op: "sessions" },
  { op: "info" },
  { op: "home", user: "root" },
  { op: "power", action: "reboot" },
];

/** 32 bytes in base64, as nonces and proofs are. */
const SECRET = Buffer.alloc(32, 7).toString("base64");

/** Hellos. */
export const HELLOS: readonly Record<string, unknown>[] = [
  { protocol: 1, version: "vsockbox 0.1.0", features: ["channels", "exec"], window: 2_097_152 },
  { protocol: 1, version: "x", features: [], window: 524_288, token: "secret" },
  { protocol: 1, window: 524_288, nonce: SECRET, proof: SECRET },
  { protocol: 1, window: 524_288, connection_id: "AAECAwQFBgcICQoLDA0ODw==" },
  {},
];

/** Proofs of a token. */
export const PROOFS: readonly Record<string, unknown>[] = [{ proof: SECRET }];

/** Controls of a command. */
export const CONTROLS: readonly Record<string, unknown>[] = [{ signal: 9 }, { tty: size }];

/** Opens of an agent. */
export const ACCEPTED: readonly Record<string, unknown>[] = [{ op: "accepted", listener: 7 }];

const status = { mode: 420, seconds: 1_700_000_000, nanoseconds: 999_999_999, uid: 0, gid: 1000 };

/** Records of a transfer. */
export const RECORDS: readonly Record<string, unknown>[] = [
  { kind: "directory", name: "d", ...status },
  { kind: "leave" },
  { kind: "file", name: { base64: "/w==" }, size: 1234, ...status },
  { kind: "from", offset: 0 },
  { kind: "hole", bytes: 4096 },
  { kind: "end", sha256: "0123456789abcdef".repeat(4) },
  { kind: "end", error: "EIO" },
  { kind: "link", name: "l", target: "../elsewhere", ...status },
  { kind: "skipped", name: "s", error: "a socket" },
];

/** What a receiver has already. */
export const OFFERS: readonly Record<string, unknown>[] = [
  { offer: { kind: "same" } },
  { offer: { kind: "part", bytes: 100, hash: "abcdef" } },
];

/** Errors as they go over a channel. */
export const ERRORS: readonly Record<string, unknown>[] = [
  {
    error: {
      code: "IO",
      operation: "stat",
      message: "stat /x: ENOENT",
      errno: "ENOENT",
      hint: "?",
    },
  },
  { result: {} },
];

/** Exec, ExecStream and ExecPipe; ExecTTY reads the same fields and a size. */
export const COMMANDS: readonly Record<string, unknown>[] = [
  { ...command, stdin: "aGVsbG8=" },
  { command: "exit 3", args: null, env: null, stdin: null },
  { ...command, ...size },
];

/** ExecResult. */
export const EXEC_RESULTS: readonly Record<string, unknown>[] = [
  { exit_code: 0, stdout: "aGVsbG8=", stderr: "eA==" },
  { exit_code: -1, error: "it failed" },
];

/** PortForward, and the requests of files. */
export const FILE_REQUESTS: readonly Record<string, unknown>[] = [
  { host: "127.0.0.1", port: 8080 },
  { path: "/tmp/x", content: "AAECAw==", mode: 420 },
  { path: "/tmp/x", mode: 8_388_608 },
];

/** FileResult. */
export const FILE_RESULTS: readonly Record<string, unknown>[] = [
  { content: "AAECAw==" },
  {
    files: [
      { name: "a", size: 1, mode: 420, is_dir: false },
      { name: "b", is_dir: true },
    ],
  },
  { error: "ENOENT" },
];

/** Type and payload of frames behind a Hello. */
export const CHANNEL_FRAMES: readonly (readonly [number, Uint8Array])[] = [
  [65, join(u32(1), json({ op: "info" }))],
  [66, join(u32(1), Uint8Array.of(1, 9, 9, 9))],
  [67, join(u32(1), json(RECORDS[0]))],
  [68, join(u32(3), json({ signal: 2 }))],
  [69, join(u32(1), u32(65_536))],
  [70, u32(1)],
  [71, join(u32(1), json({ result: { exit_code: 0 } }))],
  [71, join(u32(1), json(ERRORS[0]))],
  [72, json({ sentMs: 5 })],
  [73, json({ sentMs: 5, receivedMs: 6 })],
];

/** Whole connections, each as one stream of frames. */
export const STREAMS: readonly Uint8Array[] = [
  join(frame(1, json(COMMANDS[0])), frame(5, Uint8Array.of(15)), frame(7, text("input"))),
  join(frame(64, json(HELLOS[0])), ...CHANNEL_FRAMES.map(([type, bytes]) => frame(type, bytes))),
  join(frame(3, text("output")), frame(4, text("errors")), frame(3, text("")), frame(10, u32(0))),
  join(frame(66, u32(1)), frame(66, join(u32(1), Uint8Array.of(0))), frame(66, text(""))),
  join(frame(17, new Uint8Array(600)), frame(0, text("")), frame(255, text("x"))),
  frame(14, text("announced more than it has"), 60 * 1024 * 1024),
  frame(66, text("announced more than it has"), 60 * 1024 * 1024),
  frame(2, text("beyond every limit"), 0xffff_ffff),
];

/** What a VMM answers to CONNECT. */
export const HANDSHAKES = ["OK 1073741824\n", "OK 0\nbytes", "ok  5\r\nrest", "OK 4294967295\n"];

/** `-L` and `-R`. */
export const FORWARDS = [
  "8080:localhost:80",
  "*:0:[::1]:65535",
  "[::]:8080:[fe80::1]:80",
  ":1:/run/x.sock",
  "/tmp/l.sock:host:80",
  "/tmp/l.sock:/run/x.sock",
];

/** Addresses in every form. */
export const ADDRESSES = [
  "3",
  "3:5000",
  "vsock:3:5000",
  "vsock::5000",
  "vsock/3",
  "vsock%3:1",
  "vsock:any:any",
  "-1:4294967295",
  "host:1",
  "hybrid:/run/vm4.vsock:5000",
  "hybrid:/run/vm:4",
  "vsock-mux/run/vm4.vsock",
  "unix:/run/x.sock",
  "unix/run/x.sock",
  "profile_1.x-y:22",
];

/** Operands of cp. */
export const OPERANDS = [
  "-",
  "./a:b",
  "3:/etc/hosts",
  "vm:5000:/etc",
  "unix:/run/x.sock:/etc",
  "hybrid:/run/x.sock:5000:/etc",
  "vsock:3:5000:x",
  "vsock-mux/run/x:y",
  "vm:",
];

/** Keys typed at a terminal; the first byte says how they are cut. */
export const KEYS = ["\x03ls\r~.rest", "\x01\r~~x\n~?~", "\x05~a~.\r~\r~.", "\x02~~~~~\r~~."];

/** Patterns with a name, a NUL between them. */
export const GLOBS = [
  "*.c\0main.c",
  "[a-z]*[!0-9]\0abc",
  "a?b\\*[]x]\0a*b*]",
  "[!]a]x\0bx",
  "[^a-c-]\0-",
  "[z-a]\0m",
  "[\0[",
  "\\\0\\",
  "**a**b\0xxaxxb",
  `${"*a".repeat(20)}*b\0${"a".repeat(255)}`,
  `${"*?".repeat(100)}\0${"é".repeat(100)}`,
];

/** Base64 as Go writes it. */
export const BASE64 = ["", "AA==", "AAE=", "AAEC", "AAECAwQFBgcICQ==", "/+/+"];
