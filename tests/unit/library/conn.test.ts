/** The conformance suite over Unix sockets; tests/integration/conn.test.ts has other transports. */
import { afterAll, describe, test } from "bun:test";
import { dial, listen } from "../../../src/index.ts";
import { CONFORMANCE_CASES } from "../../support/conformance.ts";
import { ScratchDirectory } from "../../support/scratch-directory.ts";

const scratch = new ScratchDirectory();
afterAll(() => scratch[Symbol.dispose]());

let count = 0;

describe("a connection over a Unix socket", () => {
  for (const { name, run } of CONFORMANCE_CASES) {
    test(name, () =>
      run(() => {
        const address = `unix:${scratch.file(`${count++}.sock`)}`;
        return {
          listen: () => listen(address),
          dial: (options) => dial(address, options),
          network: { near: "unix", far: "unix" },
          [Symbol.asyncDispose]: () => Promise.resolve(),
        };
      }),
    );
  }
});
