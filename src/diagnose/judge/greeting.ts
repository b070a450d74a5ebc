/** Judges a peer that accepts connections and is not an agent, or one that does not let this side in. */
import { EXEC_PORT } from "../../agent/ports.ts";
import { formatAddress, type SocketAddress } from "../../net/address.ts";
import type { RefusalReason } from "../../agent/client/handshake.ts";
import type { RecognisedService } from "../../protocols/recognise-service.ts";
import { error, type Finding, type Remedy, warning } from "../finding.ts";
import { shellWord } from "../../text/shell-word.ts";
import type { TargetFacts } from "../target/target-facts.ts";
import { judgeSilence } from "./silence.ts";

type Failed = Pick<Extract<TargetFacts["outcome"], { kind: "failed" }>, "error" | "failure">;

/** Judges the answer, or the silence, of a peer. */
export function judgeGreeting(facts: TargetFacts, { error: thrown, failure }: Failed): Finding {
  const { address } = facts;
  const shown = shellWord(formatAddress(address));
  switch (failure.kind) {
    case "service":
      return error(
        "service-wrong",
        "BAD_DATA",
        thrown.reason,
        serviceRemedy(failure.service, address),
      );
    case "silent-close":
      return error(
        "service-wrong",
        "UNAVAILABLE",
        "it has closed the connection without an answer",
        {
          fix:
            address.kind === "unix"
              ? `vsockbox doctor ${shellWord(`hybrid:${address.path}`)}`
              : undefined,
          hint: "the sockets of VMMs and of hybrid-proxy have hybrid: addresses",
        },
      );
    case "old-agent":
      return warning(
        "agent-old",
        "the agent has only the Go agent's frames: it is matchlock's, or is not an agent",
        {
          fix: streamCommand(shown),
          hint: "then start it in place of the old one; exec, shell, forward -L and cp of single files work with both",
        },
      );
    case "refused":
      return judgeRefusal(failure.reason, thrown.reason, shown);
    case "owner":
    case "other":
      if (thrown.code === "TIMEOUT") return judgeSilence(facts);
      return error("connection-failed", thrown.code, thrown.message, { hint: thrown.hint });
  }
}

/** Returns the command that copies this executable into a guest. */
export function upgradeCommand(target: string): string {
  return `vsockbox cp "$(command -v vsockbox)" ${target}:/usr/local/bin/vsockbox`;
}

/** Does the same by a command, since the Go agent accepts no file above 16 MiB. */
function streamCommand(target: string): string {
  const path = "/usr/local/bin/vsockbox";
  const line = `cat > ${path}.new && chmod 755 ${path}.new && mv ${path}.new ${path}`;
  return `vsockbox exec ${target} --shell '${line}' < "$(command -v vsockbox)"`;
}

function serviceRemedy(service: RecognisedService, address: SocketAddress): Remedy {
  const shown = formatAddress(address);
  const word = shellWord(shown);
  switch (service) {
    case "hybrid":
      return address.kind === "unix"
        ? { fix: `vsockbox doctor ${shellWord(`hybrid:${address.path}:${EXEC_PORT}`)}` }
        : { hint: "the port forwards to the socket of another VMM" };
    case "agent":
      return address.kind === "hybrid"
        ? { fix: `vsockbox doctor ${shellWord(`unix:${address.path}`)}` }
        : { fix: `vsockbox exec ${word} -- true` };
    case "vsock-shell":
      return { fix: `vsockbox shell-client ${word}`, hint: otherPort };
    case "bench":
      return { fix: `vsockbox bench run ${word}`, hint: otherPort };
    case "ssh":
      return { fix: `ssh -o ${proxyCommand(shown)} root@guest`, hint: otherPort };
    case "http":
    case "tls":
    case "text":
    case "echo":
      return { fix: `vsockbox connect ${word}`, hint: otherPort };
  }
}

const otherPort = `the agent has port ${EXEC_PORT}, unless --listen names another one`;

function judgeRefusal(reason: RefusalReason, message: string, target: string): Finding {
  const refused = (code: Finding["code"], remedy: Remedy) =>
    error(code, "REFUSED", message, remedy);
  switch (reason) {
    case "token":
    case "token-missing":
      return refused("token-missing", {
        hint: "name the agent's secret with --token-file FILE, or with token_file in the profile",
      });
    case "another-token":
      return refused("token-wrong", { hint: "compare the token files of both sides" });
    case "clear-token":
      return refused("token-wrong", {
        fix: upgradeCommand(target),
        hint: "an agent of vsockbox 0.1 cannot prove that it knows the token: start the new one in its place",
      });
    case "no-token":
      return refused("agent-without-token", {
        fix: `vsockbox doctor ${target} --token-file ''`,
        hint: "or start the agent with --token-file",
      });
    case "sessions":
      return refused("agent-full", {
        hint: "end other clients, or start the agent with more --max-sessions",
      });
    case "cid":
      return refused("agent-refuses", {
        hint: "start the agent with --allow-cid and this side's CID (1: the same machine, 2: the host)",
      });
  }
}

/** The option of ssh(1), which expands `%` and passes the command to a shell. */
function proxyCommand(address: string): string {
  const word = shellWord(address).replaceAll("%", "%%");
  return `ProxyCommand=${shellWord(`vsockbox connect ${word}`)}`;
}
