/** The error for a peer that uses another protocol than the expected one. */
import { VsockboxError } from "../errors.ts";
import type { RecognisedService } from "../protocols/recognise-service.ts";
import { formatAddress, type SocketAddress } from "./address.ts";

/** A service that may be meant. An export sends nothing to the clients of others. */
export type ServiceName = RecognisedService | "export";

/** The services in words, with their article. */
const NAMES: Readonly<Record<ServiceName, string>> = {
  agent: "a vsockbox agent",
  "vsock-shell": "a vsock-shell server",
  bench: "`vsockbox bench serve`",
  export: "`vsockbox export`",
  hybrid: "a VMM's vsock socket",
  ssh: "an SSH server",
  http: "a web server",
  tls: "a TLS server",
  text: "a service that sends text",
  echo: "an echo service",
};

/** A service that has been recognised, but is not the one that was meant. */
export class WrongServiceError extends VsockboxError {
  readonly target: SocketAddress;
  /** The service that answers. */
  readonly service: RecognisedService;
  /** The expected service. */
  readonly expected: ServiceName;

  constructor(
    target: SocketAddress,
    service: RecognisedService,
    expected: ServiceName,
    cause?: unknown,
  ) {
    super({
      code: "BAD_DATA",
      step: "connect",
      operation: "connect",
      address: formatAddress(target),
      message: `${NAMES[service]} answers there, not ${NAMES[expected]}`,
      cause,
    });
    this.target = target;
    this.service = service;
    this.expected = expected;
  }
}
