/** What the cases of both roles are made of. */

/** One thing that a guest or a host must do. */
export interface Case<Peer> {
  name: string;
  /** `required`: what the C program does too. `strict`: what the protocol's page demands beyond. */
  level: "required" | "strict";
  run(peer: Peer): Promise<void>;
}

/** A case failed; the message says what was seen. */
export class Failure extends Error {
  override readonly name = "Failure";
}

/** @throws {Failure} unless they are equal. */
export function same(what: string, seen: unknown, wanted: unknown): void {
  if (Bun.deepEquals(seen, wanted)) return;
  const show = (value: unknown) => (JSON.stringify(value) ?? "undefined").slice(0, 200);
  throw new Failure(`${what}: ${show(seen)} instead of ${show(wanted)}`);
}

/** @throws {Failure} unless it holds. */
export function holds(condition: boolean, otherwise: string): asserts condition {
  if (!condition) throw new Failure(otherwise);
}

/** A shell line that runs the program under test, and what it wrote. */
export class Program {
  readonly #child: Bun.Subprocess<"ignore", "pipe", "pipe">;
  readonly #output: Promise<[string, string]>;

  constructor(line: string, env: Record<string, string>) {
    this.#child = Bun.spawn(["sh", "-c", line], {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
      env: { ...process.env, ...env },
      detached: true,
    });
    this.#output = Promise.all([
      new Response(this.#child.stdout).text(),
      new Response(this.#child.stderr).text(),
    ]);
  }

  /** What became of it. */
  async end(): Promise<{ status: number; stdout: string; stderr: string }> {
    const [stdout, stderr] = await this.#output;
    return { status: await this.#child.exited, stdout, stderr };
  }

  /** Ends it with all that it started. */
  kill(): void {
    try {
      process.kill(-this.#child.pid, "SIGKILL");
    } catch {
      // It is gone already.
    }
  }
}

/** A persistent frame, made by hand: nothing here comes from the codec under src/. */
export function frame(command: string | Uint8Array, length?: number): Uint8Array {
  const bytes = Buffer.from(command as Uint8Array);
  const header = Buffer.alloc(2);
  header.writeUInt16LE(length ?? bytes.length);
  return Buffer.concat([header, bytes]);
}
