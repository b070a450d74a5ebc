/** The library as a program of its own uses it, and every example of its page. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { connectAgent, StartError, VsockboxError } from "vsockbox";
import { eventually, ScratchDirectory, TestAgent } from "../support/binary.ts";

const ROOT = join(import.meta.dir, "../..");

let agent: TestAgent;
let project: ScratchDirectory;
beforeAll(async () => {
  agent = await TestAgent.start();
  project = new ScratchDirectory();
  mkdirSync(project.file("node_modules"));
  symlinkSync(ROOT, project.file("node_modules/vsockbox"));
});
afterAll(async () => {
  await agent[Symbol.asyncDispose]();
  project[Symbol.dispose]();
});

const page = readFileSync(join(ROOT, "docs/library.md"), "utf8");
const examples = [...page.matchAll(/^```ts\n(.*?)^```$/gms)].map(([, text = ""]) => text);

/** What the examples print, in their order. */
const PRINTED = [
  /^vsockbox 0\.1\.0 channels\n$/,
  /^2 .*nowhere.*\na\n\n$/s,
  /^stdout one\n\{\n {2}exitCode: 0,.*\}\n$/s,
  /^not_found program\n$/,
  /^hello\n\ngreeting 6 file\n6 0\n$/,
  /^create \/tmp\/vsockbox-watched\/src\/main\.ts\n$/,
  /^127\.0\.0\.1:PORT\n$/,
  /^0 true\n$/,
  /^\[ "settings" \]\n$/,
  /^200 http:\/\/localhost\/shout\?x=1 HELLO\n\[ "UNAVAILABLE", "ENOENT" \]\n$/,
  /^one\ntwo, too\n$/,
  /^hello\nand back\n$/,
  /^TIMEOUT\nlate\n$/,
  /^echoed\n$/,
  /^by a stream of Node\n$/,
  /^hybrid \/nowhere\/vm4\.vsock 5000 hybrid:\/nowhere\/vm4\.vsock:5000 hybrid\nconnect\n$/,
  /^0 HELLO\nfrom the wire\n\[\n {2}\{\n {4}name: "greeting",\n {4}type: "file",\n {4}size: 14,\n {4}mode: 384,\n {2}\},?\n\]\n$/,
  /^3 by hand\n2 \{"exit_code":0\}\n$/,
];

describe("docs/library.md", () => {
  test("has as many examples as are checked here", () => {
    expect(examples.length).toBe(PRINTED.length);
  });

  test.each(PRINTED.map((printed, index) => [index + 1, printed] as const))(
    "example %i runs",
    async (number, printed) => {
      const file = project.file(`example-${number}.ts`);
      writeFileSync(file, examples[number - 1] ?? "");
      const run = Bun.spawn([process.execPath, file, agent.address], {
        cwd: project.path,
        stdout: "pipe",
        stderr: "pipe",
        env: { ...process.env, NO_COLOR: "1", VSOCKBOX_NO_VSOCK: "1" },
      });
      const output = await new Response(run.stdout).text();
      expect({ status: await run.exited, stderr: await new Response(run.stderr).text() }).toEqual({
        status: 0,
        stderr: "",
      });
      expect(output).toMatch(printed);
    },
  );
});

