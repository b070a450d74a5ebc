/** The examples of the documents that need AF_VSOCK, in the guest. */
import { beforeAll, expect, test } from "bun:test";
import { documentPages, examplesOf } from "../support/readme.ts";
import { comparable, withAgent } from "../support/example-text.ts";
import { describeVm, inGuest, prepare, unloadedModule } from "./support.ts";

const blocks = documentPages().flatMap((page) =>
  examplesOf(page)
    .filter(({ info }) => info === "sh guest")
    .map((example) => [`${page}:${example.line}`, example] as const),
);
const [[, start] = ["", undefined], ...examples] = blocks;

describeVm("the examples of the documents in the guest", () => {
  beforeAll(async () => {
    expect(start?.text).toBe("vsockbox agent &\n");
    for (const name of ["vsock_diag", "vsockmon"]) {
      await prepare(`lsmod | grep -q ${name} || insmod ${unloadedModule(name)}`);
    }
    await prepare(
      "vsockbox wait 1 --timeout 0 2> /dev/null || vsockbox agent --allow-local > /dev/null 2>&1 & vsockbox wait 1 --timeout 120",
    );
  });

  // The VM of the documents has CID 3; in the guest the host and the VM are one, CID 1.
  test.each(examples)("%s prints what the page shows", async (_place, { text, output }) => {
    const { status, stdout, stderr } = await inGuest(withAgent(text, "1"), 300_000);
    const shown = output === undefined ? stdout : comparable(stdout, output);
    expect({ status, shown, stderr }).toEqual({
      status: 0,
      shown: output?.text ?? expect.any(String),
      stderr: expect.not.stringContaining("hint: "),
    });
  });
});
