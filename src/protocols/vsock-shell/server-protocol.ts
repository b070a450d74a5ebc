/** The server's side of the protocol: messages of the client in, actions of the server out. */
import type { JsonObject } from "../agent/json-fields.ts";
import {
  decodeTerminalExtension,
  decodeTransferExtension,
  type TerminalExtension,
  type TransferExtension,
} from "./extension.ts";
import { badShellMessage, type Message, Type, typeName } from "./message.ts";
import { decodeWindowSize, type ShellWindowSize } from "./payloads.ts";
import { decodePair, decodeText } from "./texts.ts";
import { withArticle } from "../../text/article.ts";

/** A terminal is wanted. */
export interface OpenEvent {
  kind: "open";
  /** OPEN_BASH or OPEN_CMD; the answer to an extension has the same type. */
  type: Type;
  /** Undefined: a shell. */
  command: string | undefined;
  /** The last size that came before, as from a C client on a terminal. */
  size: ShellWindowSize | undefined;
  extension: TerminalExtension | undefined;
}

/** A transfer is wanted, to the server (upload) or from it (download). */
export interface TransferEvent {
  kind: "upload" | "download";
  /** The path at the server. */
  path: Uint8Array;
  /** `SRC DST`, to be repeated in the answer. */
  pair: Uint8Array;
  extension: TransferExtension | undefined;
}

/** What a message means to the server. */
export type ServerEvent =
  | OpenEvent
  | TransferEvent
  | { kind: "resize"; size: ShellWindowSize }
  | { kind: "input"; bytes: Uint8Array }
  | { kind: "data"; bytes: Uint8Array }
  /** The upload is complete. */
  | { kind: "end" }
  /** The client has the whole download. */
  | { kind: "acknowledged" }
  /** Nothing is to be done. */
  | { kind: "none" };

type State = "begin" | "terminal" | "upload" | "download" | "over";

const NONE: ServerEvent = { kind: "none" };

/** One connection of a server. */
export class ServerProtocol {
  #state: State = "begin";
  #earlySize: ShellWindowSize | undefined;

  /** The kind of session; `begin` until the client has chosen it. */
  get state(): State {
    return this.#state;
  }

  /**
   * Handles one message.
   *
   * @throws {VsockboxError} BAD_DATA for what has no place here.
   */
  accept({ type, data }: Message): ServerEvent {
    switch (this.#state) {
      case "begin":
        return this.#onBegin(type, data);
      case "terminal":
        return onTerminal(type, data);
      case "upload":
        return this.#onUpload(type, data);
      case "download":
        if (type !== Type.FileDataEndAck) throw misplaced(type, "in a download");
        this.#state = "over";
        return { kind: "acknowledged" };
      case "over":
        throw misplaced(type, "after the end of a transfer");
    }
  }

  #onBegin(type: Type, data: Uint8Array): ServerEvent {
    switch (type) {
      case Type.WindowSize:
        // A C client on a terminal sends it before it opens anything.
        this.#earlySize = decodeWindowSize(data);
        return NONE;
      case Type.OpenBash:
      case Type.OpenCommand:
        return this.#onOpen(type, data);
      case Type.UploadStart:
        return this.#onStart("upload", data);
      case Type.DownloadStart:
        return this.#onStart("download", data);
      default:
        throw misplaced(type, "before a session is open");
    }
  }

  #onOpen(type: Type, data: Uint8Array): OpenEvent {
    const { text, extension } = decodeText(data);
    const isCommand = type === Type.OpenCommand;
    if (isCommand && text.length === 0) throw badShellMessage("the command is empty");
    const event: OpenEvent = {
      kind: "open",
      type,
      command: isCommand ? new TextDecoder().decode(text) : undefined,
      size: this.#earlySize,
      extension: extension === undefined ? undefined : decodeTerminalExtension(extension),
    };
    this.#state = "terminal";
    return event;
  }

  #onStart(kind: "upload" | "download", data: Uint8Array): TransferEvent {
    const { text, extension } = decodeText(data);
    const event =
      extension === undefined ? plainTransfer(kind, text) : extendedTransfer(kind, text, extension);
    this.#state = kind;
    return event;
  }

  #onUpload(type: Type, data: Uint8Array): ServerEvent {
    switch (type) {
      case Type.FileDataBegin:
        // A C client repeats it each time its queue has free space.
        return NONE;
      case Type.FileData:
        return { kind: "data", bytes: data };
      case Type.FileDataEnd:
        this.#state = "over";
        return { kind: "end" };
      default:
        throw misplaced(type, "in an upload");
    }
  }
}

function plainTransfer(kind: "upload" | "download", text: Uint8Array): TransferEvent {
  const { source, destination } = decodePair(text);
  const path = kind === "upload" ? destination : source;
  return { kind, path, pair: text, extension: undefined };
}

function extendedTransfer(
  kind: "upload" | "download",
  text: Uint8Array,
  value: JsonObject,
): TransferEvent {
  const extension = decodeTransferExtension(value);
  return { kind, path: extension.path, pair: text, extension };
}

function onTerminal(type: Type, data: Uint8Array): ServerEvent {
  switch (type) {
    case Type.WindowSize:
      return { kind: "resize", size: decodeWindowSize(data) };
    case Type.ClientData:
      return { kind: "input", bytes: data };
    case Type.OpenBash:
    case Type.OpenCommand:
      throw badShellMessage("a second session is opened on one connection");
    default:
      throw misplaced(type, "in a terminal session");
  }
}

function misplaced(type: Type, where: string) {
  return badShellMessage(`${withArticle(typeName(type))} message is not allowed ${where}`);
}
