/** `vsockbox mount` with a host that answers anything: programs get errors, and the mount goes on. */
import { describe, expect, test } from "bun:test";
import { mkdirSync } from "node:fs";
import type { CborMap } from "../../src/protocols/vfs/cbor-values.ts";
import { EntryPacker } from "../../src/protocols/vfs/entries.ts";
import type { FileStat } from "../../src/file-stat.ts";
import { packStat } from "../../src/protocols/vfs/file-stat.ts";
import { Running, ScratchDirectory } from "../support/binary.ts";
import { MountNamespace, NO_MOUNTS } from "../support/mount-namespace.ts";
import { type AnswerFields, RawVfsHost } from "../support/raw-vfs-host.ts";

const HELLO = 200;
const DIRECTORY = 0o040755;
const TYPES = [0o040000, 0o100000, 0o120000, 0o010000, 0o170000, 0];
const ERRNOS = [0, 0, 0, 0, 0, 0, 1, 2, 5, 13, 17, 20, 38, 116, 4095];
const NAMES = ["a", "b", "c", "..", ".", "x".repeat(255), "new\nline"];

/** Numbers from a seed, the same in each run. */
class Dice {
  #state: number;

  constructor(seed: number) {
    this.#state = seed;
  }

  below(limit: number): number {
    this.#state = (Math.imul(this.#state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((this.#state / 2 ** 32) * limit);
  }

  one<T>(list: readonly [T, ...T[]] | readonly T[]): T {
    return list[this.below(list.length)] as T;
  }
}

function stat(dice: Dice, mode = dice.one(TYPES) | dice.below(0o10000)): FileStat {
  const time = () => ({ seconds: dice.below(2 ** 31), nanoseconds: dice.below(1_000_000_000) });
  return {
    ...{
      ino: BigInt(dice.below(9)),
      dev: BigInt(dice.below(2)),
      birth: 0n,
      mode,
      nlink: dice.below(3),
    },
    ...{
      uid: 0,
      gid: 0,
      rdev: dice.below(1000),
      size: dice.below(2 ** 31),
      blocks: dice.below(99),
    },
    ...{ atime: time(), mtime: time(), ctime: time(), blksize: dice.below(2 ** 31) },
  };
}

function entries(dice: Dice): Uint8Array {
  const packer = new EntryPacker(4096);
  for (let count = dice.below(6); count > 0; count--) {
    packer.add({
      ...{ name: new TextEncoder().encode(dice.one(NAMES)), type: dice.below(16) },
      ...{ ino: BigInt(dice.below(9)), offset: BigInt(dice.below(5)) },
      stat: dice.below(4) === 0 ? undefined : stat(dice),
    });
  }
  return packer.packed;
}

function answer(dice: Dice, request: CborMap): AnswerFields {
  const id = request.get("id") as number;
  // The kernel gives a root up whose type changes.
  const path = request.get("path");
  const isRoot = path instanceof Uint8Array && path.length === 0;
  if (isRoot) return { id, err: 0, stat: packStat(stat(dice, DIRECTORY)), fh: 1 };
  const errno = dice.one(ERRNOS);
  if (errno !== 0) return { id, err: -errno };
  const isListing = request.get("op") === 34;
  return {
    ...{ id, err: 0, fh: dice.below(4), written: dice.below(9), off: dice.below(99) },
    ...(dice.below(9) === 0 ? {} : { stat: packStat(stat(dice)) }),
    data: isListing ? entries(dice) : new Uint8Array(dice.below(200)),
    fs: Array.from({ length: 8 }, () => dice.below(2 ** 32)),
  };
}

const LOAD = `find . -maxdepth 5; ls -laR . | head -c 100000; for n in a b c a/b b/c; do
  cat $n; echo x > $n; mkdir $n/d; rm -rf $n; ln -s t $n/l; readlink $n; mv a $n; stat $n; truncate -s 9 $n
  done; df .; stat -f .; cp -a a b`;

describe.skipIf(NO_MOUNTS !== undefined)(`a hostile host${NO_MOUNTS ?? ""}`, () => {
  test.each([1, 2])(
    "with answers from the seed %i ends neither the mount nor its programs",
    async (seed) => {
      const dice = new Dice(seed);
      using scratch = new ScratchDirectory();
      await using namespace = await MountNamespace.make();
      const host = await RawVfsHost.listen(scratch.file("host.sock"), (request) => {
        if (request.get("op") !== HELLO) return answer(dice, request);
        return {
          ...{
            err: 0,
            version: 1,
            features: [],
            max_read: 65_536,
            max_write: 65_536,
            in_flight: 64,
          },
          ...{
            read_only: false,
            root: packStat(stat(dice, DIRECTORY)),
            server_id: Uint8Array.of(1),
          },
        };
      });
      const target = scratch.file("mnt");
      mkdirSync(target);
      const words = ["mount", `unix:${host.path}`, target, "--cache", "none"];
      await using mount = new Running(words, { through: namespace.through });
      await mount.process.stdout.getReader().read();
      const load = Bun.spawn(
        [
          ...["timeout", "-k", "2", "8"],
          ...namespace.through,
          "bash",
          "-c",
          `cd ${target} && ${LOAD}`,
        ],
        { stdio: ["ignore", "ignore", "ignore"] },
      );
      // A host may let programs list for ever; it cannot keep them from being ended.
      await load.exited;
      expect(mount.process.exitCode).toBeNull();
      expect(mount.stderr).toBe("");
      expect(host.requests.length).toBeGreaterThan(20);
      mount.process.kill("SIGTERM");
      expect(await mount.process.exited).toBe(0);
      await host.close();
    },
  );
});
