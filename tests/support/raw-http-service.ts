/** A program that listens on a Unix socket and sends bytes of a test's choice. */

/** What a request is answered with: a part at a time, each written by itself; undefined: nothing. */
export type RawAnswer = (request: string) => readonly string[] | undefined;

/** Listens on `path`; closes a connection after its answer, and keeps one without an answer open. */
export function serveRaw(path: string, answer: RawAnswer): Disposable & { requests: string[] } {
  const requests: string[] = [];
  const listener = Bun.listen({
    unix: path,
    socket: {
      async data(socket, bytes) {
        const request = bytes.toString();
        requests.push(request);
        const parts = answer(request);
        if (parts === undefined) return;
        for (const part of parts) {
          socket.write(part);
          socket.flush();
          // The client reads this part before the next one is sent, or both at once: either is right.
          await Bun.sleep(20);
        }
        socket.end();
      },
    },
  });
  return { requests, [Symbol.dispose]: () => listener.stop(true) };
}

/** Returns a response with this body. */
export function response(status: number, body: string): string {
  return `HTTP/1.1 ${status} x\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
}
