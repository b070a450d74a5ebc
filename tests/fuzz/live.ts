/**
 * Connections with a live agent that keep to no rule. What reaches the machine through them is
 * harmless whatever is drawn: commands come from a fixed list, paths stay in one directory, and what is
 * broken in a request is of a wrong type, never another path or command.
 */
import { connect, type Socket } from "node:net";
import { frame, join, json, text, u32 } from "./corpus.ts";
import type { Random } from "./random.ts";

const HELLO = frame(64, json({ protocol: 1, version: "fuzz", features: [], window: 2 ** 21 }));

/** Nothing that a path, a command or a user could be. */
const WRONG = [null, 5, -1, 1e300, true, "", "a\0b", [], {}, [1], { base64: "?" }] as const;

/** Fields in which text means no harm may become anything. */
const JUNK = [...WRONG, "junk", 0, 64, 65_536, 2 ** 53, ["x"], { rows: 1 }, "\ud800"] as const;

/** Bytes of a channel's window, as the agent has it. */
const WINDOW_BYTES = 2 * 1024 * 1024;

/** Channels that an agent lets one peer have, and some more. */
const TOO_MANY_CHANNELS = 1100;

/** How a connection goes. */
export interface Script {
  /** What is sent, in pieces. */
  pieces: Uint8Array[];
  /** Leave at once, say that nothing more comes, or leave without ever having read. */
  leave: "drop" | "end" | "deaf";
}

/** Draws connections. */
export class Scripts {
  readonly #random: Random;
  readonly #scratch: string;

  constructor(random: Random, scratch: string) {
    this.#random = random;
    this.#scratch = scratch;
  }

