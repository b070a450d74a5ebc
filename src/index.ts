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
export type { Forward, ForwardOptions } from "./library/forward.ts";
export type { RemoteExit } from "./agent/client/remote-process.ts";
export type { TransferOptions } from "./agent/client/file-transfer.ts";
export type { TransferProgress } from "./agent/transfer/transfer.ts";
export { VsockboxError, type ErrorCode } from "./errors.ts";
export { StartError, type StartFailureKind, type StartStage } from "./start-error.ts";
