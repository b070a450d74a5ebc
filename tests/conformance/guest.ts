/** What a case may do with the guest: connections, shell lines, sessions, a directory, processes. */
import type { SocketAddress } from "../../src/net/address.ts";
import { dial } from "../../src/net/dial.ts";
import { execResult, type ExecResult, same } from "./expect.ts";
import { Failure, jsonFrame, type RawFrame, Type, Wire } from "./wire.ts";

/** Thrown where a case cannot be tried in this guest. */
export class Skip extends Error {
  override readonly name = "Skip";
}

/** The variable by which processes of a case are found again. */
const MARKER_VARIABLE = "VSOCKBOX_CONFORMANCE";

/** Where the suite connects to. */
export interface Target {
  address: SocketAddress;
  /** The ready port; undefined where it is not to be tested. */
  ready: SocketAddress | undefined;
}

/** One case's view of the guest. All that it opens ends with the case. */
export class Guest {
  readonly target: Target;
  readonly #marker: string;
  readonly #wires: Wire[] = [];
  readonly #scratches: string[] = [];
  #hasSessions = false;
  #isOver = false;

  constructor(target: Target, marker: string) {
    this.target = target;
    this.#marker = marker;
  }

  /** A new connection. */
  async open(address: SocketAddress = this.target.address): Promise<Wire> {
    if (this.#isOver) throw new Failure("the case is over");
    const wire = new Wire(await dial(address));
    this.#wires.push(wire);
    return wire;
  }

  /** Sends bytes on a new connection and gives all frames until the agent closes. */
  async sendRaw(...parts: Uint8Array[]): Promise<RawFrame[]> {
    const wire = await this.open();
    await wire.send(...parts);
    return wire.frames();
  }

  /** Sends one request exactly as given and gives all frames until the agent closes. */
  ask(type: number, request: unknown): Promise<RawFrame[]> {
    return this.sendRaw(jsonFrame(type, request));
  }

  /** An Exec exactly as given. */
  async exec(request: Record<string, unknown>): Promise<ExecResult> {
    return execResult(await this.ask(Type.Exec, request));
  }

  /** Runs a shell line that must succeed; gives its output. */
  async sh(line: string): Promise<string> {
    const result = await this.exec({ command: line });
    if (result.exitCode !== 0) {
      throw new Failure(
        `exit code ${result.exitCode} from ${line}: ${result.stderr.toString()}${result.error}`,
      );
    }
    return result.stdout.toString();
  }

  /** Begins a session; its processes are ended with the case, whatever the agent does. */
  async start(type: number, request: Record<string, unknown> & { env?: object }): Promise<Wire> {
    this.#hasSessions = true;
    const env = { ...request.env, [MARKER_VARIABLE]: this.#marker };
    const wire = await this.open();
    await wire.send(jsonFrame(type, { ...request, env }));
    return wire;
  }

  /** A directory in the guest that goes away with the case. */
  async scratch(): Promise<string> {
    const path = `/tmp/vsockbox-conformance-${this.#marker}-${this.#scratches.length}`;
    // Before it is made: an agent may make it and then answer what nobody understands.
    this.#scratches.push(path);
    await this.sh(`mkdir ${path} && chmod 755 ${path}`);
    return path;
  }

  /** The next connection is served as if nothing had happened. */
  async alive(): Promise<void> {
    same("the agent's next answer", await this.sh("echo alive"), "alive\n");
  }

  /** The number in a file, once a command has written it there. */
  async pidIn(path: string): Promise<number> {
    let pid = Number.NaN;
    await this.eventually(`a process id in ${path}`, async () => {
      pid = Number.parseInt(await this.sh(`cat ${path} 2>/dev/null; :`), 10);
      return pid > 0;
    });
    return pid;
  }

  /** Whether a process runs; one that has ended and waits for its parent does not. */
  async runs(pid: number): Promise<boolean> {
    const stat = await this.sh(`cat /proc/${pid}/stat 2>/dev/null; :`);
    return stat !== "" && !/\) [ZX] /.test(stat);
  }

  /** Waits until a process has ended. */
  gone(pid: number, withinMs = 60_000): Promise<void> {
    return this.eventually(
      `the end of process ${pid}`,
      async () => !(await this.runs(pid)),
      withinMs,
    );
  }

  /** Asks again and again until the condition holds. */
  async eventually(
    what: string,
    condition: () => Promise<boolean>,
    withinMs = 60_000,
  ): Promise<void> {
    const deadline = performance.now() + withinMs;
    while (!(await condition())) {
      if (performance.now() > deadline)
        throw new Failure(`waited ${Math.round(withinMs)} ms for ${what}`);
      await Bun.sleep(50);
    }
  }

  /** Fails as a skip unless a line succeeds in the guest. */
  async need(what: string, line: string): Promise<void> {
    const { exitCode } = await this.exec({ command: line });
    if (exitCode !== 0) throw new Skip(what);
  }

  /** Skips the case unless the agent may change users. */
  async needRoot(): Promise<void> {
    const uid = (await this.sh("id -u")).trim();
    if (!/^\d+$/.test(uid)) throw new Failure(`id -u gave ${JSON.stringify(uid)}`);
    if (uid !== "0") throw new Skip("the agent does not run as root");
  }

  /** Closes all connections: whatever still waits for the agent gives up. */
  disconnect(): void {
    this.#isOver = true;
    for (const wire of this.#wires) wire.close();
  }

  /** Ends what the case left in the guest. */
  async cleanUp(withinMs: number): Promise<void> {
    this.disconnect();
    if (!this.#hasSessions && this.#scratches.length === 0) return;
    const steps: string[] = [];
    if (this.#hasSessions) {
      const setting = `${MARKER_VARIABLE}=${this.#marker}`;
      steps.push(
        `for p in /proc/[0-9]*; do tr '\\0' '\\n' 2>/dev/null < $p/environ | grep -qx ${setting} && kill -9 \${p#/proc/}; done 2>/dev/null`,
      );
    }
    for (const path of this.#scratches) steps.push(`rm -rf ${path}`);
    const wire = new Wire(await dial(this.target.address));
    const timer = setTimeout(() => wire.close(), withinMs);
    try {
      await wire.send(jsonFrame(Type.Exec, { command: steps.join("\n") }));
      await wire.frames();
    } finally {
      clearTimeout(timer);
      wire.close();
    }
  }
}
