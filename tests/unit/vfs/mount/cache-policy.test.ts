import { expect, test } from "bun:test";
import {
  CACHE_MODES,
  cachePolicy,
  policyForKernel,
} from "../../../../src/vfs/mount/cache-policy.ts";

test("without a cache nothing is valid for any time, and no pages are kept", () => {
  expect(cachePolicy("none")).toEqual({
    ...{ entryMs: 0, attributesMs: 0, missingMs: 0 },
    ...{ isDirect: true, keepsPages: "never", usesWriteback: false },
  });
});

test("a short cache is valid for a second, a long one for a day", () => {
  const [short, long] = [cachePolicy("auto"), cachePolicy("always")];
  expect([short.entryMs, short.attributesMs, short.missingMs]).toEqual([1000, 1000, 0]);
  expect(new Set([long.entryMs, long.attributesMs, long.missingMs])).toEqual(new Set([86_400_000]));
  expect([short.usesWriteback, long.usesWriteback]).toEqual([false, true]);
});

test("direct I/O is used only if the kernel maps such files", () => {
  for (const mode of CACHE_MODES) {
    const policy = cachePolicy(mode);
    expect(policyForKernel(policy, true)).toEqual(policy);
    expect(policyForKernel(policy, false)).toEqual({ ...policy, isDirect: false });
  }
});
