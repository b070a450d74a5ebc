/** `vsockbox export`: directories of the host for guests. */
import { VFS_PORT } from "../../agent/ports.ts";
import { readIdPair, readOwner, type IdPair, type OwnerIds } from "../../vfs/server/owner-map.ts";
import { DEFAULT_MAX_OPEN_FILES } from "../../vfs/server/exported-directory.ts";
import { MAX_CONNECTIONS, MAX_GUEST_CONNECTIONS } from "../../vfs/server/file-server.ts";
import { ADDRESS } from "../shared/address-kind.ts";
import { allowArguments, jsonArgument, LIMITS_GROUP } from "../shared/connect-options.ts";
import { ABSOLUTE_PATH, EXPORT_NAME, HIDDEN_NAME } from "../shared/name-kinds.ts";
import { httpAddress } from "../shared/http-address.ts";
import { runService, serviceArguments } from "../shared/service.ts";
import { flag, list, operands, option, type ArgumentValues } from "../../ui/argument.ts";
import { DIRECTORY, integer, type ValueKind } from "../../ui/value-kind.ts";
import { defineCommand } from "../../ui/command-definition.ts";

const ID_PAIR: ValueKind<IdPair> = {
  valueName: "GUEST:HOST",
  expected: "two ids such as 0:1000",
  parse: readIdPair,
  format: ({ guest, host }) => `${guest}:${host}`,
};

const OWNER: ValueKind<OwnerIds> = {
  valueName: "UID:GID",
  expected: "a user's and a group's id such as 1000:1000",
  parse: readOwner,
  format: ({ uid, gid }) => `${uid}:${gid}`,
};

/** Headings of the help. */
const ACCESS = "Access";
const OWNERS = "Owners";

const ARGUMENTS = {
  directories: operands(DIRECTORY, { valueName: "DIR", summary: "Directories to export" }),
  as: list(EXPORT_NAME, {
    defaultText: "the directory's own",
    summary: "Name of the export, for each directory in turn; guests that name none get the first",
  }),
  listen: list(ADDRESS, {
    defaultText: `vsock::${VFS_PORT}`,
    summary: `Listen for guests here; hybrid:PATH is PATH_${VFS_PORT}`,
  }),
  ...allowArguments,
  readOnly: flag({ heading: ACCESS, summary: "Refuse every change" }),
  hide: list(HIDDEN_NAME, {
    heading: ACCESS,
    summary: "Hide files and directories with such a name, at every depth; wildcards as in a shell",
  }),
  xattr: flag({ heading: ACCESS, summary: "Serve extended attributes `user.*`" }),
  mountPoint: option(ABSOLUTE_PATH, {
    heading: ACCESS,
    defaultText: "what its first request shows",
    summary: "Where a guest of the Go package has mounted it, as that sends whole paths",
  }),
  mapUid: list(ID_PAIR, {
    heading: OWNERS,
    summary: "The guest's user id that stands for one of the host",
  }),
  mapGid: list(ID_PAIR, { heading: OWNERS, summary: "The same for groups" }),
  squash: option(OWNER, {
    heading: OWNERS,
    summary: "Owner of everything that guests make; their changes of owners are ignored",
  }),
  maxOpenFiles: option(integer(1, 1_000_000), {
    heading: LIMITS_GROUP,
    default: DEFAULT_MAX_OPEN_FILES,
    summary: "Open files of one connection",
  }),
  maxConnections: option(integer(1, 100_000), {
    heading: LIMITS_GROUP,
    default: MAX_CONNECTIONS,
    summary: "Connections at once; excess ones are closed",
  }),
  maxGuestConnections: option(integer(1, 100_000), {
    heading: LIMITS_GROUP,
    default: MAX_GUEST_CONNECTIONS,
    summary: "Those of one CID, or of one Unix socket",
  }),
  metrics: option(httpAddress("metrics"), {
    summary: "Serve metrics for Prometheus on 127.0.0.1:9464, :9464 or unix:PATH",
  }),
  quiet: flag({ short: "q", summary: "Log nothing but errors" }),
  ...jsonArgument,
  ...serviceArguments,
};

/** The values of `vsockbox export`. */
export type ExportValues = ArgumentValues<typeof ARGUMENTS>;

export const command = defineCommand({
  name: "export",
  group: "Host devices",
  summary: "Export directories of the host to guests",
  args: ARGUMENTS,
  examples: [
    {
      command: "vsockbox export ~/project --listen hybrid:/run/vm4.vsock",
      explanation: "To the guest of a hybrid VMM, on /run/vm4.vsock_5001",
    },
    {
      command: "vsockbox export . --allow-cid 3 --read-only --hide .ssh --hide '.env*'",
      explanation: "Over AF_VSOCK, for the guest with CID 3 alone, without secrets",
    },
    {
      command: "vsockbox export src data --as code --as data --squash 1000:1000",
      explanation: "Two directories, whose new files belong to one user",
    },
    {
      command: "vsockbox export ~/project --listen hybrid:/run/vm4.vsock --metrics :9464",
      explanation: "With metrics; `vsockbox export status` shows connections and open files",
    },
    {
      command: "vsockbox export work --mount-point /workspace",
      explanation: "For the daemon of a guest of the Go package",
    },
  ],
  async run(args) {
    const { runExport } = await import("./export-run.ts");
    return runService("export", args, () => runExport(args));
  },
});
