/** sshd on a Unix socket, and the options with which ssh and scp reach it over one connection. */
import { chmodSync, existsSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { type TransferBench, VSOCKBOX } from "./transfer-bench.ts";

const SSHD = "/usr/sbin/sshd";

/** The name of the host on ssh's command line; the ProxyCommand decides what it leads to. */
export const SSH_HOST = "bench";

/** Whether ssh, scp and sshd are installed. */
export function hasSsh(): boolean {
  return Bun.which("ssh") !== null && Bun.which("scp") !== null && existsSync(SSHD);
}

/** A running sshd with a master connection (`ControlMaster`) to it. */
export class SshServer implements AsyncDisposable {
  /** Words before the host for ssh and scp: they share the master connection. */
  readonly options: readonly string[];
  readonly #children: Bun.Subprocess[] = [];

  private constructor(bench: TransferBench) {
    const control = bench.file("control");
    this.options = [
      ...["-F", "none", "-i", bench.file("user"), "-o", "BatchMode=yes"],
      ...["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"],
      ...["-o", "LogLevel=ERROR", "-o", `ControlPath=${control}`],
      ...["-o", `ProxyCommand=${VSOCKBOX} connect unix:${bench.file("sshd.sock")}`],
    ];
  }

  /** Starts sshd for each connection to a socket of the bench, and connects once. */
  static async start(bench: TransferBench): Promise<SshServer> {
    const server = new SshServer(bench);
    const socket = bench.file("sshd.sock");
    chmodSync(dirname(socket), 0o755);
    // The directory of sshd's own privilege separation, which a service script makes otherwise.
    if (process.getuid?.() === 0) mkdirSync("/run/sshd", { recursive: true });
    for (const key of ["host", "user"]) {
      Bun.spawnSync(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", bench.file(key)]);
    }
    const config = [
      `HostKey ${bench.file("host")}`,
      `AuthorizedKeysFile ${bench.file("user.pub")}`,
      ...["StrictModes no", "UsePAM no", "PermitRootLogin yes", "PasswordAuthentication no"],
      "Subsystem sftp internal-sftp",
    ];
    writeFileSync(bench.file("sshd_config"), `${config.join("\n")}\n`);
    const line = `${SSHD} -i -f ${bench.file("sshd_config")}`;
    server.#start([VSOCKBOX, "listen", `unix:${socket}`, "-k", "-q", "--exec", line]);
    while (!existsSync(socket)) await Bun.sleep(5);
    server.#start(["ssh", "-M", "-N", ...server.options, SSH_HOST]);
    const control = bench.file("control");
    for (let waited = 0; !existsSync(control); waited += 20) {
      if (waited > 30_000) throw new Error("ssh has not connected within 30 s");
      await Bun.sleep(20);
    }
    return server;
  }

  #start(command: string[]): void {
    this.#children.push(Bun.spawn(command, { stdio: ["ignore", "ignore", "inherit"] }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#children.toReversed()) {
      child.kill();
      await child.exited;
    }
  }
}
