/** The `user` field: uid, uid:gid, or a name of the guest's /etc/passwd. */
import { exitEnd, holds, refusalIn, same } from "../expect.ts";
import { type Guest, Skip } from "../guest.ts";
import { casesOf } from "../runner.ts";
import { Type, typeName } from "../wire.ts";

interface Account {
  name: string;
  uid: string;
  gid: string;
  home: string;
  shell: string;
}

/** Somebody else than root; the guest must have one. */
async function someUser(guest: Guest): Promise<Account> {
  const lines = (await guest.sh("cat /etc/passwd 2>/dev/null; :")).split("\n");
  for (const line of lines) {
    const [name = "", , uid = "", gid = "", , home = "", shell = ""] = line.split(":");
    if (/^[a-z_][a-z0-9_-]*$/.test(name) && uid !== "0" && shell !== "") {
      return { name, uid, gid, home, shell };
    }
  }
  throw new Skip("the guest's /etc/passwd has nobody but root");
}

async function asUser(guest: Guest, user: string, command: string): Promise<string> {
  const { exitCode, stdout, error } = await guest.exec({ command, user });
  same("exit code and error", [exitCode, error], [0, ""]);
  return stdout.toString();
}

async function runsNothing(guest: Guest, mode: number): Promise<void> {
  const scratch = await guest.scratch();
  const command = `echo ran > ${scratch}/ran`;
  refusalIn(
    mode,
    await guest.ask(mode, { command, user: "no-such-user-here", rows: 24, cols: 80 }),
  );
  same("files", await guest.sh(`ls ${scratch}`), "");
}

export const userCases = [
  ...casesOf("user", "required", {
    "a uid": async (guest) => {
      await guest.needRoot();
      same("id -u", await asUser(guest, "12345", "id -u"), "12345\n");
    },
    "uid:gid": async (guest) => {
      await guest.needRoot();
      same("ids", await asUser(guest, "12345:23456", "id -u; id -g"), "12345\n23456\n");
    },
    "a name of /etc/passwd": async (guest) => {
      await guest.needRoot();
      const { name, uid, gid } = await someUser(guest);
      same("ids", await asUser(guest, name, "id -u; id -g"), `${uid}\n${gid}\n`);
    },
    "on a terminal, too": async (guest) => {
      await guest.needRoot();
      const wire = await guest.start(Type.ExecTTY, { command: "id -u", user: "12345" });
      same("id -u", exitEnd(await wire.frames()).stdout, "12345\r\n");
    },
    "without one it is the agent's own": async (guest) => {
      const own = await guest.sh("id -u");
      holds(/^\d+\n$/.test(own), `id -u gave ${JSON.stringify(own)}`);
      const { stdout } = await guest.exec({ command: "id -u", user: "" });
      same("id -u", stdout.toString(), own);
    },
    "an unknown one: an error and nothing runs": (guest) => runsNothing(guest, Type.Exec),
  }),
  ...casesOf("user", "strict", {
    "a name brings its HOME, USER and SHELL": async (guest) => {
      await guest.needRoot();
      const { name, home, shell } = await someUser(guest);
      const output = await asUser(guest, name, 'echo "$HOME|$USER|$SHELL"');
      same("variables", output, `${home}|${name}|${shell}\n`);
    },
    "a name brings its groups": async (guest) => {
      await guest.needRoot();
      const { name } = await someUser(guest);
      const sorted = (groups: string) => groups.trim().split(" ").sort();
      const wanted = await guest.sh(`id -G ${name}`);
      same("groups", sorted(await asUser(guest, name, "id -G")), sorted(wanted));
    },
    "root's groups are not kept": async (guest) => {
      await guest.needRoot();
      same("groups", await asUser(guest, "12345:23456", "id -G"), "23456\n");
    },
    "the request's own HOME wins": async (guest) => {
      await guest.needRoot();
      const { name } = await someUser(guest);
      const result = await guest.exec({ command: "echo $HOME", user: name, env: { HOME: "/own" } });
      same("HOME", result.stdout.toString(), "/own\n");
    },
    "a uid that is no number in range is an error": async (guest) => {
      const { exitCode, error } = await guest.exec({ command: "true", user: "99999999999:1" });
      holds(exitCode !== 0 && error !== "", "there is no error");
    },
    ...Object.fromEntries(
      [Type.ExecStream, Type.ExecPipe, Type.ExecTTY].map((mode) => [
        `${typeName(mode)}: an unknown one is an error and nothing runs`,
        (guest: Guest) => runsNothing(guest, mode),
      ]),
    ),
  }),
];
