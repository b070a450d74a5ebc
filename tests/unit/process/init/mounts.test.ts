import { describe, expect, test } from "bun:test";
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ERRNO } from "../../../../src/ffi/errno.ts";
import type { MountRequest } from "../../../../src/ffi/mount.ts";
import { mountInitFilesystems } from "../../../../src/process/init/mounts.ts";
import { describeUnshared } from "../../../support/namespaces.ts";

const FIXTURE = join(import.meta.dir, "../../../fixtures/init-mounts.ts");
const EPERM = 1;

function inDirectory<T>(body: (root: string) => T): T {
  const root = mkdtempSync(join(tmpdir(), "vsockbox-mounts-"));
  try {
    return body(root);
  } finally {
    rmSync(root, { recursive: true });
  }
}

/** Mounts nothing and answers as it is told. */
function pretend(root: string, answer: (request: MountRequest) => number) {
  const requests: MountRequest[] = [];
  const result = mountInitFilesystems({
    root,
    system: {
      mount: (request) => {
        requests.push(request);
        return answer(request);
      },
      makeDevice: (path) => {
        writeFileSync(path, "");
        return 0;
      },
    },
  });
  return { ...result, requests };
}

describe("the mounts of an init", () => {
  test("come in an order in which each finds its directory", () => {
    inDirectory((root) => {
      const { mounted, warnings, requests } = pretend(root, () => 0);
      expect(warnings).toEqual([]);
      expect(mounted).toEqual([
        `proc on ${root}/proc`,
        `sysfs on ${root}/sys`,
        `devtmpfs on ${root}/dev`,
        `devpts on ${root}/dev/pts`,
        `tmpfs on ${root}/dev/shm`,
        `tmpfs on ${root}/run`,
        `tmpfs on ${root}/tmp`,
      ]);
      expect(requests.find(({ type }) => type === "devpts")?.data).toBe(
        "gid=5,mode=620,ptmxmode=666",
      );
    });
  });

  test("that fail are reported and do not stop the rest", () => {
    inDirectory((root) => {
      const { mounted, warnings } = pretend(root, ({ type }) => (type === "sysfs" ? EPERM : 0));
      expect(warnings).toEqual([
        `cannot mount sysfs on ${root}/sys: operation not permitted (EPERM)`,
      ]);
      expect(mounted).toHaveLength(6);
    });
  });

  test("that exist already are not an error", () => {
    inDirectory((root) => {
      expect(pretend(root, () => ERRNO.EBUSY)).toMatchObject({ mounted: [], warnings: [] });
    });
  });

  test("without a directory are reported", () => {
    inDirectory((root) => {
      writeFileSync(join(root, "run"), "");
      const { mounted, warnings } = pretend(root, () => 0);
      expect(warnings).toHaveLength(1);
      expect(warnings[0]).toContain(
        `cannot mount tmpfs on ${root}/run: the directory cannot be created`,
      );
      expect(mounted).toHaveLength(6);
    });
  });
});

describeUnshared(["-m"], "real mounts", (unshare) => {
  test("are made once, with devices on a tmpfs if the kernel has no devtmpfs", () => {
    inDirectory((root) => {
      const busybox = Bun.which("busybox");
      mkdirSync(join(root, "bin"));
      if (busybox !== null) copyFileSync(busybox, join(root, "bin/busybox"));
      const { stdout } = Bun.spawnSync([...unshare, process.execPath, FIXTURE, root], {
        stderr: "inherit",
      });
      const result = JSON.parse(stdout.toString());
      expect(result.first.warnings).toEqual([]);
      expect(result.first.mounted).toHaveLength(7);
      expect(result.first.mounted).toContain(`tmpfs on ${root}/dev`);
      expect(result.again).toEqual({ mounted: [], warnings: [] });
      expect(result.devices).toEqual({
        null: "20666 1:3",
        console: "20600 5:1",
        ptmx: "20666 5:2",
      });
      expect(result.modes).toEqual({ run: "755", tmp: "1777", "dev/shm": "1777" });
      expect(result.dev).toEqual(
        expect.arrayContaining(["fd", "pts", "shm", "stderr", "stdin", "stdout", "tty", "urandom"]),
      );
      expect(result.zero).toBe(3);
      if (busybox !== null) expect(result.pts).toBe("0\nptmx\n");
    });
  });
});