  /** The next connection. */
  next(): Script {
    const random = this.#random;
    const bytes = this.#bytes();
    return { pieces: this.#cut(bytes), leave: random.pick(["drop", "end", "end", "deaf"]) };
  }

  #bytes(): Uint8Array {
    const random = this.#random;
    switch (random.below(8)) {
      case 0:
        return this.#noise(random.below(300));
      case 1:
        // A length that is far beyond what comes.
        return frame(random.below(256), this.#noise(random.below(40)), random.next());
      case 2: {
        const whole = this.#oldMode();
        return whole.subarray(0, random.below(whole.length + 1));
      }
      case 3: {
        const whole = join(HELLO, ...this.#channelFrames());
        return whole.subarray(0, random.below(whole.length + 1));
      }
      case 4:
        return join(HELLO, this.#noise(random.below(100)));
      default:
        return join(HELLO, ...this.#channelFrames());
    }
  }

  #noise(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => this.#random.below(256));
  }

  #cut(bytes: Uint8Array): Uint8Array[] {
    const random = this.#random;
    const pieces: Uint8Array[] = [];
    const few = 1 + random.below(4);
    for (let at = 0; at < bytes.length;) {
      const size = 1 + random.below(Math.ceil((bytes.length / few) * 2));
      pieces.push(bytes.subarray(at, at + size));
      at += size;
    }
    return pieces;
  }

  #command(): Record<string, unknown> {
    return this.#random.pick([
      { command: "/bin/true", args: ["x"] },
      { command: "/bin/cat", args: ["-"] },
      { command: "echo fuzz; exit 3" },
      { command: "head -c 300000 /dev/zero" },
      { command: "sleep 0.05" },
      { command: "/no/such/program", args: ["x"] },
    ]);
  }

  #path(): string {
    return `${this.#scratch}/${this.#random.pick(["a", "b", "c/d", "none/x", "socket"])}`;
  }

  /** The modes that begin without a Hello. */
  #oldMode(): Uint8Array {
    const random = this.#random;
    const type = random.pick([1, 9, 11, 12, 13, 14, 15, 16]);
    const fields =
      type === 13
        ? { host: "127.0.0.1", port: 1 }
        : type >= 14
          ? { path: this.#path(), content: "AAEC" }
          : { ...this.#command(), rows: 3, cols: 3 };
    const first = frame(type, json(this.#broken(fields)));
    const more = Array.from({ length: random.below(4) }, () =>
      random.pick([
        frame(7, text("input\n")),
        frame(7, new Uint8Array(0)),
        frame(5, Uint8Array.of(random.below(256))),
        frame(8, this.#noise(4)),
        frame(random.below(256), this.#noise(random.below(9))),
      ]),
    );
    return join(first, ...more);
  }

  /** Replaces some fields by what they must not be. */
  #broken(fields: Record<string, unknown>): Record<string, unknown> {
    const random = this.#random;
    const broken = { ...fields };
    if (random.below(3) > 0) return broken;
    const added = ["tty", "offset", "signal", "follow", "input", "detached", "mode", "resume"];
    const name = random.pick([...Object.keys(fields).filter((one) => one !== "op"), ...added]);
    broken[name] = random.pick(added.includes(name) ? JUNK : WRONG);
    // Without arguments the program would be a line for the shell, and no other one is wanted.
    if (name === "args") broken["command"] = "true";
    return broken;
  }

  #request(): Record<string, unknown> {
    const random = this.#random;
    const path = this.#path();
    const flags = { recursive: random.below(2) === 0, resume: random.below(2) === 0 };
    const request = random.pick<() => Record<string, unknown>>([
      () => ({ op: "exec", ...this.#command(), input: random.below(2) === 0 }),
      () => ({ op: "exec", ...this.#command(), tty: { rows: 2, cols: random.below(99_999) } }),
      () => ({ op: "exec", ...this.#command(), user: "no-such-user" }),
      () => ({ op: "exec", ...this.#command(), sandbox: ["no-such-option"] }),
      () => ({ op: "exec", ...this.#command(), working_dir: path }),
      () => ({ op: "attach", id: "none", tty: { rows: 1 } }),
      () => ({ op: "logs", id: "none", follow: true }),
      () => ({ op: "kill", id: "none", signal: random.below(99) }),
      () => ({ op: "put", path: this.#scratch, ...flags }),
      () => ({ op: "get", path, name: "x", ...flags }),
      () => ({ op: "get", path: this.#scratch, name: random.pick(["x", "..", "a/b"]), ...flags }),
      () => ({ op: "stat", path, follow: random.below(2) === 0 }),
      () => ({ op: "list", path: this.#scratch }),
      () => ({ op: "glob", pattern: `${this.#scratch}/${random.pick(["*", "[", "*/*", "?"])}` }),
      () => ({ op: "mkdir", path, parents: true, mode: 0o700 + random.below(64) }),
      () => ({ op: "remove", path, ...flags, force: true }),
      () => ({ op: "rename", path, to: this.#path(), replace: random.below(2) === 0 }),
      () => ({ op: "dial", path }),
      () => ({ op: "dial", host: "127.0.0.1", port: 1 }),
      () => ({ op: "listen", path: `${this.#scratch}/listen${random.below(20)}` }),
      () => ({ op: "listen", host: "127.0.0.1", port: 0 }),
      () => ({ op: "sessions" }),
      () => ({ op: "info" }),
      () => ({ op: random.pick(["", "accepted", "__proto__", "constructor", "junk"]) }),
      () => ({}),
    ]);
    return this.#broken(request());
  }

  #record(): Record<string, unknown> {
    const random = this.#random;
    const name = random.pick(["a", "b", "..", "x/y", "", "\0", { base64: "/w==" }]);
    return random.pick<Record<string, unknown>>([
      { kind: "file", name, size: random.below(5) },
      { kind: "directory", name },
      { kind: "leave" },
      { kind: "end" },
      { kind: "hole", bytes: random.below(1000) },
      { kind: "hole", bytes: 2 ** 53 },
      { kind: "from", offset: random.below(9) },
      { kind: "skipped", name, error: "x" },
      { kind: random.pick(JUNK) },
      { offer: random.pick(JUNK) },
      { offer: { kind: "part", bytes: random.below(99), hash: "0" } },
    ]);
  }

  #channelFrames(): Uint8Array[] {
    const random = this.#random;
    const frames: Uint8Array[] = [];
    let opened = 0;
    const open = (request: Record<string, unknown>) => {
      opened++;
      frames.push(frame(65, join(u32(opened * 2 - 1), json(request))));
    };
    switch (random.below(40)) {
      case 0:
        for (let times = 0; times < TOO_MANY_CHANNELS; times++) {
          open({ op: "listen", path: `${this.#scratch}/many` });
        }
        break;
      case 1:
        // More than there is credit for, on a channel that nobody reads.
        open({ op: "listen", host: "127.0.0.1", port: 0 });
        for (let sent = 0; sent <= WINDOW_BYTES; sent += 2 ** 18) {
          frames.push(frame(66, join(u32(1), new Uint8Array(1 + 2 ** 18))));
        }
        break;
      case 2:
        open({ op: "info" });
        for (let times = 0; times < 3; times++)
          frames.push(frame(69, join(u32(1), u32(2 ** 31 - 1))));
        break;
      default:
    }
    for (let count = random.below(30); count > 0; count--) {
      // Mostly a channel that is or was open, sometimes one that never was, or one of the agent's.
      const known = opened === 0 ? 1 : random.below(opened) * 2 + 1;
      const channel = u32(random.below(30) === 0 ? random.next() : known);
      switch (random.below(14)) {
        case 0:
        case 1:
        case 2:
        case 3:
          open(this.#request());
          break;
        case 4:
          frames.push(frame(66, join(channel, Uint8Array.of(random.below(4)), this.#noise(50))));
          break;
        case 5:
          frames.push(frame(67, join(channel, json(this.#record()))));
          break;
        case 6:
          frames.push(
            frame(68, join(channel, json({ signal: random.pick([1, 2, 15, 18, 64, 65, "x"]) }))),
          );
          break;
        case 7:
          frames.push(frame(68, join(channel, json({ tty: random.pick(JUNK) }))));
          break;
        case 8:
          frames.push(frame(69, join(channel, u32(random.pick([0, 1, 2 ** 20, 2 ** 32 - 1])))));
          break;
        case 9:
          frames.push(frame(70, channel));
          break;
        case 10:
          frames.push(frame(71, join(channel, json({ error: random.pick(JUNK) }))));
          if (random.below(2) === 0) frames.push(frame(71, join(channel, json({ result: {} }))));
          break;
        case 11:
          frames.push(frame(72, json({ sentMs: random.pick(JUNK) })));
          break;
        case 12:
          frames.push(frame(73, json({ sentMs: 1 })));
          break;
        default:
          if (random.below(10) > 0) break;
          frames.push(
            random.pick([
              frame(65, join(u32(random.next()), json({ op: "info" }))),
              frame(66, this.#noise(random.below(9))),
              frame(random.below(256), this.#noise(random.below(20))),
              frame(69, this.#noise(random.below(12))),
              frame(70, this.#noise(random.below(12))),
              frame(72, this.#noise(5)),
              frame(64, json({})),
            ]),
          );
      }
    }
    return frames;
  }
}

/** Plays one connection to its end; resolves when it is closed. */
export function play(path: string, { pieces, leave }: Script): Promise<void> {
  return new Promise((resolve) => {
    const socket: Socket = connect({ path, allowHalfOpen: true });
    socket.on("error", () => undefined);
    socket.on("close", () => resolve());
    socket.on("end", () => socket.end());
    if (leave === "deaf") socket.pause();
    else socket.resume();
    const send = (index: number): void => {
      const piece = pieces[index];
      if (socket.destroyed) return;
      if (piece !== undefined) {
        socket.write(piece);
        setImmediate(() => send(index + 1));
      } else if (leave === "end") {
        socket.end();
      } else {
        // Some time for what was asked to begin.
        setTimeout(() => socket.destroy(), pieces.length % 3);
      }
    };
    socket.on("connect", () => send(0));
  });
}

/** Something that is sent over and over, without ever reading. */
export interface Flood {
  name: string;
  /** Sent once, behind the Hello. */
  first: Uint8Array;
  repeated: Uint8Array;
  /** How much is sent at most, in bytes. */
  bytes: number;
}

const UNREAD = frame(65, join(u32(1), json({ op: "listen", host: "127.0.0.1", port: 0 })));
const LARGEST_PING = json({ a: "x".repeat(4000) });

/** A frame with bytes on the channel of {@link UNREAD}. */
const unread = (...bytes: number[]) => frame(66, join(u32(1), Uint8Array.of(0, ...bytes)));

/** What a host could fill an agent's memory with. */
export const FLOODS: readonly Flood[] = [
  {
    name: "pings",
    first: new Uint8Array(0),
    repeated: frame(72, LARGEST_PING),
    bytes: 200 * 2 ** 20,
  },
  {
    name: "requests that fail",
    first: join(
      ...Array.from({ length: 200_000 }, (_, index) =>
        frame(65, join(u32(index * 2 + 1), json({}))),
      ),
    ),
    repeated: frame(73, json({})),
    bytes: 2 ** 20,
  },
  { name: "empty data", first: UNREAD, repeated: unread(), bytes: 8 * 2 ** 20 },
  { name: "tiny data", first: UNREAD, repeated: unread(7), bytes: 11 * 2 ** 20 },
  {
    name: "a byte of data in every chunk",
    first: UNREAD,
    repeated: join(unread(7), ...Array.from({ length: 15 }, () => frame(73, LARGEST_PING))),
    bytes: 200 * 2 ** 20,
  },
];

/** How long a peer that takes nothing more is waited for, in milliseconds. */
const STUCK_MS = 500;

/** Sends a flood and leaves. `look` is called from time to time. */
export async function flood(
  path: string,
  { first, repeated, bytes }: Flood,
  look: () => void,
): Promise<void> {
  const socket = connect({ path });
  const closed = new Promise<void>((resolve) => socket.on("close", () => resolve()));
  socket.on("error", () => undefined);
  socket.pause();
  socket.write(join(HELLO, first));
  const block = join(
    ...Array.from({ length: Math.ceil(2 ** 18 / repeated.length) }, () => repeated),
  );
  for (let sent = 0; sent < bytes && !socket.destroyed; sent += block.length) {
    if (!socket.write(block)) {
      const drained = new Promise((resolve) => socket.once("drain", () => resolve("drained")));
      const outcome = await Promise.race([drained, closed, Bun.sleep(STUCK_MS)]);
      look();
      if (outcome === undefined) break;
    }
  }
  look();
  socket.destroy();
  await closed;
}
