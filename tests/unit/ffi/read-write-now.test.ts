/** Reads and writes without waiting on descriptors whose O_NONBLOCK is not set. */
import { expect, test } from "bun:test";
import { ERRNO } from "../../../src/ffi/errno.ts";
import { readNow, writeNow } from "../../../src/ffi/read-write-now.ts";
import { closeDescriptor, enlargePipe, openPipe, PIPE_BYTES } from "../../../src/ffi/socket.ts";

test("a blocking pipe is filled and emptied without a wait, if the kernel supports that", () => {
  const { read, write } = openPipe();
  const bytes = Uint8Array.from({ length: PIPE_BYTES + 1000 }, (_, index) => index % 251);
  const first = writeNow(write, bytes);
  // Before Linux 6.4.
  if (first === -ERRNO.EOPNOTSUPP) return;
  expect(first).toBe(PIPE_BYTES);
  expect(writeNow(write, bytes)).toBe(-ERRNO.EAGAIN);
  const buffer = new Uint8Array(PIPE_BYTES * 2);
  expect(readNow(read, buffer)).toBe(PIPE_BYTES);
  expect(Buffer.compare(buffer.subarray(0, PIPE_BYTES), bytes.subarray(0, PIPE_BYTES))).toBe(0);
  expect(readNow(read, buffer)).toBe(-ERRNO.EAGAIN);
  closeDescriptor(write);
  expect(readNow(read, buffer)).toBe(0);
  closeDescriptor(read);
  expect(readNow(read, buffer)).toBe(-ERRNO.EBADF);
});

test("a pipe is enlarged, and another descriptor is left alone", () => {
  const { read, write } = openPipe();
  enlargePipe(read);
  expect(writeNow(write, new Uint8Array(1))).not.toBe(-ERRNO.EBADF);
  enlargePipe(-1);
  closeDescriptor(read);
  expect(writeNow(write, new Uint8Array(1))).toBe(-ERRNO.EPIPE);
  closeDescriptor(write);
});
