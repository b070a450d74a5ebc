/** What is fuzzed of vsock-shell: a peer that cheats, on either side. */
import { VsockboxError } from "../../src/errors.ts";
import {
  ClientProtocol,
  type Purpose,
  WAKE_PATH,
} from "../../src/protocols/vsock-shell/client-protocol.ts";
import { CServerQueue } from "../../src/protocols/vsock-shell/c-server-queue.ts";
import {
  SHELL_HEADER_BYTES,
  LARGE_DATA_BYTES,
  MAGIC,
  MAX_SHELL_DATA_BYTES,
  type Message,
  ShellMessageReader,
  Type,
} from "../../src/protocols/vsock-shell/message.ts";
import { ServerProtocol } from "../../src/protocols/vsock-shell/server-protocol.ts";
import type { Random } from "./random.ts";
import { promise, type VhostTarget } from "./promises.ts";

/** Something that is fuzzed: the same as for the device. */
export type ShellTarget = VhostTarget;

/** What came of it; undefined where it was refused in the way that bad data is. */
function attempt<T>(action: () => T): { value: T } | undefined {
  try {
    return { value: action() };
  } catch (thrown) {
    if (thrown instanceof VsockboxError && ["BAD_DATA", "REFUSED"].includes(thrown.code)) {
      return undefined;
    }
    throw thrown;
  }
}

const encoder = new TextEncoder();

/** Texts in front of a NUL, and what may stand behind it. */
const TEXTS = [
  "",
  "ls",
  "/a /b",
  "/a b /c",
  "OK /a /b",
  "KO no",
  "EH",
  `KO '${WAKE_PATH}-'`,
  "\u00ff",
];
const VALUES = ["1", "0", "-1", "1e999", "null", "true", '""', '"x"', '"a\\u0000"', "[]", "{}"];
const FIELDS = ["v", "features", "path", "name", "window", "overwrite", "term", "max_data", "size"];
const OBJECTS = [
  '{"v":1}',
  '{"v":1,"term":"xterm","max_data":65536}',
  '{"v":1,"features":["tree"],"path":"/a","name":"a","window":1000000}',
  '{"v":1,"features":[],"path":{"base64":"/w=="},"name":"a","recursive":true}',
  '{"v":1,"features":["tree"],"window":2097152,"size":5}',
  "{",
  "[1]",
  "null",
  "[".repeat(2000),
];

/** The data of a message, more or less as its type has it. */
function data(random: Random): Uint8Array {
  switch (random.below(6)) {
    case 0:
      return new Uint8Array(0);
    case 1:
      return noise(random, random.pick([1, 3, 4, 7, 8, 9, 100, MAX_SHELL_DATA_BYTES]));
    case 2:
      return encoder.encode(`${random.pick(TEXTS)}\0`);
    case 3: {
      const fields = Array.from(
        { length: random.below(5) },
        () => `"${random.pick(FIELDS)}":${random.pick(VALUES)}`,
      );
      return encoder.encode(`${random.pick(TEXTS)}\0{${fields.join(",")}}`);
    }
    case 4:
      return encoder.encode(`${random.pick(TEXTS)}\0${random.pick(OBJECTS)}`);
    default: {
      const bytes = encoder.encode(`${random.pick(TEXTS)}\0${random.pick(OBJECTS)}`);
      bytes[random.below(bytes.length)] = random.below(256);
      return bytes;
    }
  }
}

function noise(random: Random, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; at += 4) bytes[at] = random.next();
  return bytes;
}

const TYPES = Object.values(Type);

const type = (random: Random) => TYPES[random.below(TYPES.length)] ?? Type.PtyData;

/** Bytes with messages in them, some of which are none. */
function stream(random: Random): Uint8Array {
  const parts: Uint8Array[] = [];
  for (let count = 1 + random.below(6); count > 0; count--) {
    const payload = data(random);
    const head = new DataView(new ArrayBuffer(SHELL_HEADER_BYTES));
    const odd = random.below(40);
    head.setUint32(0, odd === 0 ? random.next() : MAGIC, true);
    head.setUint32(4, odd === 1 ? random.next() : type(random), true);
    head.setUint32(8, odd === 2 ? random.next() : payload.length, true);
    parts.push(new Uint8Array(head.buffer), payload);
  }
  const whole = Buffer.concat(parts);
  if (random.below(8) === 0) whole[random.below(whole.length)] = random.below(256);
  return random.below(8) === 0 ? whole.subarray(0, random.below(whole.length)) : whole;
}

/** What a reader has to find, read off by hand; undefined behind what it has to refuse. */
function reference(bytes: Uint8Array, limit: number): (string | undefined)[] {
  const found: (string | undefined)[] = [];
  for (let at = 0; ;) {
    const rest = bytes.subarray(at);
    for (let index = 0; index < Math.min(rest.length, 4); index++) {
      if (rest[index] !== [0xbe, 0xba, 0xfe, 0xca][index]) return [...found, undefined];
    }
    if (rest.length < SHELL_HEADER_BYTES) return found;
    const view = new DataView(rest.buffer, rest.byteOffset);
    const [kind, length] = [view.getUint32(4, true), view.getUint32(8, true)];
    if (kind < 7 || kind > 20 || length > limit) return [...found, undefined];
    if (rest.length < SHELL_HEADER_BYTES + length) return found;
    const payload = rest.subarray(SHELL_HEADER_BYTES, SHELL_HEADER_BYTES + length);
    found.push(`${kind} ${Bun.hash(payload)}`);
    at += SHELL_HEADER_BYTES + length;
  }
}

