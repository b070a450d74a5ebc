import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { VsockboxError } from "../../../../src/errors.ts";
import {
  encodeFrame,
  encodeRawFrame,
  encodeU32Frame,
  FrameDecoder,
  FrameType,
  type Frame,
} from "../../../../src/protocols/agent/frame.ts";

/** Whole frames, with the pieces of data frames put together again. */
function decodeAll(chunks: Uint8Array[], decoder = new FrameDecoder()) {
  const frames: { type: number; payload: number[] }[] = [];
  let open: { missing: number; payload: number[] } | undefined;
  for (const chunk of chunks) {
    for (const { type, payload, frameBytes, prefix } of decoder.push(chunk) as Iterable<Frame>) {
      if (open === undefined) {
        open = { missing: frameBytes - prefix.length, payload: [...prefix] };
        frames.push({ type, payload: open.payload });
      }
      open.payload.push(...payload);
      open.missing -= payload.length;
      if (open.missing === 0) open = undefined;
    }
  }
  return frames;
}

const frames = fc.array(
  fc.record({ type: fc.integer({ min: 0, max: 255 }), payload: fc.uint8Array({ maxLength: 40 }) }),
  { maxLength: 8 },
);

function cut(bytes: Uint8Array, sizes: number[]): Uint8Array[] {
  const chunks: Uint8Array[] = [];
  let offset = 0;
  for (let index = 0; offset < bytes.length; index++) {
    const size = sizes[index % sizes.length] ?? 1;
    chunks.push(bytes.subarray(offset, offset + size));
    offset += size;
  }
  return chunks;
}

describe("encodeFrame", () => {
  test("writes the type, the length in big-endian order and the payload", () => {
    expect([...encodeFrame(FrameType.Stdout, Uint8Array.of(9, 8))]).toEqual([3, 0, 0, 0, 2, 9, 8]);
    expect([...encodeU32Frame(FrameType.Exit, 258)]).toEqual([10, 0, 0, 0, 4, 0, 0, 1, 2]);
  });
});

describe("FrameDecoder", () => {
  test("returns any frames, however the bytes are cut", () => {
    fc.assert(
      fc.property(
        frames,
        fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1, maxLength: 5 }),
        (sent, sizes) => {
          const bytes = Buffer.concat(
            sent.map(({ type, payload }) => encodeRawFrame(type, payload)),
          );
          const decoder = new FrameDecoder();
          const got = decodeAll(cut(bytes, sizes), decoder);
          decoder.finish();
          expect(got).toEqual(sent.map(({ type, payload }) => ({ type, payload: [...payload] })));
        },
      ),
      { numRuns: 2000 },
    );
  });

  test("notices an end at every byte inside a frame, and at none between two", () => {
    const sent = [
      encodeFrame(FrameType.Stdin, Uint8Array.of(1, 2, 3)),
      encodeFrame(FrameType.Exec, Uint8Array.of(4, 5, 6, 7)),
      encodeFrame(FrameType.Stdin, new Uint8Array(0)),
    ];
    const bytes = Buffer.concat(sent);
    const borders = new Set([0, 8, 17, 22]);
    for (let length = 0; length <= bytes.length; length++) {
      const decoder = new FrameDecoder();
      decodeAll([bytes.subarray(0, length)], decoder);
      if (borders.has(length)) {
        expect(() => decoder.finish()).not.toThrow();
      } else {
        expect(() => decoder.finish()).toThrow(/ended inside an? .*\d+ of \d+ bytes are missing/);
      }
    }
  });

  test("refuses a length above the limit as soon as the header is there", () => {
    const decoder = new FrameDecoder({ maxFrameBytes: 1000 });
    const header = Uint8Array.of(FrameType.Exec, 0xff, 0xff, 0xff, 0xff);
    expect(() => [...decoder.push(header)]).toThrow(
      "an Exec frame of 4294967295 bytes is above the limit of 1000",
    );
    const exact = new FrameDecoder({ maxFrameBytes: 3 });
    expect([...exact.push(encodeFrame(FrameType.Exec, new Uint8Array(3)))]).toHaveLength(1);
  });

  test("a Hello has at most 64 KiB, whatever the limit is, and the lower limit counts", () => {
    const hello = (bytes: number) => encodeFrame(FrameType.Hello, new Uint8Array(bytes));
    expect([...new FrameDecoder().push(hello(65_536))]).toHaveLength(1);
    expect(() => [...new FrameDecoder().push(hello(65_537))]).toThrow(
      /a Hello frame of 65537 bytes is above the limit of 65536/,
    );
    expect(() => [...new FrameDecoder({ maxFrameBytes: 9 }).push(hello(10))]).toThrow(/limit of 9/);
    const other = new FrameDecoder({ maxFrameBytes: 9 });
    expect(() => [...other.push(encodeFrame(FrameType.WriteFile, new Uint8Array(10)))]).toThrow(
      expect.objectContaining({ code: "BAD_DATA", frameType: FrameType.WriteFile }),
    );
  });

  test("allocates nothing for a length before its bytes come", () => {
    const decoders = Array.from({ length: 2000 }, () => new FrameDecoder());
    const before = process.memoryUsage.rss();
    for (const decoder of decoders) {
      // 60 MiB announced, one byte sent: 2,000 of these would be 117 GiB.
      expect([...decoder.push(Uint8Array.of(FrameType.WriteFile, 3, 0xc0, 0, 0, 1))]).toEqual([]);
    }
    expect(process.memoryUsage.rss() - before).toBeLessThan(64 * 1024 * 1024);
  });

  test("names the type of a frame as soon as its header has come in", () => {
    const decoder = new FrameDecoder();
    const bytes = encodeRawFrame(99, new Uint8Array(3));
    expect([...decoder.push(bytes.subarray(0, 4))]).toEqual([]);
    expect(decoder.pendingType).toBeUndefined();
    expect([...decoder.push(bytes.subarray(4, 6))]).toEqual([]);
    expect(decoder.pendingType as number).toBe(99);
    expect([...decoder.push(bytes.subarray(6))]).toHaveLength(1);
    expect(decoder.pendingType).toBeUndefined();
  });

  test("hands data frames on piece by piece", () => {
    const decoder = new FrameDecoder();
    const bytes = encodeFrame(FrameType.Stdout, new Uint8Array(10));
    const first = [...decoder.push(bytes.subarray(0, 9))];
    expect(first.map(({ payload, frameBytes }) => [payload.length, frameBytes])).toEqual([[4, 10]]);
    const second = [...decoder.push(bytes.subarray(9))];
    expect(second.map(({ payload, frameBytes }) => [payload.length, frameBytes])).toEqual([
      [6, 10],
    ]);
    expect(decoder.atBoundary).toBe(true);
  });

  test("reads any bytes without another error than its own", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 64 }), { maxLength: 10 }), (chunks) => {
        const decoder = new FrameDecoder({ maxFrameBytes: 4096 });
        try {
          decodeAll(chunks, decoder);
          decoder.finish();
        } catch (thrown) {
          expect(thrown).toBeInstanceOf(VsockboxError);
        }
      }),
      { numRuns: 5000 },
    );
  });
});
