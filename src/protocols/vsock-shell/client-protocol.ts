/** The client's side of the protocol: messages of the server in, actions of the client out. */
import { type Operation } from "../../operations.ts";
import { VsockboxError } from "../../errors.ts";
import {
  decodeGrantExtension,
  decodeTerminalExtension,
  type TerminalExtension,
  type TransferGrant,
} from "./extension.ts";
import { badShellMessage, type Message, Type, typeName } from "./message.ts";
import { decodeStatus } from "./payloads.ts";
import { decodeAnswer, decodeText, UNSPEAKABLE_DIRECTORY } from "./texts.ts";
import { withArticle } from "../../text/article.ts";

/** What a client is here for. */
export type Purpose = "terminal" | "upload" | "download";

/** What a message means to the client. */
export type ClientEvent =
  | { kind: "output"; bytes: Uint8Array }
  /** The server of a terminal is one of ours. */
  | { kind: "greeted"; extension: TerminalExtension }
  /** The session is over; the status is undefined from a C server. */
  | { kind: "over"; status: number | undefined }
  /** The transfer may begin; undefined from a C server. */
  | { kind: "granted"; grant: TransferGrant | undefined }
  | { kind: "data"; bytes: Uint8Array }
  /** The download is complete. */
  | { kind: "end" }
  /** The server has the whole upload. */
  | { kind: "acknowledged" }
  /** A request that only was to wake the server was refused, as it should be. */
  | { kind: "woken" }
  | { kind: "none" };

const NONE: ClientEvent = { kind: "none" };

/** REFUSED: a server's refusal, with its reason as it sent it. */
export class ServerRefusalError extends VsockboxError {
  /** Whether it refuses the stand-in for paths with blanks, as C servers do; they send no code. */
  readonly namesUnspeakablePair: boolean;

  constructor(operation: Operation, reason: string) {
    super({ code: "REFUSED", operation, message: `the server refused: ${reason}` });
    this.namesUnspeakablePair = reason.includes(UNSPEAKABLE_DIRECTORY);
  }
}

/** One connection of a client. */
export class ClientProtocol {
  readonly #purpose: Purpose;
  #state: "asked" | "granted" | "over" = "asked";

  constructor(purpose: Purpose) {
    this.#purpose = purpose;
  }

  /**
   * Handles one message.
   *
   * @throws {VsockboxError} BAD_DATA for what has no place here; REFUSED ({@link ServerRefusalError}).
   */
  accept({ type, data }: Message): ClientEvent {
    if (this.#state === "over") throw misplaced(type, "after the end of the session");
    if (type === Type.ClientEnd) {
      const status = decodeStatus(data);
      this.#state = "over";
      return { kind: "over", status };
    }
    if (type === Type.ReadySend || type === Type.ReadyReceive) return this.#onReady(type, data);
    return this.#purpose === "terminal"
      ? this.#onTerminal(type, data)
      : this.#onTransfer(type, data);
  }

  #onTerminal(type: Type, data: Uint8Array): ClientEvent {
    switch (type) {
      case Type.PtyData:
        return data.length === 0 ? NONE : { kind: "output", bytes: data };
      case Type.OpenBash:
      case Type.OpenCommand: {
        const { extension } = decodeText(data);
        if (extension === undefined || this.#state !== "asked") {
          throw misplaced(type, "in a session");
        }
        const greeting = decodeTerminalExtension(extension);
        this.#state = "granted";
        return { kind: "greeted", extension: greeting };
      }
      default:
        throw misplaced(type, "in a terminal session");
    }
  }

  /** A server that refuses all clients answers before it knows the request. */
  #onReady(type: Type, data: Uint8Array): ClientEvent {
    const answer = decodeAnswer(data);
    const ours = this.#purpose === "upload" ? Type.ReadySend : Type.ReadyReceive;
    if (answer.granted) {
      if (this.#purpose === "terminal" || type !== ours || this.#state !== "asked") {
        throw misplaced(type, "here");
      }
      const { extension } = answer;
      const grant = extension === undefined ? undefined : decodeGrantExtension(extension);
      this.#state = "granted";
      return { kind: "granted", grant };
    }
    if (this.#state === "granted" && answer.reason.includes(WAKE_PATH)) return { kind: "woken" };
    const operation = this.#purpose === "terminal" ? "open session" : this.#purpose;
    throw new ServerRefusalError(operation, answer.reason);
  }

  #onTransfer(type: Type, data: Uint8Array): ClientEvent {
    // An empty one wakes clients; what a terminal would show has no place in a transfer.
    if (type === Type.PtyData) return NONE;
    if (this.#state !== "granted") throw misplaced(type, "before the answer");
    if (this.#purpose === "upload") {
      if (type !== Type.FileDataEndAck) throw misplaced(type, "in an upload");
      return { kind: "acknowledged" };
    }
    switch (type) {
      case Type.FileDataBegin:
        return NONE;
      case Type.FileData:
        return { kind: "data", bytes: data };
      case Type.FileDataEnd:
        return { kind: "end" };
      default:
        throw misplaced(type, "in a download");
    }
  }
}

/** The beginning of every path that is asked for to wake a C server: see `c-server-queue.ts`. */
export const WAKE_PATH = "/-vsockbox-wake-";

function misplaced(type: Type, where: string) {
  return badShellMessage(`${withArticle(typeName(type))} message is not allowed ${where}`);
}
