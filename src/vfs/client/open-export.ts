/**
 * Opening an export: connect, Hello, and the dialect that the host has. A Go server answers a Hello with
 * ENOSYS, and the connection continues in its dialect.
 */
import { VsockboxError } from "../../errors.ts";
import { ERRNO } from "../../ffi/errno.ts";
import { answerInTime } from "../../io/deadline.ts";
import { formatPeer } from "../../io/peer.ts";
import type { SocketStream } from "../../io/stream.ts";
import { decodeMap } from "../../protocols/vfs/cbor.ts";
import { VfsFrameReader } from "../../protocols/vfs/frame.ts";
import { encodeVfsHello, readWelcome } from "../../protocols/vfs/hello.ts";
import { MAX_FRAME_BYTES } from "../../protocols/vfs/operations.ts";
import type { VfsNote } from "../../protocols/vfs/responses.ts";
import { errnoMessage, errnoName } from "../../system-errors.ts";
import { GoConnection } from "./go-connection.ts";
import { GoFiles } from "./go-files.ts";
import { readFrame } from "./read-frame.ts";
import { RemoteError, type RemoteFiles, type RemoteStatus } from "./remote-files.ts";
import { VfsConnection } from "./vfs-connection.ts";
import { VfsFiles } from "./vfs-files.ts";

/** Settings of {@link openExport}. */
export interface ExportOptions {
  /** A new connection to the host, which becomes the export's. */
  stream: SocketStream;
  /** Name of the export; empty for the only one. */
  name: string;
  /** Limit of the Hello, in milliseconds. */
  timeoutMs: number;
  /** Where a Go server expects its files. */
  goRoot: string;
  /** The errno of requests once the connection is lost. */
  lostErrno: number;
  /** Whether changes on the host are to be reported. */
  wantsNotes: boolean;
  /** Called for changes on the host, if it reports them. */
  onNote(note: VfsNote): void;
}

/** An open export. */
export interface OpenedExport {
  files: RemoteFiles;
  root: RemoteStatus;
  isReadOnly: boolean;
  /** Which dialect the host has. */
  dialect: "vsockbox" | "go";
  /** Whether changes on the host are reported. */
  hasNotes: boolean;
  /** Resolves with the reason when the connection is lost or closed. */
  lost: Promise<VsockboxError>;
  close(): void;
}

const NOTIFY = "notify";
const ENOSYS = 38;

/**
 * Opens an export on a connection.
 *
 * @throws {VsockboxError} REFUSED or UNAVAILABLE as the host answers, TIMEOUT, TRANSPORT, BAD_DATA.
 */
export async function openExport(options: ExportOptions): Promise<OpenedExport> {
  const { stream, timeoutMs } = options;
  try {
    const what = "open the export of the host";
    return await answerInTime(stream, hello(options), { milliseconds: timeoutMs, what });
  } catch (thrown) {
    stream.abort();
    throw thrown;
  }
}

async function hello(options: ExportOptions): Promise<OpenedExport> {
  const { stream, name, lostErrno, wantsNotes, onNote } = options;
  const reader = new VfsFrameReader(MAX_FRAME_BYTES);
  await stream.write(encodeVfsHello({ name, features: wantsNotes ? [NOTIFY] : [] }));
  const welcome = readWelcome(decodeMap(await readFrame(stream, reader)));
  if ("errno" in welcome) {
    if (welcome.errno === ENOSYS && name === "") return openGo(options, reader);
    throw refused(options, welcome.errno);
  }
  const { inFlight, root, isReadOnly, features } = welcome;
  const connection = new VfsConnection({ stream, reader, inFlight, lostErrno, onNote });
  const hasNotes = wantsNotes && features.includes(NOTIFY);
  if (hasNotes) await connection.request({ op: "subscribe" });
  return {
    ...{
      files: new VfsFiles(connection, welcome),
      root,
      isReadOnly,
      dialect: "vsockbox",
      hasNotes,
    },
    lost: connection.lost,
    close: () => connection.close(),
  };
}

function refused({ stream, name }: ExportOptions, errno: number): VsockboxError {
  const isMissing = errno === ERRNO.ENOENT;
  const isGo = errno === ENOSYS;
  return new VsockboxError({
    code: errno === ERRNO.EACCES || errno === ERRNO.EPERM ? "REFUSED" : "UNAVAILABLE",
    operation: "open the export of",
    address: formatPeer(stream.peer),
    message: isGo
      ? "the host has no names of exports"
      : isMissing
        ? `it does not export ${JSON.stringify(name)}`
        : errnoMessage(errno),
    errno: errnoName(errno),
    ...(isMissing ? { hint: "the host's `vsockbox export` prints the names at its start" } : {}),
  });
}

async function goRootStatus(options: ExportOptions, files: GoFiles): Promise<RemoteStatus> {
  try {
    return await files.getStatus({ path: new Uint8Array(0), handle: undefined });
  } catch (thrown) {
    if (!(thrown instanceof RemoteError)) throw thrown;
    const { errno } = thrown;
    const isMissing = errno === ERRNO.ENOENT;
    throw new VsockboxError({
      code: "UNAVAILABLE",
      operation: "open the export of",
      address: formatPeer(options.stream.peer),
      message: isMissing ? `the Go server has no ${options.goRoot}` : errnoMessage(errno),
      errno: errnoName(errno),
      ...(isMissing ? { hint: "--go-root is where its own guest mounts, such as /workspace" } : {}),
    });
  }
}

async function openGo(options: ExportOptions, reader: VfsFrameReader): Promise<OpenedExport> {
  const { stream, lostErrno, goRoot } = options;
  const connection = new GoConnection(stream, reader, lostErrno);
  const files = new GoFiles((request) => connection.ask(request), goRoot);
  // The first request of a Go guest is for its root.
  const root = await goRootStatus(options, files);
  return {
    ...{ files, root, isReadOnly: false, dialect: "go", hasNotes: false },
    lost: connection.lost,
    close: () => connection.close(),
  };
}
