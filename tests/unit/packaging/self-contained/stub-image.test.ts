/** The compiled stub in the source is what its source gives. */
import { describe, expect, test } from "bun:test";
import { compilerOf, compileStub } from "../../../../packaging/self-contained/make-stub.ts";
import {
  decodeStubImage,
  encodeStubImage,
  readStub,
} from "../../../../packaging/self-contained/stub-image.ts";

describe.each(["x64", "arm64"] as const)("the stub for %s", (architecture) => {
  const { image, compiler } = readStub(architecture);
  const installed = compilerOf(architecture);

  // Another version of the compiler gives other bytes.
  test.skipIf(installed !== compiler)("is what the compiler makes of stub.c", () => {
    expect(Buffer.from(compileStub(architecture))).toEqual(Buffer.from(image));
  });

  // What a compiler of any version can show: that the source compiles without a warning.
  test.skipIf(installed === undefined)("compiles", () => {
    expect(compileStub(architecture).length).toBeGreaterThan(2000);
  });

  test("is kept as text", () => {
    const text = encodeStubImage(image, compiler);
    expect(decodeStubImage(text)).toEqual({ image: Buffer.from(image), compiler });
  });
});