describe("connectAgent", () => {
  test("errors have codes", async () => {
    const nobody = connectAgent("unix:/nowhere.sock");
    expect(nobody).rejects.toMatchObject({ code: "UNAVAILABLE", errno: "ENOENT" });
    await nobody.catch((thrown: unknown) => expect(thrown).toBeInstanceOf(VsockboxError));
    expect(connectAgent("nonsense!")).rejects.toMatchObject({ code: "USAGE" });
  });

  test("many commands at once over one connection, one of them never read", async () => {
    await using client = await connectAgent(agent.address);
    const stuck = client.spawn(["cat", "/dev/zero"], { input: false });
    const results = await Promise.all(
      Array.from({ length: 50 }, (_, index) =>
        client.exec(["sh", "-c", `echo ${index}; exit ${index}`]),
      ),
    );
    expect(results.map(({ exitCode }) => exitCode)).toEqual(results.map((_, index) => index));
    expect(results.map((result) => result.text())).toEqual(results.map((_, index) => `${index}\n`));
    stuck.kill("SIGKILL");
    for await (const _ of stuck);
    expect(await stuck.exited).toMatchObject({ exitCode: 137, signal: "SIGKILL" });
  });

  test("a signal overtakes input that the command does not read", async () => {
    await using client = await connectAgent(agent.address);
    const command = client.spawn(
      "trap 'echo got it; exit 3' TERM; echo up; while :; do sleep 0.05; done",
    );
    const output = command[Symbol.asyncIterator]();
    await output.next();
    void command.write(new Uint8Array(50_000_000)).catch(() => undefined);
    command.kill("SIGTERM");
    let said = "";
    for (let next = await output.next(); !next.done; next = await output.next()) {
      said += Buffer.from(next.value.bytes).toString();
    }
    expect(said).toContain("got it");
    expect(await command.exited).toMatchObject({ exitCode: 3 });
  });

  test("a command that cannot be started is an error with its kind, stage and errno", async () => {
    await using client = await connectAgent(agent.address);
    const cases = [
      [["/no/such/program", "x"], {}, { kind: "not_found", stage: "program", errno: "ENOENT" }],
      [["a b;exit 5"], {}, { kind: "not_found", stage: "program", errno: "ENOENT" }],
      [["/etc/passwd"], {}, { kind: "permission_denied", stage: "program", errno: "EACCES" }],
      [["true"], { cwd: "/no" }, { kind: "bad_cwd", stage: "directory", errno: "ENOENT" }],
      [["true"], { user: "no-such" }, { kind: "user_unknown", stage: "user" }],
      [["true"], { sandbox: ["no-such"] }, { kind: "sandbox_failed", stage: "sandbox" }],
    ] as const;
    for (const [command, options, expected] of cases) {
      const error = await client.exec(command, options).catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(StartError);
      expect(error).toMatchObject({ code: "NOT_STARTED", ...expected });
    }
    expect((await client.exec(["true"])).exitCode).toBe(0);
  });

  test("a command without words is a TypeError", async () => {
    await using client = await connectAgent(agent.address);
    // @ts-expect-error: the type wants at least one word.
    expect(client.exec([])).rejects.toBeInstanceOf(TypeError);
    // @ts-expect-error: as above.
    expect(() => client.spawn([])).toThrow(TypeError);
    expect(() => client.spawn(["a\0b"])).toThrow(TypeError);
    expect(() => client.spawn(["true"], { env: { "A=B": "x" } })).toThrow(TypeError);
  });

  test("a request beyond the kernel's limit is E2BIG, and other requests continue", async () => {
    await using client = await connectAgent(agent.address);
    const tooLong = { kind: "resources", stage: "program", errno: "E2BIG", exitStatus: 126 };
    // MAX_ARG_STRLEN of execve(2), for one argument, one line and one variable.
    const long = "x".repeat(128 * 1024);
    expect(client.exec(["true", long])).rejects.toMatchObject(tooLong);
    expect(client.exec(`: ${long}`)).rejects.toMatchObject(tooLong);
    expect(client.exec(["true"], { env: { LONG: long } })).rejects.toMatchObject(tooLong);
    expect(client.exec(["true", long.repeat(10)])).rejects.toMatchObject(tooLong);
    const many = Array.from({ length: 100 }, () => "y".repeat(100_000));
    expect(client.exec(["true", ...many])).rejects.toMatchObject(tooLong);
    const fits = await client.exec(["sh", "-c", "echo $#; cat", "sh", ...many.slice(0, 15)], {
      stdin: "input",
    });
    expect(fits.text()).toBe("15\ninput");
  });

  test("an aborted command is ended", async () => {
    await using client = await connectAgent(agent.address);
    const abort = new AbortController();
    const result = client.exec(["sleep", "77"], { signal: abort.signal });
    abort.abort();
    expect(result).rejects.toMatchObject({ code: "ABORTED" });
    await result.catch(() => undefined);
  });

  test("a forward stops listening when its agent is closed", async () => {
    const client = await connectAgent(agent.address);
    const path = project.file("ends.sock");
    const forward = await client.forward({
      listen: { kind: "unix", path },
      target: { kind: "tcp", host: "127.0.0.1", port: 1 },
    });
    expect(existsSync(path)).toBe(true);
    await client.close();
    await eventually("its socket is removed", () => !existsSync(path));
    forward.close();
  });

  test("forwards both ways, with Unix sockets", async () => {
    await using client = await connectAgent(agent.address);
    const echo = createServer({ allowHalfOpen: true }, (socket) => void socket.pipe(socket));
    const target = project.file("echo.sock");
    await new Promise<void>((resolve) => echo.listen(target, resolve));
    for (const direction of ["local", "remote"] as const) {
      const path = project.file(`${direction}.sock`);
      using forward = await client.forward({
        direction,
        listen: { kind: "unix", path },
        target: { kind: "unix", path: target },
      });
      expect(forward.listening).toBe(`unix:${path}`);
      const answer = await exchange(path, "to and fro");
      expect(answer).toBe("to and fro");
    }
    echo.close();
  });
});

async function exchange(path: string, text: string): Promise<string> {
  const done = Promise.withResolvers<string>();
  let answer = "";
  const socket = await Bun.connect({
    unix: path,
    allowHalfOpen: true,
    socket: {
      data: (_, bytes) => void (answer += bytes.toString()),
      end: () => done.resolve(answer),
      close: () => done.resolve(answer),
    },
  });
  socket.write(text);
  socket.shutdown();
  return done.promise;
}
