/** One command to a QEMU's monitor: QMP, a JSON object a line. */
import { connect } from "node:net";

/** Runs a command without arguments and waits until it is done. */
export async function qemuMonitor(path: string, command: string): Promise<void> {
  const socket = connect(path);
  const lines = linesOf(socket);
  const next = async (): Promise<Record<string, unknown>> => {
    for (;;) {
      const { value } = await lines.next();
      if (value === undefined) throw new Error("the monitor has closed");
      const answer = JSON.parse(value) as Record<string, unknown>;
      if ("error" in answer) throw new Error(value);
      if (!("event" in answer)) return answer;
    }
  };
  await next();
  for (const execute of ["qmp_capabilities", command]) {
    socket.write(`${JSON.stringify({ execute })}\n`);
    await next();
  }
  socket.destroy();
}

async function* linesOf(source: AsyncIterable<Uint8Array>): AsyncGenerator<string, undefined> {
  let text = "";
  for await (const chunk of source) {
    text += Buffer.from(chunk).toString();
    for (let end = text.indexOf("\n"); end !== -1; end = text.indexOf("\n")) {
      yield text.slice(0, end);
      text = text.slice(end + 1);
    }
  }
  return undefined;
}
