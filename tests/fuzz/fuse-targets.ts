/** Requests of /dev/fuse: any bytes are a request, a malformed one, or none; nothing is thrown. */
import { FuseOpcode } from "../../src/protocols/fuse/constants.ts";
import { decodeFuseRequest } from "../../src/protocols/fuse/request.ts";
import { fuseRequest, layOut, z } from "../support/fuse-structs.ts";
import { type Target, Violation } from "./targets.ts";

function demand(holds: boolean, promise: string): asserts holds {
  if (!holds) throw new Violation(promise);
}

const CORPUS: readonly Uint8Array[] = [
  fuseRequest(FuseOpcode.Lookup, [z("name")], { unique: 2, nodeid: 1 }),
  fuseRequest(FuseOpcode.Rename2, [layOut("fuse_rename2_in", { newdir: 3 }), z("a"), z("b")]),
  fuseRequest(FuseOpcode.Write, [layOut("fuse_write_in", { fh: 1, size: 3 }), z("ab")]),
  fuseRequest(FuseOpcode.SetAttributes, [layOut("fuse_setattr_in", { valid: 0x1ff, size: 9 })]),
  fuseRequest(FuseOpcode.BatchForget, [
    layOut("fuse_batch_forget_in", { count: 2 }),
    layOut("fuse_forget_one", { nodeid: 8, nlookup: 1 }),
    layOut("fuse_forget_one", { nodeid: 9, nlookup: 2 }),
  ]),
  fuseRequest(FuseOpcode.Init, [layOut("fuse_init_in", { major: 7, minor: 38 })]),
  fuseRequest(FuseOpcode.CopyFileRange, [layOut("fuse_copy_file_range_in", { len: 5 })]),
  fuseRequest(FuseOpcode.SetXattr, [layOut("fuse_getxattr_in", { size: 1 }), z("user.a"), z("")]),
  fuseRequest(FuseOpcode.Symlink, [z("name"), z("target")]),
];

const isView = (input: Uint8Array, bytes: Uint8Array) =>
  bytes.length === 0 || bytes.buffer === input.buffer;

const REQUESTS: Target = {
  name: "fuse-requests",
  corpus: CORPUS,
  codes: [],
  run(given) {
    // The length is right, so that more than the header is read.
    const input = given.slice();
    if (input.length >= 4) new DataView(input.buffer).setUint32(0, input.length, true);
    const request = decodeFuseRequest(input);
    demand((request === undefined) === input.length < 40, "a header is a request");
    if (request === undefined) return;
    const { operation } = request;
    for (const [key, value] of Object.entries(operation)) {
      const isNumber = typeof value === "number";
      demand(!isNumber || Number.isFinite(value), "a number is one");
      if (!(value instanceof Uint8Array)) continue;
      demand(isView(input, value), "bytes are views of the request");
      const isText = ["name", "newName", "target"].includes(key);
      demand(!isText || !value.includes(0), "a name has no NUL");
    }
    if (operation.op === "forget") {
      demand(operation.nodes.length <= input.length / 8, "no more nodes than there are bytes");
    }
  },
};

/** The reader of FUSE. */
export const FUSE_TARGETS: readonly Target[] = [REQUESTS];
