import { describe, expect, test } from "bun:test";
import { InitFlag, InitUpperFlag } from "../../../../src/protocols/fuse/constants.ts";
import { negotiate } from "../../../../src/protocols/fuse/negotiate.ts";

const OFFER = {
  ...{ major: 7, minor: 31, maxReadAhead: 131_072 },
  ...{ flags: 0xffff_ffff, upperFlags: 0xffff_ffff },
};
const WISHES = {
  maxTransfer: 1 << 20,
  usesWriteback: false,
  cachesLinks: false,
  readsAttributes: false,
  mapsDirectIo: false,
};

describe("INIT", () => {
  test("has the older of both versions", () => {
    expect(negotiate(OFFER, WISHES)?.minor).toBe(31);
    expect(negotiate({ ...OFFER, minor: 38 }, WISHES)?.minor).toBe(38);
    expect(negotiate({ ...OFFER, minor: 45 }, WISHES)?.minor).toBe(38);
    expect(negotiate({ ...OFFER, major: 8, minor: 0 }, WISHES)).toBeDefined();
    expect(negotiate({ ...OFFER, minor: 30 }, WISHES)).toBeUndefined();
    expect(negotiate({ ...OFFER, major: 6, minor: 99 }, WISHES)).toBeUndefined();
  });

  test("has only features of the kernel", () => {
    expect(negotiate({ ...OFFER, flags: 0 }, WISHES)?.flags).toBe(0);
    expect(negotiate({ ...OFFER, flags: InitFlag.AsyncRead }, WISHES)?.flags).toBe(1);
  });

  test("always has features that change nothing that programs see", () => {
    const { flags = 0 } = negotiate(OFFER, WISHES) ?? {};
    expect(flags).toBe(
      InitFlag.AsyncRead |
        InitFlag.AtomicTruncate |
        InitFlag.BigWrites |
        InitFlag.AutoInvalidateData |
        InitFlag.AsyncDirectIo |
        InitFlag.ParallelDirectoryOperations |
        InitFlag.AbortError |
        InitFlag.MaxPages,
    );
  });

  test.each([
    ["usesWriteback", InitFlag.WritebackCache],
    ["cachesLinks", InitFlag.CacheSymlinks],
    ["readsAttributes", InitFlag.ReadDirectoryPlus | InitFlag.ReadDirectoryPlusAuto],
  ])("has what %s asks for", (wish, flag) => {
    const plain = negotiate(OFFER, WISHES)?.flags ?? 0;
    expect(negotiate(OFFER, { ...WISHES, [wish]: true })?.flags).toBe(plain | flag);
  });

  test("maps files with direct I/O if that is asked for and the kernel can", () => {
    const wishes = { ...WISHES, mapsDirectIo: true };
    const bits = (offer: typeof OFFER, asked = wishes) => {
      const { flags = 0, upperFlags } = negotiate(offer, asked) ?? {};
      return [(flags & InitFlag.UpperFlags) !== 0, upperFlags];
    };
    expect(bits(OFFER)).toEqual([true, InitUpperFlag.MapsDirectIo]);
    expect(bits(OFFER, WISHES)).toEqual([false, 0]);
    expect(bits({ ...OFFER, upperFlags: ~InitUpperFlag.MapsDirectIo })).toEqual([false, 0]);
    expect(bits({ ...OFFER, flags: ~InitFlag.UpperFlags })).toEqual([false, 0]);
  });

  test("limits sizes to what both sides serve", () => {
    const sizes = (maxTransfer: number, flags = OFFER.flags) => {
      const settings = negotiate(
        { ...OFFER, flags, maxReadAhead: 1 << 30 },
        { ...WISHES, maxTransfer },
      );
      return [settings?.maxWrite, settings?.maxPages, settings?.maxReadAhead];
    };
    expect(sizes(1 << 20)).toEqual([1 << 20, 256, 1 << 20]);
    expect(sizes(1 << 22)).toEqual([1 << 20, 256, 1 << 20]);
    expect(sizes(131_072)).toEqual([131_072, 32, 131_072]);
    expect(sizes(100)).toEqual([4096, 1, 4096]);
    expect(sizes(1 << 20, 0)).toEqual([131_072, 32, 131_072]);
    expect(negotiate(OFFER, WISHES)?.maxReadAhead).toBe(131_072);
  });
});
