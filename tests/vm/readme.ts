/** The README's examples that need AF_VSOCK, in the guest. */
import { beforeAll, expect, test } from "bun:test";
import { examplesOf } from "../support/readme.ts";
import { describeVm, inGuest, prepare } from "./support.ts";

const [agent = "", host = "", detached = "", bytes = "", check = ""] = examplesOf("README.md")
  .filter(({ info }) => info === "sh guest")
  .map(({ text }) => text);

/** The README's VM has CID 3; in the guest the host and the VM are the same machine, CID 1. */
const toLocal = (line: string) =>
  line.replaceAll(/(wait|exec|exec --detach|ps|logs --follow|kill) 3\b/g, "$1 1");

describeVm("README.md in the guest", () => {
  beforeAll(async () => {
    expect(agent).toBe("vsockbox agent &\n");
    await prepare(
      "vsockbox wait 1 --timeout 0 2> /dev/null || vsockbox agent --allow-local > /dev/null 2>&1 & vsockbox wait 1 --timeout 60",
    );
  });

  test.each(
    host
      .trim()
      .split("\n")
      .map((line) => [line] as const),
  )("%s", async (line) => {
    expect(await inGuest(toLocal(line))).toMatchObject({ status: 0, stderr: "" });
  });

  test("detached sessions", async () => {
    const { status, stdout, stderr } = await inGuest(toLocal(detached));
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    expect(stdout).toMatch(/ build .* running .*\nworking\ndone\n$/);
  });

  test("connect and listen", async () => {
    expect(await inGuest(bytes)).toMatchObject({ status: 0, stdout: "HELLO\n" });
  });

  test.each(
    check
      .trim()
      .split("\n")
      .map((line) => [line] as const),
  )("%s", async (line) => {
    expect((await inGuest(line, 300_000)).status).toBe(0);
  });
});
