/** Inputs: valid payloads with something broken in them, and pure noise. */
import type { Random } from "./random.ts";

/** A valid payload, and where its JSON values are, if it has any. */
export interface Seed {
  bytes: Uint8Array;
  nodes: readonly JsonNode[];
}

/** A value in a JSON text; `nameBegin` is its name's quote where it is a field, else -1. */
export interface JsonNode {
  begin: number;
  end: number;
  nameBegin: number;
}

/** Room for one input, in bytes: the deepest nesting fits. */
const INPUT_BYTES = 512 * 1024;

/** Nesting deeper than any recursive reader's stack; rare, since it takes a while. */
const ABYSS_DEPTH = 120_000;

/** One in so many JSON mutations is an abyss. */
const ABYSS_ODDS = 30_000;

const encoder = new TextEncoder();

const nested = (depth: number, open: string, close: string, inner = "") =>
  open.repeat(depth) + inner + close.repeat(depth);

/** What stands in place of a value: wrong types, numbers at every edge, texts that hurt. */
const SNIPPETS = [
  "null",
  "true",
  "false",
  "0",
  "-0",
  "-1",
  "1",
  "0.5",
  "64",
  "65",
  "4095",
  "65535",
  "65536",
  "2147483647",
  "2147483648",
  "4294967295",
  "4294967296",
  "9007199254740991",
  "9007199254740993",
  "1e308",
  "1e999",
  "-1e999",
  "1e-400",
  "01",
  "NaN",
  "Infinity",
  "9".repeat(400),
  '""',
  '"x"',
  '"."',
  '".."',
  '"../x"',
  '"/"',
  '"a/b"',
  '"\\u0000"',
  '"a\\u0000b"',
  '"\\ud800"',
  '"\\udc00\\ud800"',
  '"\\ud83d\\ude00"',
  '"\ufeff"',
  '"\\ufeffx"',
  '"\u2028"',
  '"__proto__"',
  '"constructor"',
  '"same"',
  '"AAAA"',
  '"AAE="',
  '"AAF="',
  '"AA"',
  '"A A A A"',
  '"===="',
  '"-_-_"',
  `"${"a".repeat(255)}"`,
  `"${"a".repeat(256)}"`,
  `"${"b".repeat(5000)}"`,
  '"unfinished',
  '"\\x"',
  "[]",
  "{}",
  "[null]",
  '["a","b"]',
  '["a\\u0000"]',
  "[1,2]",
  '{"base64":"/w=="}',
  '{"base64":"AA=="}',
  '{"base64":""}',
  '{"base64":1}',
  '{"__proto__":{"op":"exec","path":"/x"}}',
  '{"toString":1,"hasOwnProperty":2,"length":3}',
  '{"rows":0,"cols":0}',
  '{"rows":70000}',
  '{"A":"1","B=":"2"}',
  '{"":"1"}',
  '{"A":"\\u0000"}',
  '{"__proto__":"x"}',
  nested(40, "[", "]"),
  nested(40, '{"a":', "}", "1"),
  nested(300, "[", "]"),
  "[".repeat(500),
].map((text) => encoder.encode(text));

const ABYSSES = [nested(ABYSS_DEPTH, "[", "]"), nested(ABYSS_DEPTH / 4, '{"a":', "}", "1")].map(
  (text) => encoder.encode(text),
);

/** Names of fields that do not belong there, each with its colon. */
const NAMES = ["__proto__", "constructor", "toString", "", "\\u0000", "\\ud800", "length"].map(
  (name) => encoder.encode(`"${name}":`),
);

/** Bytes at which readers change their minds. */
const EDGES = Uint8Array.of(0, 1, 0x7f, 0x80, 0xff, 0x22, 0x5c, 0x7b, 0x7d, 0x5b, 0x5d, 0x2c, 0x3a);

const COMMA = 0x2c;

/** A payload as a seed; what is no JSON is a seed without nodes. */
export function seedOf(bytes: Uint8Array): Seed {
  return { bytes, nodes: findNodes(bytes) };
}

/** Where the values of a JSON text are, from the first brace on: there may be a header before it. */
function findNodes(bytes: Uint8Array): JsonNode[] {
  const text = Buffer.from(bytes).toString("latin1");
  const first = text.indexOf("{");
  if (first === -1) return [];
  try {
    JSON.parse(text.slice(first));
  } catch {
    return [];
  }
  const nodes: JsonNode[] = [];
  const scan = (at: number, nameBegin: number): number => {
    const node = { begin: at, end: at, nameBegin };
    nodes.push(node);
    const opening = text[at];
    if (opening === "{" || opening === "[") {
      let next = at + 1;
      while (text[next] !== "}" && text[next] !== "]") {
        const begin = next;
        if (opening === "{") next = stringEnd(text, next) + 1;
        next = scan(next, opening === "{" ? begin : -1);
        if (text[next] === ",") next++;
      }
      node.end = next + 1;
    } else if (opening === '"') {
      node.end = stringEnd(text, at);
    } else {
      node.end = at + (/^[^,\]}]*/.exec(text.slice(at))?.[0].length ?? 0);
    }
    return node.end;
  };
  scan(first, -1);
  return nodes;
}

