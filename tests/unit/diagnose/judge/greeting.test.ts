import { describe, expect, test } from "bun:test";
import type { RefusalReason } from "../../../../src/agent/client/handshake.ts";
import { judgeGreeting } from "../../../../src/diagnose/judge/greeting.ts";
import type { Failure } from "../../../../src/diagnose/target/target-facts.ts";
import type { ErrorDetails } from "../../../../src/errors.ts";
import type { RecognisedService } from "../../../../src/protocols/recognise-service.ts";
import { failedTarget, HYBRID, vsockTarget } from "../../../support/doctor-facts.ts";

function judge(failure: Failure, thrown: Partial<ErrorDetails> = {}, changes = {}) {
  const facts = failedTarget("greet", thrown, { ...changes, failure });
  if (facts.outcome.kind !== "failed") throw new Error("it has not failed");
  return judgeGreeting(facts, facts.outcome);
}

const COPY = "/usr/local/bin/vsockbox";
const UPGRADE = 'vsockbox cp "$(command -v vsockbox)" unix:/run/a.sock:/usr/local/bin/vsockbox';

describe("another service", () => {
  test.each([
    ["hybrid", {}, "vsockbox doctor hybrid:/run/a.sock:5000"],
    ["agent", {}, "vsockbox exec unix:/run/a.sock -- true"],
    ["agent", HYBRID, "vsockbox doctor unix:/run/v.sock"],
    ["vsock-shell", {}, "vsockbox shell-client unix:/run/a.sock"],
    ["ssh", vsockTarget(3, 22), "ssh -o ProxyCommand='vsockbox connect vsock:3:22' root@guest"],
    ["http", {}, "vsockbox connect unix:/run/a.sock"],
    ["tls", {}, "vsockbox connect unix:/run/a.sock"],
    ["text", {}, "vsockbox connect unix:/run/a.sock"],
    ["bench", {}, "vsockbox bench run unix:/run/a.sock"],
    ["echo", {}, "vsockbox connect unix:/run/a.sock"],
  ] as [RecognisedService, object, string][])("%s", (service, changes, fix) => {
    const found = judge(
      { kind: "service", service },
      { code: "BAD_DATA", message: "it is odd" },
      changes,
    );
    expect(found).toMatchObject({
      severity: "error",
      code: "service-wrong",
      failure: "BAD_DATA",
      message: "it is odd",
      fix,
    });
  });

  test("an address with blanks, quotes and percent signs is one word for ssh and for its shell", () => {
    const path = "/a 'b%";
    const { fix } = judge(
      { kind: "service", service: "ssh" },
      { code: "BAD_DATA", message: "it is odd" },
      { address: { kind: "unix", path } },
    );
    const words = (line: string) =>
      Bun.spawnSync(["sh", "-c", `printf '%s\\n' ${line}`])
        .stdout.toString()
        .trim()
        .split("\n");
    const command = words(fix ?? "")[2]
      ?.replace("ProxyCommand=", "")
      .replaceAll("%%", "%");
    expect(words(command ?? "")).toEqual(["vsockbox", "connect", `unix:${path}`]);
  });

  test("a VMM's socket inside a VMM's socket has no command", () => {
    expect(judge({ kind: "service", service: "hybrid" }, {}, HYBRID)).toMatchObject({
      fix: undefined,
      hint: expect.any(String),
    });
  });

  test("that closes without a byte may be a VMM's socket", () => {
    expect(judge({ kind: "silent-close" })).toMatchObject({
      code: "service-wrong",
      failure: "UNAVAILABLE",
      fix: "vsockbox doctor hybrid:/run/a.sock",
    });
    expect(judge({ kind: "silent-close" }, {}, vsockTarget(3))).toMatchObject({ fix: undefined });
  });
});

test("an agent without Hello is a warning with the copy of the new one", () => {
  expect(judge({ kind: "old-agent" })).toMatchObject({
    severity: "warning",
    code: "agent-old",
    fix: `vsockbox exec unix:/run/a.sock --shell 'cat > ${COPY}.new && chmod 755 ${COPY}.new && mv ${COPY}.new ${COPY}' < "$(command -v vsockbox)"`,
  });
});

describe("a refusal", () => {
  test.each([
    ["token", "token-missing", undefined],
    ["token-missing", "token-missing", undefined],
    ["another-token", "token-wrong", undefined],
    ["clear-token", "token-wrong", UPGRADE],
    ["no-token", "agent-without-token", "vsockbox doctor unix:/run/a.sock --token-file ''"],
    ["sessions", "agent-full", undefined],
    ["cid", "agent-refuses", undefined],
  ] as [RefusalReason, "agent-full", string | undefined][])("%s is %s", (reason, code, fix) => {
    const found = judge({ kind: "refused", reason }, { code: "REFUSED", message: "no" });
    expect(found).toMatchObject({
      severity: "error",
      code,
      failure: "REFUSED",
      message: "no",
      fix,
    });
    expect(found.hint).toBeString();
  });
});

test("silence is a silent peer; anything else keeps the error's code", () => {
  expect(judge({ kind: "other" }, { code: "TIMEOUT" })).toMatchObject({
    code: "peer-silent",
    failure: "TIMEOUT",
  });
  expect(judge({ kind: "other" }, { code: "TRANSPORT", hint: "h" })).toMatchObject({
    code: "connection-failed",
    failure: "TRANSPORT",
    hint: "h",
  });
});
