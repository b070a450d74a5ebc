import { expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { vmFromOptions } from "../../../../src/device/config/device-config.ts";
import { ListeningSockets } from "../../../../src/device/host/listening-sockets.ts";
import { closeDescriptor } from "../../../../src/ffi/socket.ts";
import { LocalDevice } from "../../../support/local-device.ts";

test("each socket is handed out once, and the others are removed at the end", () => {
  using local = new LocalDevice();
  const [socket, udsPath] = [`${local.socket}2`, `${local.udsPath}2`];
  const config = vmFromOptions({ socket, "uds-path": udsPath });
  const sockets = ListeningSockets.open([config], () => undefined);
  expect(sockets.descriptors).toHaveLength(2);
  const listener = sockets.unix(socket);
  expect(() => sockets.unix(socket)).toThrow("is not open, or is in use");
  expect(() => sockets.vsock(1, false)).toThrow("1 stream");
  expect(sockets.descriptors).toHaveLength(1);
  sockets.close();
  expect([existsSync(socket), existsSync(udsPath)]).toEqual([true, false]);
  closeDescriptor(listener.fd);
  listener.removeFile();
  expect(existsSync(socket)).toBe(false);
});

test("sockets that were inherited are the same ones", () => {
  using local = new LocalDevice();
  const [socket, udsPath] = [`${local.socket}2`, `${local.udsPath}2`];
  const opened = ListeningSockets.open(
    [vmFromOptions({ socket, "uds-path": udsPath })],
    () => undefined,
  );
  const adopted = ListeningSockets.adopt(opened.inherited, () => undefined);
  expect(adopted.descriptors).toEqual(opened.descriptors);
  expect(adopted.inherited).toEqual(opened.inherited);
  adopted.close();
  expect([existsSync(socket), existsSync(udsPath)]).toEqual([false, false]);
});
