import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describeWith } from "../../../support/tools.ts";

const FIXTURE = join(import.meta.dir, "../../../fixtures/notify.ts");

/** Receives three datagrams, one a JSON line. The address is as in NOTIFY_SOCKET. */
const RECEIVER = `
import json, socket, sys
receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
receiver.bind(sys.argv[1].replace("@", "\\0", 1))
receiver.settimeout(20)
print("bound", flush=True)
for _ in range(3):
    print(json.dumps(receiver.recv(4096).decode()), flush=True)
`;

async function notify(socket: string | undefined) {
  const child = Bun.spawn([process.execPath, FIXTURE], {
    env: { ...process.env, NOTIFY_SOCKET: socket },
    stderr: "inherit",
  });
  const result = JSON.parse(await new Response(child.stdout).text());
  expect(await child.exited).toBe(0);
  return result;
}

describe("without a service manager", () => {
  test("nothing is sent, and nothing fails", async () => {
    const quiet = { failures: [null, null, null], child: "unset" };
    expect(await notify(undefined)).toEqual(quiet);
    expect(await notify("")).toEqual({ ...quiet, child: expect.any(String) });
  });

  test.each(["/nowhere/notify", "@vsockbox-nobody", `/${"x".repeat(200)}`, "vsock:2:5000"])(
    "a socket that cannot be reached does not end the service: %s",
    async (socket) => {
      const { failures, child } = await notify(socket);
      expect(failures).toHaveLength(3);
      expect(failures).not.toContain(null);
      expect(child).toBe("unset");
    },
  );
});

describeWith(["python3"], "with a service manager", () => {
  const scratch = mkdtempSync(join(tmpdir(), "vsockbox-notify-"));

  test.each([join(scratch, "notify"), `@vsockbox-notify-${process.pid}`])(
    "it is notified at %s",
    async (socket) => {
      const receiver = Bun.spawn(["python3", "-c", RECEIVER, socket], { stderr: "inherit" });
      const bound = Promise.withResolvers<void>();
      const output = (async () => {
        let text = "";
        for await (const chunk of receiver.stdout) {
          text += new TextDecoder().decode(chunk);
          bound.resolve();
        }
        return text;
      })();
      await bound.promise;
      expect(await notify(socket)).toEqual({ failures: [null, null, null], child: "unset" });
      expect((await output).trimEnd().split("\n")).toEqual([
        "bound",
        JSON.stringify("STATUS=starting up"),
        JSON.stringify("READY=1\nSTATUS=listening on vsock::5000"),
        JSON.stringify("STOPPING=1"),
      ]);
      await receiver.exited;
      if (!socket.startsWith("@")) rmSync(scratch, { recursive: true });
    },
  );
});
