/** What a case may do with the server under test. */
import type { SocketAddress } from "../../../src/net/address.ts";
import { dial } from "../../../src/net/dial.ts";
import { Failure } from "../wire.ts";
import { dataOf, describe, message, type RawMessage, ShellWire, Type } from "./wire.ts";

/** One case's view of the server. All that it opens ends with the case. */
export class ServerSubject {
  readonly #address: SocketAddress;
  readonly #name: string;
  readonly #wires: ShellWire[] = [];
  #hasDirectory = false;

  constructor(address: SocketAddress, name: string) {
    this.#address = address;
    this.#name = name;
  }

  /** A new connection. */
  async open(): Promise<ShellWire> {
    const wire = new ShellWire(await dial(this.#address));
    this.#wires.push(wire);
    return wire;
  }

  /** Sends bytes on a new connection and gives all that is said until the server closes. */
  async ask(...parts: Uint8Array[]): Promise<RawMessage[]> {
    const wire = await this.open();
    await wire.send(...parts);
    return wire.rest();
  }

  /** Runs a line; gives its output with the terminal's carriage returns taken away. */
  async sh(line: string): Promise<string> {
    const answer = await this.ask(message(Type.OPEN_CMD, `${line}\0`));
    if (answer.at(-1)?.type !== Type.CLIENT_END) throw new Failure(`no end: ${describe(answer)}`);
    return dataOf(answer, Type.PTY_DATA).toString().replaceAll("\r\n", "\n");
  }

  /** A directory at the server that goes away with the case. */
  async scratch(): Promise<string> {
    const path = `/tmp/vsockbox-conformance-${this.#name}`;
    this.#hasDirectory = true;
    await this.sh(`mkdir -p ${path}`);
    return path;
  }

  /** The next connection is served as if nothing had happened. */
  async alive(): Promise<void> {
    const said = await this.sh("echo alive; sleep 0.1");
    if (said !== "alive\n") throw new Failure(`the next command gave ${JSON.stringify(said)}`);
  }

  /** Closes all connections and removes the directory. */
  async cleanUp(): Promise<void> {
    for (const wire of this.#wires) wire.close();
    if (this.#hasDirectory) await this.sh(`rm -rf /tmp/vsockbox-conformance-${this.#name}`);
  }
}
