/**
 * Running a command as another user with that user's supplementary groups: a re-execution of our
 * own file, which sets groups, gid and uid and then becomes the command.
 */
import { VsockboxError } from "../errors.ts";
import { becomeUser, replaceProcess } from "../ffi/credentials.ts";
import { RUN_AS_WORD } from "./run-as-word.ts";
import { selfCommand } from "./self.ts";
import type { User } from "./users.ts";

/** Carries the command's environment, so that nothing in it (LD_PRELOAD…) acts on our own start. */
const ENVIRONMENT_VARIABLE = "VSOCKBOX_RUN_AS_ENV";

interface RunAsRequest {
  argv: readonly [string, ...string[]];
  env: Readonly<Record<string, string>>;
  user: User;
}

/** Argument vector and environment of the re-execution. */
export function runAsCommand({ argv, env, user }: RunAsRequest): {
  argv: [string, ...string[]];
  env: Record<string, string>;
} {
  const [program, ...rest] = selfCommand();
  return {
    argv: [
      program,
      ...rest,
      RUN_AS_WORD,
      String(user.uid),
      String(user.gid),
      user.groups.join(","),
      ...argv,
    ],
    env: { [ENVIRONMENT_VARIABLE]: JSON.stringify(env) },
  };
}

/**
 * What the re-execution does with the words behind {@link RUN_AS_WORD}. Returns only by throwing.
 *
 * @throws {VsockboxError} REFUSED where the user cannot be changed, CONFIG where the program cannot
 * be executed.
 */
export function runAs(words: readonly string[]): never {
  const [uid, gid, groups = "", program, ...args] = words;
  const env: unknown = JSON.parse(process.env[ENVIRONMENT_VARIABLE] ?? "null");
  if (program === undefined || typeof env !== "object" || env === null) {
    throw new VsockboxError({
      code: "USAGE",
      operation: RUN_AS_WORD,
      message: "this word is for the agent's own use",
    });
  }
  const settings = Object.entries(env).map(([name, value]) => `${name}=${String(value)}`);
  becomeUser({
    uid: Number(uid),
    gid: Number(gid),
    groups: groups === "" ? [] : groups.split(",").map(Number),
  });
  replaceProcess(program, [program, ...args], settings);
}
