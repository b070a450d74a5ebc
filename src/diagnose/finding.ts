/**
 * What `doctor` has found: facts are read by `facts/`, judged by `judge/` without any access to the
 * system, and printed by the command.
 */
import { type ErrorCode, EXIT_STATUS } from "../errors.ts";

/** How serious a finding is: with an `error` vsock, or the target, does not work. */
export type Severity = "ok" | "info" | "warning" | "error";

/** All codes of findings; their meaning never changes. docs/doctor.md lists them. */
export const FINDING_CODES = [
  "kernel",
  "kernel-defect",
  "kernel-lacks",
  "kernel-without-vsock",
  "vsock-disabled",
  "vsock-not-loaded",
  "transport-loopback",
  "transport-to-host",
  "transport-to-guests",
  "transport-none",
  "vsock-device",
  "local-cid",
  "device-node",
  "device-node-missing",
  "device-node-denied",
  "device-node-wrong",
  "namespace",
  "namespace-local",
  "to-host-fallback-off",
  "hybrid-socket",
  "socket-stale",
  "profiles",
  "profiles-invalid",
  "token-file",
  "address",
  "socket",
  "socket-missing",
  "socket-denied",
  "socket-owner",
  "not-a-socket",
  "connection",
  "cid-unknown",
  "port-closed",
  "port-wrong",
  "peer-silent",
  "peer-stopped",
  "connection-failed",
  "guest-connection",
  "guest-port-closed",
  "service-wrong",
  "agent",
  "agent-old",
  "agent-older",
  "agent-newer",
  "agent-refuses",
  "agent-full",
  "token-missing",
  "token-wrong",
  "agent-without-token",
  "ready",
  "ready-not",
  "clock",
  "clock-off",
  "limits",
  "limits-reached",
] as const;

/** The stable name of a kind of finding, for programs. */
export type FindingCode = (typeof FINDING_CODES)[number];

/** One thing that was examined, and the verdict on it. */
export interface Finding {
  code: FindingCode;
  severity: Severity;
  /** One sentence without a full stop. */
  message: string;
  /** The shell command that fixes it, to be run on this machine; undefined if there is none. */
  fix: string | undefined;
  /** What else helps, in words. */
  hint: string | undefined;
  /** Of an error: the kind that other commands report, which decides the exit status. */
  failure: ErrorCode | undefined;
}

/** What helps against a finding. */
export interface Remedy {
  fix?: string | undefined;
  hint?: string | undefined;
}

function finding(
  severity: Severity,
  code: FindingCode,
  message: string,
  { fix, hint }: Remedy,
  failure?: ErrorCode,
): Finding {
  return { code, severity, message, fix, hint, failure };
}

/** A finding that is as it should be. */
export const ok = (code: FindingCode, message: string): Finding => finding("ok", code, message, {});

/** A finding that matters to some uses only. */
export const info = (code: FindingCode, message: string, remedy: Remedy = {}): Finding =>
  finding("info", code, message, remedy);

/** A finding that will cause trouble, though what was examined works. */
export const warning = (code: FindingCode, message: string, remedy: Remedy = {}): Finding =>
  finding("warning", code, message, remedy);

/** A finding because of which vsock, or the target, does not work. */
export const error = (
  code: FindingCode,
  failure: ErrorCode,
  message: string,
  remedy: Remedy = {},
): Finding => finding("error", code, message, remedy, failure);

/**
 * Returns the exit status for findings: that of the first error, which is the status that other commands
 * would have; 0 without errors.
 *
 * @param isStrict whether a warning counts as well, with the status of CONFIG.
 */
export function exitStatusOf(findings: readonly Finding[], isStrict: boolean): number {
  const failure = findings.find(({ severity }) => severity === "error")?.failure;
  if (failure !== undefined) return EXIT_STATUS[failure];
  const hasWarning = findings.some(({ severity }) => severity === "warning");
  return isStrict && hasWarning ? EXIT_STATUS.CONFIG : 0;
}
