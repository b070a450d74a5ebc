/**
 * Opening an export: connect, Hello, and the dialect that the host has. A Go server answers a Hello with
 * ENOSYS, and the connection continues in its dialect.
 */
import { VsockboxError } from "../../errors.ts";
import { ERRNO } from "../../ffi/errno.ts";
import { withDeadline } from "../../io/deadline.ts";
import { formatPeer } from "../../io/peer.ts";
import type { SocketStream } from "../../io/stream.ts";
import { formatAddress, type SocketAddress } from "../../net/address.ts";
import { WrongServiceError } from "../../net/wrong-service.ts";
import { RECOGNISED_BYTES, recogniseService } from "../../protocols/recognise-service.ts";
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
  /** What was connected to, for errors; undefined: another process has connected. */
  address: SocketAddress | undefined;
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
  /** Name of the export, as the host sends it; undefined from one that does not. */
  name: string | undefined;
  /** Whether changes on the host are reported. */
  hasNotes: boolean;
  /** Resolves with the reason when the connection is lost or closed. */
  lost: Promise<VsockboxError>;
  close(): void;
}

/** A connection that was closed before the first byte of an answer. */
export class ClosedExportError extends VsockboxError {
  constructor(address: SocketAddress, cause: unknown) {
    super({
      code: "UNAVAILABLE",
      operation: OPERATION,
      address: formatAddress(address),
      message: "the peer closed the connection without an answer",
      hint: "does `vsockbox export` listen there, and do its --allow-cid and --max-connections leave a connection for this side?",
      cause,
    });
  }
}

const OPERATION = "open the export of";
const NOTIFY = "notify";
const ENOSYS = 38;

/**
 * Opens an export on a connection.
 *
 * @throws {VsockboxError} REFUSED or UNAVAILABLE as the host answers; WrongServiceError if another service
 * answers; ClosedExportError if none does; TIMEOUT, TRANSPORT, BAD_DATA.
 */
export async function openExport(options: ExportOptions): Promise<OpenedExport> {
  const { stream, timeoutMs } = options;
  const exchange: Exchange = {
    hello: encodeVfsHello({ name: options.name, features: options.wantsNotes ? [NOTIFY] : [] }),
    head: new Uint8Array(0),
  };
  try {
    return await withDeadline(hello(options, exchange), {
      milliseconds: timeoutMs,
      timeoutError: () => notAnExport(options),
      onGiveUp: (reason) => stream.abort(reason),
    });
  } catch (thrown) {
    stream.abort();
    throw explained(thrown, options, exchange);
  }
}

/** The Hello, and what has come after it. */
interface Exchange {
  readonly hello: Uint8Array;
  /** The first bytes of the peer, by which its service can be recognised. */
  head: Uint8Array;
}

function notAnExport({ stream, address, timeoutMs }: ExportOptions): VsockboxError {
  return new VsockboxError({
    code: "TIMEOUT",
    operation: OPERATION,
    address: address === undefined ? formatPeer(stream.peer) : formatAddress(address),
    message: `what listens there has not answered as an export within ${timeoutMs / 1000} s`,
    hint: "does `vsockbox export` listen there, and is its process running? An agent, for example, is another service",
  });
}

/** Returns a more specific error if the first bytes identify the peer, or none has come. */
function explained(
  thrown: unknown,
  { address }: ExportOptions,
  { hello: sent, head }: Exchange,
): unknown {
  const isFailure =
    thrown instanceof VsockboxError && ["BAD_DATA", "TIMEOUT", "TRANSPORT"].includes(thrown.code);
  if (address === undefined || !isFailure) return thrown;
  if (head.length === 0) {
    return thrown.code === "TRANSPORT" ? new ClosedExportError(address, thrown) : thrown;
  }
  const isEcho = head.every((byte, index) => byte === sent[index]);
  const service = isEcho ? "echo" : recogniseService(head);
  return service === undefined ? thrown : new WrongServiceError(address, service, "export", thrown);
}

async function hello(options: ExportOptions, exchange: Exchange): Promise<OpenedExport> {
  const { stream, name, lostErrno, wantsNotes, onNote } = options;
  const reader = new VfsFrameReader(MAX_FRAME_BYTES);
  await stream.write(exchange.hello);
  const answer = await readFrame(stream, reader, (chunk) => {
    if (exchange.head.length >= RECOGNISED_BYTES) return;
    exchange.head = Buffer.concat([exchange.head, chunk.subarray(0, RECOGNISED_BYTES)]);
  });
  const welcome = readWelcome(decodeMap(answer));
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
      name: welcome.name,
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
    operation: OPERATION,
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
    ...{ files, root, isReadOnly: false, dialect: "go", name: undefined, hasNotes: false },
    lost: connection.lost,
    close: () => connection.close(),
  };
}
