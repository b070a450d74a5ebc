/** vsock-shell over AF_VSOCK in the shared guest: both ends are CID 1. */
import { beforeAll, expect, test } from "bun:test";
import { describeVm, inGuest, prepare, startServer } from "./support.ts";

describeVm("vsock-shell over AF_VSOCK", () => {
  beforeAll(async () => {
    await prepare(
      "ln -sf vsockbox /bin/vsock-shell-client; ln -sf vsockbox /bin/vsock-shell-server; " +
        "vsock-shell-server -d -p 9999 --allow-local --log-file /tmp/shell-server.log --pid-file /tmp/shell-server.pid",
    );
  });

  test("a command in either form, with its exit status and a shell that is there", async () => {
    const { stdout } = await inGuest(
      "vsock-shell-client -p 9999 1 'echo $SHELL; exit 7' < /dev/null; echo $?; " +
        "vsock-shell-client -c 1 -p 9999 -x 'tty; kill -9 $$' < /dev/null; echo $?",
    );
    expect(stdout).toMatch(/^\/bin\/sh\r\n7\n\/dev\/pts\/\d+\r\n137\n$/);
  });

  test("files there and back, in large frames and in those of the C programs", async () => {
    const { stdout } = await inGuest(
      "head -c 4000000 /dev/urandom > /tmp/f; for form in '' --plain; do rm -f /tmp/g /tmp/h; " +
        "vsock-shell-client -p 9999 $form 1 -u /tmp/f:/tmp/g && vsock-shell-client -p 9999 $form 1 -d /tmp/g:/tmp/h; " +
        "echo $?; cmp /tmp/f /tmp/h && echo same; done; " +
        "vsock-shell-client -p 9999 1 -u /tmp/f:/tmp/g; echo $?; rm /tmp/f /tmp/g /tmp/h",
      300_000,
    );
    expect(stdout).toBe("0\nsame\n0\nsame\n77\n");
  });

  test("a directory, with a sha256 at its end", async () => {
    const { stdout } = await inGuest(
      "mkdir -p /tmp/d/sub; echo x > '/tmp/d/sub/a b'; " +
        "vsock-shell-client -p 9999 -R --checksum 1 -u /tmp/d:/tmp/e; echo $?; cat '/tmp/e/sub/a b'; rm -r /tmp/d /tmp/e",
    );
    expect(stdout).toBe("0\nx\n");
  });

  test("a silent raw client is woken, and served when it sends", async () => {
    // The size, then a command, as a C client on a terminal sends them.
    const message = (type: string, length: string, data: string) =>
      `\\276\\272\\376\\312\\${type}\\0\\0\\0\\${length}\\0\\0\\0${data}`;
    const size = message("012", "010", "\\041\\0\\143\\0\\0\\0\\0\\0");
    const command = message("011", "012", "stty size\\0");
    const { stdout } = await inGuest(
      `{ sleep 1; printf '${size}${command}'; sleep 3; } | vsockbox connect 1:9999 | od -An -v -tx1 | tr -d ' \\n'`,
    );
    expect(stdout).toStartWith("bebafeca0700000000000000");
    expect(stdout).toContain(Buffer.from("33 99").toString("hex"));
    expect(stdout).toEndWith("bebafeca0c0000000400000000000000");
  });

  test("the host alone is allowed by default, and others get the reason", async () => {
    const { stdout, stderr } = await inGuest(
      "vsockbox shell-server -p 9998 2> /tmp/other.log & server=$!; until grep -q listening /tmp/other.log; do sleep 0.1; done; " +
        "vsockbox shell-client -p 9998 1 true < /dev/null; echo $?; kill $server",
    );
    expect(stdout).toBe("77\n");
    expect(stderr).toMatch(/vsock:1:\d+ is not in --allow-cid/);
  });

  test("a port that is in use is named, with the remedy", async () => {
    const { status, stderr } = await inGuest(
      `${startServer("listen vsock::5000 -k")} vsockbox shell-server; status=$?; kill $server; exit $status`,
    );
    expect([status, stderr]).toEqual([73, expect.stringMatching(/EADDRINUSE[^]*--port/)]);
  });

  test("a client that is killed leaves no process, and the server continues", async () => {
    const { stdout } = await inGuest(
      "vsock-shell-client -p 9999 1 'sleep 85.5' < /dev/null & client=$!; " +
        "until ps | grep -q ' [s]leep 85.5$'; do sleep 0.1; done; kill -9 $client; " +
        "tries=0; while ps | grep -q ' [s]leep 85.5$' && [ $tries -lt 1000 ]; do sleep 0.1; tries=$((tries + 1)); done; " +
        "ps | grep -c ' [s]leep 85.5$'; vsock-shell-client -p 9999 1 'echo on' < /dev/null; kill $(cat /tmp/shell-server.pid)",
    );
    expect(stdout).toBe("0\non\r\n");
  });
});
