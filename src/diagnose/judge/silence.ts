/** Judges a peer that accepts connections and does not answer. */
import { formatAddress } from "../../net/address.ts";
import { error, type Finding } from "../finding.ts";
import { programName } from "../process-name.ts";
import type { TargetFacts } from "../target/target-facts.ts";

/** Judges a peer that has not answered in time: a stopped process can be continued. */
export function judgeSilence({ address, listener, stoppedAgents }: TargetFacts): Finding {
  const stopped = listener?.isStopped === true ? listener : stoppedAgents[0];
  if (stopped !== undefined) {
    return error("peer-stopped", "TIMEOUT", `${programName(stopped)} is stopped`, {
      fix: `kill -CONT ${stopped.pid}`,
    });
  }
  return error(
    "peer-silent",
    "TIMEOUT",
    `${formatAddress(address)} has accepted the connection and does not answer`,
    {
      hint: "the VM is paused, its agent stopped (in the guest: kill -CONT PID), or both are overloaded; --connect-timeout waits longer",
    },
  );
}
