/** Judges an agent that answers: its version, ready port, clock, and limits. */
import { formatAddress } from "../../net/address.ts";
import { FEATURES } from "../../protocols/agent/hello.ts";
import { countOf } from "../../text/count.ts";
import { printable } from "../../text/printable.ts";
import { formatBytes } from "../../text/units.ts";
import { TARGET, VERSION } from "../../version.ts";
import { type Finding, info, ok, type Remedy, warning } from "../finding.ts";
import { shellWord } from "../../text/shell-word.ts";
import type { AgentFacts, LimitFacts, TargetFacts } from "../target/target-facts.ts";
import { upgradeCommand } from "./greeting.ts";
import { judgeSilence } from "./silence.ts";

/** A difference of the clocks above this is a warning, in milliseconds; date(1) sets whole seconds. */
const CLOCK_LIMIT_MS = 2000;

/** Buffers, or memory, in use above this part are a warning. */
const FULL = 0.9;

/** Names of features that are shown at most. */
const MAX_NAMES = 5;

/** Judges an agent; nothing for a target without one. */
export function judgeAnsweringAgent(facts: TargetFacts): Finding[] {
  const { address, outcome } = facts;
  if (outcome.kind !== "agent") return [];
  const { agent } = outcome;
  const target = shellWord(formatAddress(address));
  return [
    judgeVersion(agent, target),
    ...(agent.isAnswering ? [] : [judgeSilence(facts)]),
    ...judgeReadiness(agent, target),
    ...judgeClock(agent, target),
    ...(agent.limits === undefined ? [] : [judgeLimits(agent.limits, target)]),
  ];
}

function judgeVersion({ version, features, limits }: AgentFacts, target: string): Finding {
  const own: readonly string[] = FEATURES;
  const lacking = own.filter((name) => !features.includes(name));
  const further = features.filter((name) => !own.includes(name));
  const both = `${version} answers, this side is vsockbox ${VERSION}`;
  if (lacking.length > 0) {
    return warning(
      "agent-older",
      `${both}: the agent lacks ${names(lacking)}`,
      upgrade(target, limits),
    );
  }
  if (further.length > 0) {
    return info("agent-newer", `${both}: this side lacks ${names(further)}`, {
      hint: "install the agent's version on this side",
    });
  }
  return ok("agent", both);
}

function names(features: readonly string[]): string {
  const shown = features.slice(0, MAX_NAMES).map((name) => printable(name, { maxCharacters: 60 }));
  return features.length > MAX_NAMES ? `${shown.join(", ")} …` : shown.join(", ");
}

function upgrade(target: string, limits: LimitFacts | undefined): Remedy {
  const build = limits?.target ?? TARGET;
  if (build !== TARGET)
    return {
      hint: `install this version's build for ${printable(build, { maxCharacters: 60 })} in the guest`,
    };
  return { fix: upgradeCommand(target), hint: "then start it in place of the old one" };
}

function judgeReadiness({ isReady }: AgentFacts, target: string): Finding[] {
  if (isReady === undefined) return [];
  if (isReady) return [ok("ready", "the ready port answers")];
  return [
    info(
      "ready-not",
      "the ready port does not answer: the agent was started with another --ready-listen",
      {
        fix: `vsockbox wait ${target}`,
      },
    ),
  ];
}

function judgeClock({ clock }: AgentFacts, target: string): Finding[] {
  if (clock === undefined) return [];
  const { offsetMs, errorMs } = clock;
  const off = Math.round(offsetMs);
  if (Math.abs(offsetMs) - errorMs <= CLOCK_LIMIT_MS) {
    return [ok("clock", `the clocks differ by ${Math.abs(off)} ms`)];
  }
  const direction = off > 0 ? "fast" : "slow";
  const message = `the guest's clock is ${seconds(Math.abs(off))} ${direction}`;
  return [
    warning("clock-off", message, {
      fix: `vsockbox exec ${target} -- date -u -s "@$(date +%s)"`,
      hint: "a VM that was paused or restored has lost that time: chrony with /dev/ptp0 keeps the time",
    }),
  ];
}

function seconds(milliseconds: number): string {
  return `${(milliseconds / 1000).toFixed(1)} s`;
}

function judgeLimits(limits: LimitFacts, target: string): Finding {
  const { sessions, buffersUsedBytes, buffersLimitBytes } = limits;
  const { memoryAvailableBytes, memoryTotalBytes } = limits;
  const buffers = Number.isNaN(buffersLimitBytes)
    ? ""
    : `, ${formatBytes(buffersUsedBytes)} of ${formatBytes(buffersLimitBytes)} of buffers`;
  const message = `${countOf(sessions, "session")}${buffers}, ${formatBytes(memoryAvailableBytes)} of memory available`;
  if (buffersUsedBytes > FULL * buffersLimitBytes) {
    return warning("limits-reached", message, {
      fix: `vsockbox ps ${target}`,
      hint: "end clients and sessions that do not read, or start the agent with more --max-memory",
    });
  }
  if (memoryAvailableBytes < (1 - FULL) * memoryTotalBytes) {
    return warning("limits-reached", message, {
      hint: "the guest is short of memory: give the VM more",
    });
  }
  return ok("limits", message);
}
