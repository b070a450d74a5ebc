/** What `vsockbox demo` shows: commands of a user, and what they must give. */

/** One command of the demo. */
export interface DemoStep {
  /** Said before. */
  caption: string;
  /** A shell line; `$AGENT` is the agent's address. */
  line: string;
  status: number;
  /** What its output must match. */
  output: RegExp;
}

/** The commands, once the agent is ready. */
export const DEMO_STEPS: readonly DemoStep[] = [
  {
    caption: "A command with its output:",
    line: "vsockbox exec $AGENT -- uname -sr",
    status: 0,
    output: /^Linux \d/,
  },
  {
    caption: "Input goes in, output comes back:",
    line: "echo hello, guest | vsockbox exec $AGENT -- tr a-z A-Z",
    status: 0,
    output: /^HELLO, GUEST$/m,
  },
  {
    caption: "Arguments arrive as they are, and the environment is yours to set:",
    line: `vsockbox exec $AGENT --env WHO='the host' -- sh -c 'echo "asked by $WHO: $1"' sh 'a  b $HOME'`,
    status: 0,
    output: /^asked by the host: a {2}b \$HOME$/m,
  },
  {
    caption: "The exit status is the command's own:",
    line: "vsockbox exec $AGENT -- sh -c 'exit 7'",
    status: 7,
    output: /^$/,
  },
  {
    caption: "A time limit ends it, and 124 says so:",
    line: "vsockbox exec $AGENT --timeout 1 -- sleep 60",
    status: 124,
    output: /^$/,
  },
];
