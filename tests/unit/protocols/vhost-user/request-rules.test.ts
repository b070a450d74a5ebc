import { expect, test } from "bun:test";
import { ProtocolFeature } from "../../../../src/protocols/vhost-user/features.ts";
import {
  checkNegotiated,
  hasOwnReply,
} from "../../../../src/protocols/vhost-user/request-rules.ts";
import { Request, type RequestName } from "../../../../src/protocols/vhost-user/wire.ts";

const NAMES = Object.keys(Request) as RequestName[];

test("the requests with a reply of their own are those of the document", () => {
  expect(NAMES.filter((name) => hasOwnReply(Request[name]))).toEqual([
    "GET_FEATURES",
    "SET_LOG_BASE",
    "GET_VRING_BASE",
    "GET_PROTOCOL_FEATURES",
    "GET_QUEUE_NUM",
    "GET_CONFIG",
    "GET_MAX_MEM_SLOTS",
    "GET_STATUS",
  ]);
  expect([0, 99, 255].map(hasOwnReply)).toEqual([false, false, false]);
});

test("each request needs the protocol feature of the document", () => {
  const gates: [bigint, RequestName[]][] = [
    [ProtocolFeature.MultipleQueues, ["GET_QUEUE_NUM"]],
    [ProtocolFeature.BackendRequests, ["SET_BACKEND_REQ_FD"]],
    [ProtocolFeature.Config, ["GET_CONFIG", "SET_CONFIG"]],
    [ProtocolFeature.ResetDevice, ["RESET_DEVICE"]],
    [ProtocolFeature.ConfigureMemSlots, ["GET_MAX_MEM_SLOTS", "ADD_MEM_REG", "REM_MEM_REG"]],
    [ProtocolFeature.Status, ["SET_STATUS", "GET_STATUS"]],
  ];
  const gated = new Map(gates.flatMap(([gate, names]) => names.map((name) => [name, gate])));
  const isAllowed = (name: RequestName, negotiated: bigint) => {
    try {
      checkNegotiated(name, Request[name], negotiated);
      return true;
    } catch {
      return false;
    }
  };
  const all = gates.reduce((bits, [gate]) => bits | gate, 0n);
  for (const name of NAMES) {
    const gate = gated.get(name);
    expect([name, isAllowed(name, 0n)]).toEqual([name, gate === undefined]);
    expect([name, isAllowed(name, all & ~(gate ?? 0n))]).toEqual([name, gate === undefined]);
    expect([name, isAllowed(name, gate ?? 0n)]).toEqual([name, true]);
  }
});
