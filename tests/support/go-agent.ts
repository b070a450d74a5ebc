/** A process that behaves on the wire as matchlock's Go agent does: `tests/fixtures/go-agent.ts`. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { eventually } from "./eventually.ts";
import { ScratchDirectory } from "./scratch-directory.ts";

const FIXTURE = join(import.meta.dir, "../fixtures/go-agent.ts");

/** The agent, with a directory of its own for its socket and the test's files. */
export class GoAgent implements AsyncDisposable {
  readonly scratch: ScratchDirectory;
  readonly path: string;
  readonly #process: Bun.Subprocess;

  private constructor(scratch: ScratchDirectory) {
    this.scratch = scratch;
    this.path = scratch.file("go.sock");
    this.#process = Bun.spawn([process.execPath, FIXTURE, this.path], {
      stdio: ["ignore", "ignore", "ignore"],
    });
  }

  static async start(): Promise<GoAgent> {
    const agent = new GoAgent(new ScratchDirectory());
    await eventually("it listens", () => existsSync(agent.path));
    return agent;
  }

  get address(): string {
    return `unix:${this.path}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.kill();
    await this.#process.exited;
    this.scratch[Symbol.dispose]();
  }
}
