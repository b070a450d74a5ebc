/**
 * The floor of moving bytes between two processes: read(2) and write(2) of 256 KiB with one buffer, nothing
 * else. `bun run bench/loop.ts send PATH` sends standard input to a Unix socket, `recv PATH` listens there
 * and writes to standard output.
 */
import { libc, ptr } from "../src/ffi/libc.ts";
import { AF_UNIX, encodeSockaddrUn } from "../src/ffi/sockaddr.ts";
import { SOCK_STREAM } from "../src/ffi/socket.ts";

const [mode, path = ""] = process.argv.slice(2);
const { socket, bind, listen, accept4, connect, read, write, shutdown } = libc();
const own = socket(AF_UNIX, SOCK_STREAM, 0);
const address = encodeSockaddrUn(path);

function accepted(): number {
  if (bind(own, ptr(address), address.length) < 0) throw new Error(`cannot bind ${path}`);
  listen(own, 1);
  return accept4(own, null, null, 0);
}

function connected(): number {
  if (connect(own, ptr(address), address.length) < 0) throw new Error(`cannot connect to ${path}`);
  return own;
}

const [from, to] = mode === "send" ? [0, connected()] : [accepted(), 1];
const buffer = new Uint8Array(256 * 1024);
for (;;) {
  const count = Number(read(from, ptr(buffer), buffer.length));
  if (count <= 0) break;
  for (let done = 0; done < count;) {
    const rest = buffer.subarray(done, count);
    const written = Number(write(to, ptr(rest), rest.length));
    if (written < 0) throw new Error("cannot write");
    done += written;
  }
}
if (mode === "send") shutdown(to, 1);
