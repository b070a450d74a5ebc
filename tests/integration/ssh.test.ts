/** ssh over `vsockbox connect` as its ProxyCommand, with a real sshd behind `vsockbox listen`. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { chmodSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BINARY, Running, shell, ScratchDirectory } from "../support/binary.ts";
import { describeWith, findTool } from "../support/tools.ts";

describeWith(["ssh", "sshd", "ssh-keygen"], "as ssh's ProxyCommand", () => {
  let scratch: ScratchDirectory;
  let server: Running;
  let socket: string;
  beforeAll(async () => {
    scratch = new ScratchDirectory();
    chmodSync(scratch.path, 0o755);
    // ssh turns host names to lower case, and this path is one.
    socket = join(tmpdir(), `vsockbox-ssh-${process.pid}.sock`);
    // sshd's own privilege separation directory, which a service script makes otherwise.
    if (process.getuid?.() === 0) mkdirSync("/run/sshd", { recursive: true });
    for (const key of ["host", "user"]) {
      Bun.spawnSync(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", scratch.file(key)]);
    }
    writeFileSync(
      scratch.file("sshd_config"),
      [
        `HostKey ${scratch.file("host")}`,
        `AuthorizedKeysFile ${scratch.file("user.pub")}`,
        "StrictModes no",
        "UsePAM no",
        "PermitRootLogin yes",
        "PasswordAuthentication no",
        "",
      ].join("\n"),
    );
    const line = `${findTool("sshd")} -i -f ${scratch.file("sshd_config")}`;
    server = new Running(["listen", `unix:${socket}`, "-k", "--exec", line]);
    await server.says("listening on");
  });
  afterAll(async () => {
    await server[Symbol.asyncDispose]();
    rmSync(socket, { force: true });
    scratch[Symbol.dispose]();
  });

  const ssh = async (options: string[], command: string, stdin = "") => {
    const child = Bun.spawn(
      [
        "ssh",
        ...["-F", "none", "-i", scratch.file("user"), "-o", "BatchMode=yes"],
        ...["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"],
        ...["-o", "LogLevel=ERROR"],
        ...options,
        `unix${socket}`,
        command,
      ],
      {
        stdin: new Blob([stdin]),
        stdout: "pipe",
        stderr: "pipe",
        env: { ...process.env, VSOCKBOX_NO_VSOCK: "1" },
      },
    );
    const [stdout, stderr] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
    ]);
    return { status: await child.exited, stdout, stderr };
  };

  test("a command with its input, output and exit status", async () => {
    const proxy = ["-o", `ProxyCommand=${BINARY} connect %h %p`];
    expect(await ssh(proxy, "cat; exit 5", "through the proxy")).toEqual({
      status: 5,
      stdout: "through the proxy",
      stderr: "",
    });
  });

  test("16 MiB come through unchanged", async () => {
    const proxy = ["-o", `ProxyCommand=${BINARY} connect %h %p`];
    const { stdout } = await ssh(
      proxy,
      "head -c 16777216 /dev/zero | tee /dev/stderr 2>/dev/null | wc -c; head -c 16777216 /dev/zero",
    );
    expect(stdout.length).toBe(16_777_216 + "16777216\n".length);
  });

  test("--fdpass hands the connected descriptor over", async () => {
    const proxy = [
      "-o",
      `ProxyCommand=${BINARY} connect --fdpass %h %p`,
      "-o",
      "ProxyUseFdpass=yes",
    ];
    expect(await ssh(proxy, "echo passed; exit 6")).toEqual({
      status: 6,
      stdout: "passed\n",
      stderr: "",
    });
  });

  test("--fdpass without a socket as standard output explains its use", async () => {
    const line = `vsockbox connect --fdpass unix:${socket} | cat; exit \${PIPESTATUS[0]}`;
    expect(await shell(line)).toMatchObject({
      status: 74,
      stderr: expect.stringContaining("ProxyUseFdpass"),
    });
  });
});
