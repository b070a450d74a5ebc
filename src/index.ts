/**
 * The library: agents in guests, for programs that run on Bun.
 *
 * ```ts
 * import { connectAgent } from "vsockbox";
 *
 * await using agent = await connectAgent("3");
 * const { exitCode, stdout } = await agent.exec(["uname", "-r"]);
 * ```
 */
export { connectAgent, type ConnectOptions } from "./library/connect.ts";
export type { Agent } from "./library/agent.ts";
export type { CommandOptions, CommandResult, RunningCommand } from "./library/command.ts";
export type { FileFacts, Files, ListedFile } from "./library/files.ts";
export type { FileEvent, FileWatch } from "./library/file-watch.ts";
export type { FileWatchOptions } from "./agent/client/watched-path.ts";
export type { Forward, ForwardOptions } from "./library/forward.ts";
export type { RemoteExit } from "./agent/client/remote-process.ts";
export type { TransferOptions } from "./agent/client/file-transfer.ts";
export type { TransferProgress } from "./agent/transfer/transfer.ts";
export { ERROR_STEPS, VsockboxError, type ErrorCode, type ErrorStep } from "./errors.ts";
export {
  fetchFrom as fetch,
  httpClient,
  type HttpClient,
  type HttpClientOptions,
  type HttpRequestOptions,
} from "./library/http-client.ts";
export {
  type HttpServeOptions as ServeOptions,
  type ServerAtAddress as HttpServer,
  serveAt as serve,
} from "./library/http-server.ts";
export { execPipe, type ExecPipeOptions, type OutputTarget } from "./library/exec-pipe.ts";
export {
  listFilesOn as listFiles,
  openPortForwardOn as openPortForward,
  readFileOn as readFile,
  readFull,
  readMessage,
  sendMessage,
  type WireFile,
  type WireMessage,
  writeFileOn as writeFile,
} from "./library/wire.ts";
export type { MessageLimits, WireConn } from "./library/wire-exchange.ts";
export { StartError, type StartFailureKind, type StartStage } from "./start-error.ts";
export { Addr } from "./library/addr.ts";
export type { Conn, Deadline, ReadOptions, WriteOptions } from "./library/conn.ts";
export * from "./library/constants.ts";
export {
  type AddressLike,
  type ConnDialOptions as DialOptions,
  dialConn as dial,
  listenCid,
  listenConn as listen,
} from "./library/dial.ts";
export type {
  ConnListener as Listener,
  ConnListenOptions as ListenOptions,
} from "./library/listener.ts";
export {
  type DirectoryExportOptions,
  exportDirectory,
  exportFiles,
  type FileExport,
  type FileServeOptions,
  type FileServerAtAddress as FileServer,
  serveFilesAt as serveFiles,
} from "./library/file-export.ts";
export type { IdPair } from "./vfs/server/owner-map.ts";
export type { FilesProvider, ProvidedFile } from "./vfs/server/provided-files.ts";
export {
  memoryFiles,
  type MemoryFilesOptions,
  overlayFiles,
  type OverlayOptions,
} from "./library/file-providers.ts";
export type { WritableFiles } from "./vfs/server/overlay-files.ts";
export { getLocalCid } from "./library/local-cid.ts";
