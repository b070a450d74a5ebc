import { expect, test } from "bun:test";
import fc from "fast-check";
import { VsockboxError } from "../../../src/errors.ts";
import {
  decodeInitConfig,
  DEFAULT_INIT_CONFIG,
  encodeInitConfig,
  EXIT_ACTIONS,
  type InitConfig,
} from "../../../src/initramfs/init-config.ts";

const decodeText = (text: string) => decodeInitConfig(new TextEncoder().encode(text));

test("a written configuration is read", () => {
  const word = fc.string({ minLength: 1 }).filter((text) => !text.includes("\0"));
  const config: fc.Arbitrary<InitConfig> = fc.record({
    kernel: fc.option(fc.string(), { nil: undefined }),
    modules: fc.array(fc.stringMatching(/^[a-z0-9_]+$/)),
    mounts: fc.array(
      fc.record({
        source: fc.option(word, { nil: undefined }),
        directory: word.map((text) => `/${text}`),
      }),
    ),
    command: fc.tuple(word, word),
    onExit: fc.constantFrom(...EXIT_ACTIONS),
  });
  fc.assert(
    fc.property(config, (value) => {
      expect(decodeInitConfig(encodeInitConfig(value))).toEqual(value);
    }),
  );
});

test("missing keys have their defaults, unknown ones are ignored", () => {
  expect(decodeText('{"version":1}')).toEqual(DEFAULT_INIT_CONFIG);
  expect(decodeText('{"version":1,"later":[]}')).toEqual(DEFAULT_INIT_CONFIG);
});

test.each([
  ["", "not JSON"],
  ["{", "not JSON"],
  ["[]", "not a JSON object"],
  ["null", "not a JSON object"],
  ["{}", "version is undefined"],
  ['{"version":2}', "version is 2"],
  ['{"version":1,"kernel":5}', "kernel"],
  ['{"version":1,"modules":"vsock"}', "modules"],
  ['{"version":1,"modules":["../../etc/passwd"]}', "modules"],
  ['{"version":1,"modules":[1]}', "modules"],
  ['{"version":1,"mounts":"/work"}', "mounts"],
  ['{"version":1,"mounts":[{"directory":"work"}]}', "mounts"],
  ['{"version":1,"mounts":[{"source":"","directory":"/work"}]}', "mounts"],
  ['{"version":1,"mounts":[{"source":1,"directory":"/work"}]}', "mounts"],
  ['{"version":1,"mounts":[null]}', "mounts"],
  ['{"version":1,"command":[]}', "command"],
  ['{"version":1,"command":[""]}', "command"],
  ['{"version":1,"command":["a\\u0000b"]}', "command"],
  ['{"version":1,"on_exit":"explode"}', "on_exit"],
])("%j is refused for its %s", (text, what) => {
  expect(() => decodeText(text)).toThrow(what);
});

test("bytes of any kind are read or refused", () => {
  fc.assert(
    fc.property(fc.uint8Array(), (bytes) => {
      try {
        decodeInitConfig(bytes);
      } catch (thrown) {
        expect(thrown).toBeInstanceOf(VsockboxError);
      }
    }),
  );
});
