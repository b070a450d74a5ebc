/** All commands, each loaded when it is run: start-up pays for one of them only. */
import type { Command } from "../ui/command.ts";

/** A command by its name, with the line that the overview shows. */
export interface CommandEntry {
  name: string;
  description: string;
  load(): Promise<{ command: Command }>;
}

/** In the order of the overview. */
export const COMMANDS: readonly CommandEntry[] = [
  {
    name: "exec",
    description: "Run a command in a guest: its input, output and exit status become yours",
    load: () => import("./exec.ts"),
  },
  {
    name: "shell",
    description: "Open a shell in a guest, on your terminal",
    load: () => import("./shell.ts"),
  },
  {
    name: "wait",
    description: "Wait until the agent in a guest is ready",
    load: () => import("./wait.ts"),
  },
  {
    name: "forward",
    description: "Reach TCP ports inside a guest through ports of this machine",
    load: () => import("./forward.ts"),
  },
  {
    name: "agent",
    description: "Serve the host from inside a guest: run commands, say when ready",
    load: () => import("./agent.ts"),
  },
  {
    name: "connect",
    description: "Connect standard input and output to an address, like nc or socat",
    load: () => import("./connect.ts"),
  },
  {
    name: "listen",
    description: "Accept connections and join them to standard input and output, or to a command",
    load: () => import("./listen.ts"),
  },
  {
    name: "cid",
    description: "Print this machine's own CID",
    load: () => import("./cid.ts"),
  },
  {
    name: "smoke",
    description: "Check that vsock works on this machine: for CI",
    load: () => import("./smoke.ts"),
  },
  {
    name: "demo",
    description: "Boot a throw-away guest and run commands in it over AF_VSOCK",
    load: () => import("./demo.ts"),
  },
];
