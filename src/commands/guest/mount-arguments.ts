/** The options of `vsockbox mount`. */
import { CACHE_MODES } from "../../vfs/mount/cache-policy.ts";
import { dialArguments, jsonArgument } from "../shared/connect-options.ts";
import { serviceArguments } from "../shared/service.ts";
import { flag, operands, option, type ArgumentValues } from "../../ui/argument.ts";
import { choice, DURATION, type ValueKind, word } from "../../ui/value-kind.ts";
import { ABSOLUTE_PATH, EXPORT_NAME } from "../shared/name-kinds.ts";
import { type FstabOptions, readFstabOptions } from "./mount-options.ts";

const CACHING = "Caching and consistency";

/** The list of `-o`. */
const OPTIONS: ValueKind<FstabOptions> = {
  ...{ valueName: "LIST", expected: "options with commas between", format: String },
  parse: (given) => (given === "" ? undefined : readFstabOptions(given)),
};

/** A type of file system that the kernel leaves to FUSE: the part after the point is free. */
const FUSE_TYPE: ValueKind<string> = {
  ...word("TYPE", "a type such as fuse.vsockbox"),
  parse: (given) => (/^fuse\.[\w.+-]+$/.test(given) ? given : undefined),
};

/** The arguments of `vsockbox mount`. */
export const mountArguments = {
  places: operands(word("PLACE"), {
    valueName: "[SOURCE] DIR",
    summary:
      "Where to mount, and before it what: the name of an export, an address, or CID:PORT/NAME; default: the first export of the host",
  }),
  export: option(EXPORT_NAME, {
    defaultText: "the first one",
    summary: "Name of the export, if SOURCE is an address",
  }),
  readOnly: flag({ summary: "Allow no changes through this mount" }),
  owner: flag({
    summary: "Only this user may use the mount; default: all users, by modes and owners",
  }),
  noPermissions: flag({
    summary: "Leave checks of modes and owners to the host, which checks as its own user",
  }),
  xattr: flag({ summary: "Pass extended attributes named user.* on, if the host has them" }),
  reconnect: flag({
    summary: "Connect again when the host is lost, and open files again; until then they fail",
  }),
  wait: option(DURATION, {
    default: 0,
    summary: "Try this long to connect, while the host does not listen yet",
  }),
  cache: option(choice(CACHE_MODES), {
    heading: CACHING,
    default: "auto",
    summary:
      "What the kernel keeps: nothing, for a second and while unchanged, or as if the host changed nothing",
  }),
  options: option(OPTIONS, {
    summary:
      "Options as in fstab: ro, rw, cache=MODE, reconnect, xattr, export=NAME, and those of all mounts",
  }),
  goRoot: option(ABSOLUTE_PATH, {
    defaultText: "DIR",
    summary: "Where a Go server expects its files: the mount point of its own guest",
  }),
  type: option(FUSE_TYPE, {
    default: "fuse.vsockbox",
    summary: "The type in /proc/mounts; it begins with fuse.",
  }),
  ...dialArguments,
  ...serviceArguments,
  ...jsonArgument,
};

/** The values of {@link mountArguments}. */
export type MountValues = ArgumentValues<typeof mountArguments>;
