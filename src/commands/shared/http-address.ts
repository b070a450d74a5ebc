/** Addresses of small HTTP servers on a command line. */
import { parseHttpAddress } from "../../net/http.ts";
import { type Endpoint, formatEndpoint } from "../../text/endpoint.ts";
import { type ValueKind, word } from "../../ui/value-kind.ts";

/**
 * Returns the kind of an address to serve HTTP on.
 *
 * @param option its name, without dashes.
 */
export function httpAddress(option: string): ValueKind<Endpoint> {
  return {
    ...word("ADDRESS", "HOST:PORT or unix:PATH"),
    parse: (given) => parseHttpAddress(given, option),
    format: formatEndpoint,
  };
}
