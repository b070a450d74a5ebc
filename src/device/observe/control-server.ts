/** Serves the control socket of one VM; requests are in src/protocols/hybrid/control.ts. */
import { resolve } from "node:path";
import { toVsockboxError, VsockboxError } from "../../errors.ts";
import { UNIX_PATH_MAX_BYTES } from "../../ffi/sockaddr.ts";
import { parseJson } from "../../json/bounded-json.ts";
import { type HttpServer, serveHttp } from "../../net/http.ts";
import {
  controlPathOf,
  readCaptureRequest,
  readPayloadBytes,
  readStreamName,
} from "../../protocols/hybrid/control.ts";
import { MAX_RECORD_PAYLOAD_BYTES } from "../../protocols/pcap/vsock-record.ts";
import type { ObservedVm } from "./observed-vm.ts";
import { statusOf } from "./status.ts";

/** The media type of pcap files, as IANA lists it. */
const PCAP_TYPE = "application/vnd.tcpdump.pcap";

/**
 * Creates the control socket of a VM.
 *
 * @returns undefined if its path would be longer than the kernel allows.
 * @throws {VsockboxError} CANNOT_CREATE.
 */
export function serveControl(vm: ObservedVm): HttpServer | undefined {
  const { socket } = vm.config;
  // The absolute path if it fits: then the kernel's list has it for processes in any directory.
  const path = [resolve(socket), socket]
    .map(controlPathOf)
    .find((candidate) => Buffer.byteLength(candidate) <= UNIX_PATH_MAX_BYTES);
  if (path === undefined) {
    vm.log.warn("cannot create the control socket: the path would be too long");
    return undefined;
  }
  return serveHttp({ kind: "unix", path }, async (request) => {
    try {
      const url = new URL(request.url);
      if (request.method === "GET" && url.pathname === "/packets") {
        return streamPackets(vm, url, request.signal);
      }
      return Response.json(await answer(vm, request));
    } catch (thrown) {
      const error = toVsockboxError(thrown, "serve");
      return Response.json(error.toJSON(), { status: error.code === "SOFTWARE" ? 500 : 400 });
    }
  });
}

async function answer(vm: ObservedVm, request: Request): Promise<unknown> {
  const asked = `${request.method} ${new URL(request.url).pathname}`;
  switch (asked) {
    case "GET /status":
      return statusOf(vm);
    case "GET /packets/lost":
      return lostByStream(vm, new URL(request.url));
    case "PUT /capture":
      return startCapture(vm, await request.bytes());
    case "DELETE /capture":
      return (await vm.endCapture()) ?? null;
    default:
      throw new VsockboxError({
        code: "BAD_DATA",
        operation: "serve",
        address: asked,
        message: "unknown request",
      });
  }
}

function streamPackets(vm: ObservedVm, { searchParams }: URL, signal: AbortSignal): Response {
  const text = searchParams.get("payload_bytes");
  const payloadBytes = readPayloadBytes(text, MAX_RECORD_PAYLOAD_BYTES);
  const stream = vm.openStream(payloadBytes, readStreamName(searchParams.get("stream")));
  signal.addEventListener("abort", () => stream.close(), { once: true });
  return new Response(stream.body, { headers: { "Content-Type": PCAP_TYPE } });
}

function lostByStream(vm: ObservedVm, { searchParams }: URL): unknown {
  const name = readStreamName(searchParams.get("stream"));
  const lost = name === undefined ? undefined : vm.lostByStream(name);
  if (lost !== undefined) return { packets_lost: lost };
  throw new VsockboxError({
    code: "BAD_DATA",
    operation: "serve",
    address: name,
    message: "no stream of packets has this name",
  });
}

function startCapture(vm: ObservedVm, body: Uint8Array): unknown {
  const {
    file,
    payload_bytes: payloadBytes,
    force,
  } = readCaptureRequest(parseJson("body", body), MAX_RECORD_PAYLOAD_BYTES);
  return vm.startCapture({ file, payloadBytes, force });
}
