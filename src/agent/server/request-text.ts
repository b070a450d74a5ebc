/** A request in words, for the list of an agent's connections. */
import { showPath } from "../../files/bytes-path.ts";
import type { ChannelRequest } from "../../protocols/agent/channel-requests.ts";
import { MAX_REQUEST_LENGTH } from "../../protocols/agent/connection-records.ts";
import { showProgram } from "../../protocols/agent/exec-request.ts";
import { formatEndpoint } from "../../text/endpoint.ts";

/** Returns the request's object: a command, a session's id, a path or an address; none for the others. */
function objectOf(request: ChannelRequest): string | undefined {
  switch (request.op) {
    case "exec":
      return showProgram(request.program);
    case "attach":
    case "logs":
    case "kill":
      return request.id;
    case "dial":
    case "listen":
      return formatEndpoint(request.endpoint);
    case "glob":
      return showPath(request.pattern);
    default:
      return "path" in request ? showPath(request.path) : undefined;
  }
}

/** Returns a request as text, cut to {@link MAX_REQUEST_LENGTH}: `exec ls -l`, `get /etc/hosts`. */
export function requestText(request: ChannelRequest): string {
  const object = objectOf(request);
  const text = object === undefined ? request.op : `${request.op} ${object}`;
  return text.length <= MAX_REQUEST_LENGTH ? text : `${text.slice(0, MAX_REQUEST_LENGTH - 1)}…`;
}
