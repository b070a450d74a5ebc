/** A server for the client under test, and the client's runs. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { formatAddress, type SocketAddress } from "../../../src/net/address.ts";
import { listen, type Listener } from "../../../src/net/listen.ts";
import { Failure } from "../wire.ts";
import { ShellWire } from "./wire.ts";

/** A finished run of the client. */
export interface ClientRun {
  status: number;
  stdout: string;
  stderr: string;
}

/** A client that has connected. */
export interface StartedClient {
  wire: ShellWire;
  done: Promise<ClientRun>;
  /** Gives it all of its input. */
  type(text: string): Promise<void>;
}

/** Where the client under test finds us, and how it is started. */
export interface ClientTarget {
  /** Where cases listen, one behind the other. */
  listen: SocketAddress;
  /** A shell line with the client's arguments for it in `"$@"`, and our address in `$TARGET`. */
  line: string;
}

/** One case's view of the client. */
export class ClientSubject {
  readonly scratch = mkdtempSync(join(tmpdir(), "vsockbox-conformance-"));
  readonly #target: ClientTarget;
  #listener: Listener | undefined;
  #child: Bun.Subprocess | undefined;

  constructor(target: ClientTarget) {
    this.#target = target;
  }

  /** The path of a file of the case. */
  file(name: string): string {
    return join(this.scratch, name);
  }

  /** Starts the client; gives its connection and how it ends. Its input stays open. */
  async start(...words: string[]): Promise<StartedClient> {
    const connected = Promise.withResolvers<ShellWire>();
    this.#listener = listen(this.#target.listen, {
      allowed: "any",
      onConnection: (stream) => connected.resolve(new ShellWire(stream)),
    });
    const child = Bun.spawn(["sh", "-c", this.#target.line, "sh", ...words], {
      cwd: this.scratch,
      env: { ...process.env, TARGET: formatAddress(this.#target.listen) },
      stdio: ["pipe", "pipe", "pipe"],
    });
    this.#child = child;
    const done = (async () => {
      const [stdout, stderr] = await Promise.all([
        new Response(child.stdout).text(),
        new Response(child.stderr).text(),
      ]);
      return { status: await child.exited, stdout, stderr };
    })();
    const early = done.then(({ stderr }) => {
      throw new Failure(`the client ended without a connection: ${stderr}`);
    });
    early.catch(() => undefined);
    const type = async (text: string) => {
      child.stdin.write(text);
      await child.stdin.end();
    };
    return { wire: await Promise.race([connected.promise, early]), done, type };
  }

  /** Ends the client. */
  async cleanUp(): Promise<void> {
    this.#child?.kill("SIGKILL");
    await this.#child?.exited;
    this.#listener?.close();
    rmSync(this.scratch, { recursive: true, force: true });
  }
}
