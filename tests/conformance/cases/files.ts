/** WriteFile (14), ReadFile (15) and ListFiles (16), each with one FileResult. */
import { randomBytes } from "node:crypto";
import { fileResult, type FileResult, holds, same } from "../expect.ts";
import { type Guest, Skip } from "../guest.ts";
import { casesOf } from "../runner.ts";
import { Type } from "../wire.ts";

const READ_LIMIT_BYTES = 16_777_216;

const GO_DIRECTORY = 2 ** 31;
const GO_SYMLINK = 2 ** 27;
const GO_DEVICE = 2 ** 26;
const GO_NAMED_PIPE = 2 ** 25;
const GO_SETUID = 2 ** 23;
const GO_SETGID = 2 ** 22;
const GO_CHAR_DEVICE = 2 ** 21;
const GO_STICKY = 2 ** 20;

async function ask(guest: Guest, type: number, request: object): Promise<FileResult> {
  return fileResult(await guest.ask(type, request));
}

/** A request that must be done. */
async function done(guest: Guest, type: number, request: object): Promise<FileResult> {
  const result = await ask(guest, type, request);
  same("error", result.error, "");
  return result;
}

/** A request that must be refused in words; the next one is served. */
async function refused(guest: Guest, type: number, request: object): Promise<void> {
  const { content, files, error } = await ask(guest, type, request);
  holds(error !== "", "there is no error");
  same("content and files beside the error", [content.length, files.length], [0, 0]);
  await guest.alive();
}

const base64 = (content: string | Buffer) => Buffer.from(content as string).toString("base64");

/** The permissions as `ls -l` has them, without what may follow them. */
async function permissions(guest: Guest, path: string): Promise<string> {
  return (await guest.sh(`ls -ld ${path}`)).slice(0, 10);
}

/** The mode that ListFiles gives for the one entry that a line makes in a new directory. */
async function modeOf(guest: Guest, line: string): Promise<number | undefined> {
  const path = await guest.scratch();
  await guest.sh(`cd ${path} && ${line}`);
  const { files } = await done(guest, Type.ListFiles, { path });
  same("entries", files.length, 1);
  return files[0]?.mode;
}

async function writesAndReads(guest: Guest, content: Buffer): Promise<void> {
  const path = `${await guest.scratch()}/file`;
  await done(guest, Type.WriteFile, { path, content: base64(content), mode: 0 });
  same("size", (await guest.sh(`wc -c < ${path}`)).trim(), String(content.length));
  const back = await done(guest, Type.ReadFile, { path });
  same("the same bytes", back.content.equals(content), true);
}

