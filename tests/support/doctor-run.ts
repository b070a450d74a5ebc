/** The output of `vsockbox doctor --json`. */

/** A finding as docs/json.md has it. */
export interface ShownFinding {
  severity: string;
  code: string;
  message: string;
  fix: string | null;
  hint: string | null;
}

/** Reads the object; `bad` are the warnings and errors of it. */
export function parseFindings(stdout: string) {
  const object = JSON.parse(stdout) as {
    ok: boolean;
    target: string | null;
    findings: ShownFinding[];
  };
  const bad = object.findings.filter(
    ({ severity }) => severity === "warning" || severity === "error",
  );
  return { ...object, bad };
}