function stringEnd(text: string, begin: number): number {
  let at = begin + 1;
  while (text[at] !== '"') at += text[at] === "\\" ? 2 : 1;
  return at + 1;
}

/** Makes one input after the other in one buffer. */
export class Mutator {
  readonly #random: Random;
  readonly #seeds: readonly Seed[];
  readonly #buffer = new Uint8Array(INPUT_BYTES);
  #length = 0;

  constructor(random: Random, seeds: readonly Seed[]) {
    this.#random = random;
    this.#seeds = seeds;
  }

  /** The next input, a view that is valid until the next call. */
  make(): Uint8Array {
    const random = this.#random;
    this.#length = 0;
    const kind = random.below(16);
    if (kind === 0 || this.#seeds.length === 0) this.#noise();
    else {
      const seed = random.pick(this.#seeds);
      if (kind < 12 && seed.nodes.length > 0) this.#breakJson(seed);
      else this.#append(seed.bytes);
      if (kind === 1 || kind >= 12 || seed.nodes.length === 0) this.#breakBytes();
    }
    return this.#buffer.subarray(0, this.#length);
  }

  #append(bytes: Uint8Array): void {
    const fitting = bytes.subarray(0, INPUT_BYTES - this.#length);
    this.#buffer.set(fitting, this.#length);
    this.#length += fitting.length;
  }

  #noise(): void {
    const random = this.#random;
    this.#length = random.below(random.below(4) === 0 ? 200 : 24);
    for (let at = 0; at < this.#length; at++) this.#buffer[at] = random.next() >>> 24;
  }

  /** Copies a JSON text with one to three of its values replaced, repeated, renamed or left out. */
  #breakJson({ bytes, nodes }: Seed): void {
    const random = this.#random;
    let copied = 0;
    let nodeIndex = random.below(nodes.length);
    for (let times = 1 + random.below(3); times > 0 && nodeIndex < nodes.length; times--) {
      const node = nodes[nodeIndex];
      if (node === undefined || node.begin < copied) break;
      const isField = node.nameBegin >= copied && node.nameBegin >= 0;
      const how = random.below(isField ? 5 : 2);
      switch (how) {
        case 0:
        case 1:
          this.#append(bytes.subarray(copied, node.begin));
          this.#append(this.#snippet());
          break;
        case 2: {
          // The same name twice: the first value is a broken one, or the last.
          const name = bytes.subarray(node.nameBegin, node.begin);
          const isFirst = random.below(2) === 0;
          this.#append(bytes.subarray(copied, node.nameBegin));
          this.#append(name);
          this.#append(isFirst ? this.#snippet() : bytes.subarray(node.begin, node.end));
          this.#append(Uint8Array.of(COMMA));
          this.#append(name);
          this.#append(isFirst ? bytes.subarray(node.begin, node.end) : this.#snippet());
          break;
        }
        case 3:
          this.#append(bytes.subarray(copied, node.nameBegin));
          this.#append(random.pick(NAMES));
          this.#append(bytes.subarray(node.begin, node.end));
          break;
        default:
          // Left out, mostly together with a comma, so that the rest is still JSON.
          this.#append(bytes.subarray(copied, node.nameBegin));
          copied = node.end + (bytes[node.end] === COMMA ? 1 : 0);
      }
      if (how !== 4) copied = node.end;
      nodeIndex += 1 + random.below(nodes.length);
    }
    this.#append(bytes.subarray(copied));
  }

  #snippet(): Uint8Array {
    const random = this.#random;
    return random.pick(random.below(ABYSS_ODDS) === 0 ? ABYSSES : SNIPPETS);
  }

  #breakBytes(): void {
    const random = this.#random;
    const buffer = this.#buffer;
    for (let times = 1 + random.below(4); times > 0 && this.#length > 0; times--) {
      const at = random.below(this.#length);
      switch (random.below(8)) {
        case 0:
          buffer[at] = (buffer[at] ?? 0) ^ (1 << random.below(8));
          break;
        case 1:
          buffer[at] = random.next() >>> 24;
          break;
        case 2:
          buffer[at] = EDGES[random.below(EDGES.length)] ?? 0;
          break;
        case 3:
          this.#length = at;
          break;
        case 4: {
          // A piece left out.
          const end = Math.min(this.#length, at + 1 + random.below(8));
          buffer.copyWithin(at, end, this.#length);
          this.#length -= end - at;
          break;
        }
        case 5: {
          // A piece of its own repeated.
          const count = Math.min(this.#length - at, 1 + random.below(16));
          if (this.#length + count > INPUT_BYTES) break;
          buffer.copyWithin(at + count, at, this.#length);
          this.#length += count;
          break;
        }
        case 6: {
          // The end of another valid payload.
          const other = random.pick(this.#seeds).bytes;
          this.#length = at;
          this.#append(other.subarray(random.below(other.length + 1)));
          break;
        }
        default:
          this.#append(random.pick(SNIPPETS));
      }
    }
  }
}