export const fileCases = [
  ...casesOf("WriteFile (14)", "required", {
    "writes a file": async (guest) => {
      const path = `${await guest.scratch()}/file`;
      await done(guest, Type.WriteFile, { path, content: base64("text\n"), mode: 0o644 });
      same("content", await guest.sh(`cat ${path}`), "text\n");
    },
    "any bytes": (guest) => writesAndReads(guest, randomBytes(100_000)),
    "4 MB in one frame": (guest) => writesAndReads(guest, randomBytes(4_000_000)),
    "parents are made with 0755": async (guest) => {
      const scratch = await guest.scratch();
      const path = `${scratch}/a/b/file`;
      await done(guest, Type.WriteFile, { path, content: base64("x"), mode: 0o644 });
      same("content", await guest.sh(`cat ${path}`), "x");
      same(
        "permissions",
        [await permissions(guest, `${scratch}/a`), await permissions(guest, `${scratch}/a/b`)],
        ["drwxr-xr-x", "drwxr-xr-x"],
      );
    },
    "mode 0 means 0644": async (guest) => {
      const path = `${await guest.scratch()}/file`;
      await done(guest, Type.WriteFile, { path, content: base64("x"), mode: 0 });
      same("permissions", await permissions(guest, path), "-rw-r--r--");
    },
    "a left-out mode means 0644": async (guest) => {
      const path = `${await guest.scratch()}/file`;
      await done(guest, Type.WriteFile, { path, content: base64("x") });
      same("permissions", await permissions(guest, path), "-rw-r--r--");
    },
    "mode 0600 and mode 0755": async (guest) => {
      const scratch = await guest.scratch();
      for (const [mode, wanted] of [
        [0o600, "-rw-------"],
        [0o755, "-rwxr-xr-x"],
      ] as const) {
        const path = `${scratch}/${wanted.length}${mode}`;
        await done(guest, Type.WriteFile, { path, content: base64("x"), mode });
        same("permissions", await permissions(guest, path), wanted);
      }
    },
    "a shorter content replaces a longer one": async (guest) => {
      const path = `${await guest.scratch()}/file`;
      await guest.sh(`echo a longer text > ${path}`);
      await done(guest, Type.WriteFile, { path, content: base64("new"), mode: 0o644 });
      same("content", await guest.sh(`cat ${path}`), "new");
    },
    "content that is empty, null or left out": async (guest) => {
      const scratch = await guest.scratch();
      for (const [name, content] of Object.entries({ a: "", b: null, c: undefined })) {
        await done(guest, Type.WriteFile, { path: `${scratch}/${name}`, content, mode: 0o644 });
        same("size", (await guest.sh(`wc -c < ${scratch}/${name}`)).trim(), "0");
      }
    },
    "a file as parent is an error": async (guest) => {
      const scratch = await guest.scratch();
      await guest.sh(`echo x > ${scratch}/file`);
      await refused(guest, Type.WriteFile, { path: `${scratch}/file/below`, content: base64("x") });
    },
    "a directory in its place is an error": async (guest) => {
      const path = await guest.scratch();
      await refused(guest, Type.WriteFile, { path, content: base64("x") });
      same("entries", await guest.sh(`ls -A ${path}`), "");
    },
    "a missing path is an error": (guest) =>
      refused(guest, Type.WriteFile, { content: base64("x") }),
  }),
  ...casesOf("WriteFile (14)", "strict", {
    "30 MB in one frame": async (guest) => {
      const path = `${await guest.scratch()}/file`;
      const content = Buffer.alloc(30_000_000, 120);
      await done(guest, Type.WriteFile, { path, content: base64(content), mode: 0o600 });
      same("size", (await guest.sh(`wc -c < ${path}`)).trim(), "30000000");
    },
    "nothing is left beside the file": async (guest) => {
      const scratch = await guest.scratch();
      await done(guest, Type.WriteFile, { path: `${scratch}/file`, content: base64("x"), mode: 0 });
      same("entries", await guest.sh(`ls -A ${scratch}`), "file\n");
    },
  }),
  ...casesOf("ReadFile (15)", "required", {
    "gives the content": async (guest) => {
      const path = `${await guest.scratch()}/file`;
      await guest.sh(`echo content > ${path}`);
      same("content", (await done(guest, Type.ReadFile, { path })).content.toString(), "content\n");
    },
    "an empty file": async (guest) => {
      const path = `${await guest.scratch()}/file`;
      await guest.sh(`: > ${path}`);
      same("bytes", (await done(guest, Type.ReadFile, { path })).content.length, 0);
      await refused(guest, Type.ReadFile, { path: `${path}.missing` });
    },
    "exactly 16 MiB": async (guest) => {
      const path = `${await guest.scratch()}/file`;
      await guest.sh(`head -c ${READ_LIMIT_BYTES} /dev/zero > ${path}`);
      const { content } = await done(guest, Type.ReadFile, { path });
      same("bytes", content.length, READ_LIMIT_BYTES);
    },
    "one byte more is an error": async (guest) => {
      const path = `${await guest.scratch()}/file`;
      await guest.sh(`head -c ${READ_LIMIT_BYTES + 1} /dev/zero > ${path}`);
      await refused(guest, Type.ReadFile, { path });
    },
    "follows a symbolic link": async (guest) => {
      const scratch = await guest.scratch();
      await guest.sh(`cd ${scratch} && echo real > file && ln -s file link`);
      const { content } = await done(guest, Type.ReadFile, { path: `${scratch}/link` });
      same("content", content.toString(), "real\n");
    },
    "a file that is not there is an error": (guest) =>
      refused(guest, Type.ReadFile, { path: "/no/such/file" }),
    "a directory is an error": (guest) => refused(guest, Type.ReadFile, { path: "/" }),
    "a missing path is an error": (guest) => refused(guest, Type.ReadFile, {}),
  }),
  ...casesOf("ReadFile (15)", "strict", {
    "a device is an error": (guest) => refused(guest, Type.ReadFile, { path: "/dev/null" }),
    "a device without an end is an error": (guest) =>
      refused(guest, Type.ReadFile, { path: "/dev/zero" }),
    "a FIFO is an error and is not waited at": async (guest) => {
      const path = `${await guest.scratch()}/fifo`;
      await guest.need("the guest has no mkfifo", `mkfifo ${path}`);
      await refused(guest, Type.ReadFile, { path });
    },
    "a file of /proc, whose size is 0": async (guest) => {
      const path = "/proc/version";
      const { content } = await done(guest, Type.ReadFile, { path });
      same("content", content.toString(), await guest.sh(`cat ${path}`));
    },
  }),
  ...casesOf("ListFiles (16)", "required", {
    "one level, sorted by name": async (guest) => {
      const path = await guest.scratch();
      await guest.sh(`cd ${path} && mkdir d d/deeper && : > c && : > B && : > a && : > .hidden`);
      const { files } = await done(guest, Type.ListFiles, { path });
      same(
        "names",
        files.map(({ name }) => name),
        [".hidden", "B", "a", "c", "d"],
      );
    },
    "names with blanks, quotes and UTF-8": async (guest) => {
      const path = await guest.scratch();
      const names = ["a b", "it's", "größe", "\u20ac"];
      for (const [index, name] of names.entries()) {
        const env = { NAME: name };
        const { exitCode } = await guest.exec({ command: `: > "${path}/$NAME"`, env });
        same(`exit code of file ${index}`, exitCode, 0);
      }
      const { files } = await done(guest, Type.ListFiles, { path });
      same(
        "names",
        files.map(({ name }) => name),
        names.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))),
      );
    },
    "sizes and is_dir": async (guest) => {
      const path = await guest.scratch();
      await guest.sh(`cd ${path} && mkdir d && printf 12345 > f`);
      const { files } = await done(guest, Type.ListFiles, { path });
      same(
        "entries",
        files.map(({ name, isDir, size }) => [name, isDir, isDir ? 0 : size]),
        [
          ["d", true, 0],
          ["f", false, 5],
        ],
      );
    },
    "an empty directory": async (guest) => {
      const path = await guest.scratch();
      same("entries", (await done(guest, Type.ListFiles, { path })).files, []);
    },
    "a directory that is not there is an error": (guest) =>
      refused(guest, Type.ListFiles, { path: "/no/such/directory" }),
    "a file is an error": async (guest) => {
      const path = `${await guest.scratch()}/file`;
      await guest.sh(`: > ${path}`);
      await refused(guest, Type.ListFiles, { path });
    },
    "mode: permission bits": async (guest) => {
      same("mode", await modeOf(guest, ": > f && chmod 640 f"), 0o640);
    },
    "mode: a directory": async (guest) => {
      same("mode", await modeOf(guest, "mkdir d && chmod 750 d"), GO_DIRECTORY + 0o750);
    },
    "mode: a symbolic link, not what it leads to": async (guest) => {
      same("mode", await modeOf(guest, "ln -s nowhere l"), GO_SYMLINK + 0o777);
    },
    "mode: a named pipe": async (guest) => {
      await guest.need("the guest has no mkfifo", "command -v mkfifo");
      const line = "mkfifo p && chmod 600 p";
      same("mode", await modeOf(guest, line), GO_NAMED_PIPE + 0o600);
    },
    "mode: setuid, setgid and sticky": async (guest) => {
      const bits = [
        [": > f && chmod 4755 f", GO_SETUID + 0o755],
        [": > f && chmod 2755 f", GO_SETGID + 0o755],
        ["mkdir d && chmod 1777 d", GO_DIRECTORY + GO_STICKY + 0o777],
      ] as const;
      for (const [line, wanted] of bits) same(line, await modeOf(guest, line), wanted);
    },
    "mode: a character device": async (guest) => {
      const shown = await permissions(guest, "/dev/null");
      holds(shown.length === 10, `ls -ld gave ${JSON.stringify(shown)}`);
      if (!shown.startsWith("c")) throw new Skip("the guest's /dev/null is no device");
      const { files } = await done(guest, Type.ListFiles, { path: "/dev" });
      const mode = files.find(({ name }) => name === "null")?.mode ?? 0;
      same("type bits", mode - (mode % 2 ** 20), GO_DEVICE + GO_CHAR_DEVICE);
    },
    "a missing path is an error": (guest) => refused(guest, Type.ListFiles, {}),
  }),
];
