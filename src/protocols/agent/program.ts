/** The program that a request names, in each form that a request may have. */

/** A program in one of the forms of a request. */
export type Program =
  /** A program and its arguments; nothing interprets them. */
  | { kind: "vector"; argv: readonly Uint8Array[] }
  /** A line for the user's shell. */
  | { kind: "shell-line"; line: Uint8Array }
  /** The user's shell as a login shell. */
  | { kind: "login-shell" }
  /** As in the Go agent's ExecRequest: a line for sh, or with `args` a program. */
  | { kind: "go"; command: string; args: string[] };
