/** The bench protocol: requests that a server reads, answers and results that a client reads. */
import {
  ControlDecoder,
  type ControlMessage,
  encodeControl,
} from "../../src/protocols/bench/control.ts";
import {
  BENCH_TESTS,
  decodeBenchRequest,
  encodeBenchRequest,
  MAX_MESSAGE_BYTES,
  MAX_STREAMS,
} from "../../src/protocols/bench/request.ts";
import {
  decodeBenchResponse,
  encodeBenchResponse,
  RESPONSE_STATUSES,
} from "../../src/protocols/bench/response.ts";
import { type Target, Violation } from "./targets.ts";

function demand(holds: boolean, promise: string): asserts holds {
  if (!holds) throw new Violation(promise);
}

const token = Uint8Array.from({ length: 16 }, (_, index) => index);

const REQUEST: Target = {
  name: "bench-request",
  corpus: [
    ...BENCH_TESTS.map((test) =>
      encodeBenchRequest({
        ...{ kind: "control", test, streams: 2, messageBytes: 65_536 },
        ...{ durationMs: 1000, limitBytes: 2 ** 33 },
      }),
    ),
    encodeBenchRequest({ kind: "data", token, stream: 1 }),
    encodeBenchRequest({ kind: "connect", token }),
  ],
  codes: ["BAD_DATA"],
  run(input) {
    const request = decodeBenchRequest(input);
    if (request.kind === "other-version") return;
    demand(
      Bun.deepEquals(decodeBenchRequest(encodeBenchRequest(request)), request),
      "decode(encode(x)) is x",
    );
    if (request.kind !== "control") return;
    const { streams, messageBytes } = request;
    demand(streams >= 1 && streams <= MAX_STREAMS, "the number of streams is bounded");
    demand(messageBytes >= 1 && messageBytes <= MAX_MESSAGE_BYTES, "a message is bounded");
  },
};

const RESPONSE: Target = {
  name: "bench-response",
  corpus: RESPONSE_STATUSES.map((status) => encodeBenchResponse(status, { limit: 1, token })),
  codes: ["BAD_DATA"],
  run(input) {
    const { status, limit, token: own } = decodeBenchResponse(input);
    if (status === undefined) return;
    const again = decodeBenchResponse(encodeBenchResponse(status, { limit, token: own }));
    demand(again.status === status && again.limit === limit, "decode(encode(x)) is x");
  },
};

const result = (streams: number): ControlMessage => ({
  type: "result",
  result: {
    ...{ elapsedUs: 1, cpuUserUs: 2, cpuSystemUs: 3 },
    streams: Array.from({ length: streams }, () => ({ receivedBytes: 4, sentBytes: 5 })),
  },
});

const CONTROL: Target = {
  name: "bench-control",
  corpus: [
    ...[encodeControl({ type: "start" }), encodeControl({ type: "stop" })],
    ...[encodeControl(result(0)), encodeControl(result(3))],
    new Uint8Array(Buffer.concat([encodeControl(result(1)), encodeControl({ type: "stop" })])),
  ],
  codes: ["BAD_DATA"],
  run(input) {
    const messages = [...new ControlDecoder().push(input)];
    const encoded = new Uint8Array(Buffer.concat(messages.map(encodeControl)));
    demand(encoded.length <= input.length, "a message is not longer than its bytes");
    const again = [...new ControlDecoder().push(encoded)];
    demand(Bun.deepEquals(again, messages), "decode(encode(x)) is x");
    const bytewise = new ControlDecoder();
    const pieces: ControlMessage[] = [];
    for (const byte of input) pieces.push(...bytewise.push(Uint8Array.of(byte)));
    demand(Bun.deepEquals(pieces, messages), "how the bytes are cut does not matter");
  },
};

/** The readers of the bench protocol. */
export const BENCH_TARGETS: readonly Target[] = [REQUEST, RESPONSE, CONTROL];
