/** The guest's end of a connection to a Go server: one request and its answer at a time. */
import { VsockboxError } from "../../errors.ts";
import { formatPeer } from "../../io/peer.ts";
import type { SocketStream } from "../../io/stream.ts";
import type { VfsFrameReader } from "../../protocols/vfs/frame.ts";
import {
  decodeGoResponse,
  encodeGoRequest,
  type GoRequest,
  type GoResponse,
  MAX_LISTING_BYTES,
} from "../../protocols/vfs/go-messages.ts";
import { type GoOperation, MAX_FRAME_BYTES } from "../../protocols/vfs/operations.ts";
import { readFrame } from "./read-frame.ts";
import { RemoteError } from "./remote-files.ts";

/** A connection in the Go dialect. */
export class GoConnection {
  /** Resolves with the reason when the connection is lost or closed. Never rejects. */
  readonly lost: Promise<VsockboxError>;
  readonly #losing = Promise.withResolvers<VsockboxError>();
  readonly #stream: SocketStream;
  readonly #reader: VfsFrameReader;
  readonly #lostErrno: number;
  #isLost = false;
  #last: Promise<unknown> = Promise.resolve();

  constructor(stream: SocketStream, reader: VfsFrameReader, lostErrno: number) {
    this.#stream = stream;
    this.#reader = reader;
    this.#lostErrno = lostErrno;
    this.lost = this.#losing.promise;
    // A host that ends between two requests is noticed without a request.
    void stream.peerEnded.then(() => this.close("the host has closed the connection"));
  }

  /**
   * Sends a request when those before it are answered; resolves with its answer.
   *
   * @throws {RemoteError} with the errno of the answer, or of a lost connection.
   */
  ask(request: Partial<GoRequest> & { op: GoOperation }): Promise<GoResponse> {
    const answer = this.#last.then(() => this.#exchange(request));
    this.#last = answer.catch(() => undefined);
    return answer;
  }

  async #exchange(request: Partial<GoRequest> & { op: GoOperation }): Promise<GoResponse> {
    if (this.#isLost) throw new RemoteError(this.#lostErrno);
    try {
      await this.#stream.write(encodeGoRequest(request));
      // A whole directory is one frame.
      this.#reader.limit(request.op === "readdir" ? MAX_LISTING_BYTES : MAX_FRAME_BYTES);
      const response = decodeGoResponse(await readFrame(this.#stream, this.#reader));
      if (response.errno === 0) return response;
      throw new RemoteError(response.errno);
    } catch (thrown) {
      if (thrown instanceof RemoteError) throw thrown;
      this.close(thrown instanceof Error ? thrown.message : String(thrown));
      throw new RemoteError(this.#lostErrno);
    }
  }

  /** Closes the connection; the requests that wait fail. */
  close(message = "the connection was closed"): void {
    if (this.#isLost) return;
    this.#isLost = true;
    const reason = new VsockboxError({
      code: "TRANSPORT",
      operation: "continue with",
      address: formatPeer(this.#stream.peer),
      message,
    });
    this.#stream.abort(reason);
    this.#losing.resolve(reason);
  }
}