/** A stream cut anywhere gives what is in it, and holds no more than it may. */
function runReader(random: Random) {
  const limit = random.below(4) === 0 ? LARGE_DATA_BYTES : MAX_SHELL_DATA_BYTES;
  const bytes = stream(random);
  const reader = new ShellMessageReader(limit);
  const seen: (string | undefined)[] = [];
  let steps = 0;
  let isRefused = false;
  for (let at = 0; at < bytes.length && !isRefused;) {
    const chunk = bytes.slice(at, at + 1 + random.below(random.pick([2, 40, 9000])));
    at += chunk.length;
    reader.feed(chunk);
    for (;;) {
      steps++;
      const next = attempt(() => reader.next());
      if (next === undefined) {
        seen.push(undefined);
        isRefused = true;
        break;
      }
      if (next.value === undefined) break;
      seen.push(`${next.value.type} ${Bun.hash(next.value.data)}`);
    }
  }
  promise(
    JSON.stringify(seen) === JSON.stringify(reference(bytes, limit)),
    `it reads ${JSON.stringify(seen)}`,
  );
  promise(
    reader.takeRest().length <= SHELL_HEADER_BYTES + limit + 9000,
    "it holds more than it may",
  );
  return { steps, refused: isRefused ? 1 : 0 };
}

const message = (random: Random): Message => ({ type: type(random), data: data(random) });

/** Whatever a client says, a session is one thing, and begins once. */
function runServer(random: Random) {
  const protocol = new ServerProtocol();
  let steps = 0;
  let refused = 0;
  let purpose: string | undefined;
  for (let count = 1 + random.below(12); count > 0; count--) {
    steps++;
    const before = protocol.state;
    const done = attempt(() => protocol.accept(message(random)));
    if (done === undefined) {
      refused++;
      promise(protocol.state === before, "what was refused changed its state");
      continue;
    }
    const { kind } = done.value;
    if (["open", "upload", "download"].includes(kind)) {
      promise(purpose === undefined, `a ${kind} after a ${purpose}`);
      purpose = kind;
    }
    if (kind === "input" || kind === "resize") promise(purpose === "open", `${kind} without it`);
    if (kind === "data" || kind === "end") promise(purpose === "upload", `${kind} without it`);
    if (kind === "acknowledged") promise(purpose === "download", "acknowledged without it");
  }
  return { steps, refused };
}

/** Whatever a server says, data comes behind a grant, and nothing behind the end. */
function runClient(random: Random) {
  const purpose: Purpose = random.pick(["terminal", "upload", "download"] as const);
  const protocol = new ClientProtocol(purpose);
  let steps = 0;
  let refused = 0;
  let isGranted = false;
  let isOver = false;
  for (let count = 1 + random.below(12); count > 0; count--) {
    steps++;
    const done = attempt(() => protocol.accept(message(random)));
    if (done === undefined) {
      refused++;
      continue;
    }
    const { kind } = done.value;
    promise(!isOver, `${kind} behind the end`);
    if (kind === "over") isOver = true;
    if (kind === "granted" || kind === "greeted") {
      promise(!isGranted, `${kind} twice`);
      isGranted = true;
    }
    if (kind === "output") promise(purpose === "terminal", "output in a transfer");
    if (["data", "end", "acknowledged", "woken"].includes(kind)) {
      promise(isGranted, `${kind} before the grant`);
    }
  }
  return { steps, refused };
}

/** Whatever comes, what is sent to a C server is whole requests that it refuses. */
function runQueue(random: Random) {
  const queue = new CServerQueue();
  const reader = new ShellMessageReader();
  const take = (bytes: Uint8Array) => {
    reader.feed(bytes);
    for (let next = reader.next(); next !== undefined; next = reader.next()) {
      const text = Buffer.from(next.data).toString();
      promise(next.type === Type.DownloadStart, "it is no request for a download");
      promise(text.startsWith(WAKE_PATH) && text.endsWith(" -\0"), `it asks for ${text}`);
      promise(next.data.length < 300, "its refusal would be cut");
    }
  };
  let steps = 0;
  for (let count = 1 + random.below(400); count > 0; count--) {
    steps++;
    queue.count(random.pick([12, 57, 4108, 4108, 4108, 300_000]));
    take(random.below(20) === 0 ? queue.wake() : queue.next());
  }
  take(queue.finish());
  promise(!reader.isInside, "the last request is not whole");
  return { steps, refused: 0 };
}

/** All targets. */
export const SHELL_TARGETS: readonly ShellTarget[] = [
  { name: "reader", run: runReader },
  { name: "server", run: runServer },
  { name: "client", run: runClient },
  { name: "queue", run: runQueue },
];
