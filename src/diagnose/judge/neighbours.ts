/** Judges the sockets of VMMs, and the profiles. */
import type { BadTokenFile, ProfileFacts } from "../facts/profiles.ts";
import type { NeighbourFacts } from "../facts/system-facts.ts";
import { error, type Finding, ok, warning } from "../finding.ts";
import { countOf } from "../../text/count.ts";
import { programName } from "../process-name.ts";
import { shellWord } from "../../text/shell-word.ts";

/** Judges all sockets and profiles. */
export function judgeNeighbours(facts: NeighbourFacts): Finding[] {
  return [
    ...facts.sockets.map((path) => judgeSocket(path, facts)),
    ...judgeProfiles(facts.profiles),
  ];
}

function judgeSocket(path: string, { listeners, refusing }: NeighbourFacts): Finding {
  const address = `hybrid:${path}`;
  if (!listeners.has(path) && !refusing.has(path)) {
    return ok("hybrid-socket", `${address}: its listener, if there is one, cannot be examined`);
  }
  if (!listeners.has(path)) {
    return warning("socket-stale", `${address}: no process listens`, {
      fix: `rm -- ${shellWord(path)}`,
      hint: "most VMMs do not start while the file exists",
    });
  }
  const owner = listeners.get(path);
  if (owner?.isStopped === true) {
    return warning("peer-stopped", `${address}: ${programName(owner)} is stopped`, {
      fix: `kill -CONT ${owner.pid}`,
    });
  }
  const by = owner === undefined ? "a process of another user" : programName(owner);
  return ok("hybrid-socket", `${address}: ${by} listens`);
}

function judgeProfiles(facts: ProfileFacts): Finding[] {
  if ("error" in facts) {
    const { message, hint } = facts.error;
    return [error("profiles-invalid", "CONFIG", message, { hint })];
  }
  const { names, path, badTokenFiles } = facts;
  const count =
    names.length === 0
      ? "no profiles"
      : `${countOf(names.length, "profile")} (${names.join(", ")})`;
  return [ok("profiles", `${path} has ${count}`), ...badTokenFiles.map(judgeTokenFile)];
}

function judgeTokenFile({ profile, path, problem, isForeign }: BadTokenFile): Finding {
  const reason = problem?.message ?? "no such file";
  return warning("token-file", `token file ${path} of profile ${profile}: ${reason}`, {
    fix: problem === undefined || isForeign ? undefined : `chmod 600 ${shellWord(path)}`,
    hint: problem?.hint ?? "copy the agent's token there, with mode 0600",
  });
}
