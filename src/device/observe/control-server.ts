/** Serves the control socket of one VM: src/protocols/hybrid/control.ts says what it understands. */
import { resolve } from "node:path";
import { toVsockboxError, VsockboxError } from "../../errors.ts";
import { UNIX_PATH_MAX_BYTES } from "../../ffi/sockaddr.ts";
import { parseJson } from "../../json/bounded-json.ts";
import { type HttpServer, serveHttp } from "../../net/http.ts";
import { controlPathOf, readCaptureRequest } from "../../protocols/hybrid/control.ts";
import { MAX_RECORD_PAYLOAD_BYTES } from "../../protocols/pcap/vsock-record.ts";
import type { ObservedVm } from "./observed-vm.ts";
import { statusOf } from "./status.ts";

/**
 * Makes the control socket of a VM.
 *
 * @returns undefined where its path would be longer than the kernel takes.
 * @throws {VsockboxError} CANNOT_CREATE.
 */
export function serveControl(vm: ObservedVm): HttpServer | undefined {
  const { socket } = vm.config;
  // As a whole where it fits: so it is found in the kernel's list from any directory.
  const path = [resolve(socket), socket]
    .map(controlPathOf)
    .find((candidate) => Buffer.byteLength(candidate) <= UNIX_PATH_MAX_BYTES);
  if (path === undefined) {
    vm.log.warn("it has no control socket: the path would be too long");
    return undefined;
  }
  return serveHttp({ kind: "unix", path }, async (request) => {
    try {
      return Response.json(await answer(vm, request));
    } catch (thrown) {
      const error = toVsockboxError(thrown, "control");
      return Response.json(error.toJSON(), { status: error.code === "SOFTWARE" ? 500 : 400 });
    }
  });
}

async function answer(vm: ObservedVm, request: Request): Promise<unknown> {
  const asked = `${request.method} ${new URL(request.url).pathname}`;
  switch (asked) {
    case "GET /status":
      return statusOf(vm);
    case "PUT /capture":
      return startCapture(vm, await request.bytes());
    case "DELETE /capture":
      return (await vm.endCapture()) ?? null;
    default:
      throw new VsockboxError({
        code: "BAD_DATA",
        operation: "control",
        address: asked,
        message: "nothing is known by that name",
      });
  }
}

function startCapture(vm: ObservedVm, body: Uint8Array): unknown {
  const {
    file,
    payload_bytes: payloadBytes,
    force,
  } = readCaptureRequest(parseJson("body", body), MAX_RECORD_PAYLOAD_BYTES);
  return vm.startCapture({ file, payloadBytes, force });
}
