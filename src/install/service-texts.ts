/** What each service manager needs to start the agent: files, links, lines. Pure. */
import openrcScript from "../../packaging/openrc/vsockbox-agent" with { type: "text" };
import systemdUnit from "../../packaging/systemd/vsockbox-agent.service" with { type: "text" };
import { inittabEntry, newInittab } from "./inittab.ts";
import type { Item } from "./items.ts";
import type { ServiceManager } from "./manifest.ts";

/** The service's name under systemd and OpenRC. */
export const SERVICE_NAME = "vsockbox-agent";

/** The configuration of busybox init. */
export const INITTAB = "/etc/inittab";

/** The executable's path in the files of packaging/. */
const PACKAGED_BINARY = "/usr/bin/vsockbox";

/** What decides the texts. */
export interface ServiceFileOptions {
  /** The executable's path in the tree. */
  binary: string;
  /** Arguments of the agent; undefined: those that are there stay. */
  agentArgs: string | undefined;
  /** Whether {@link INITTAB} exists with entries that are not ours. */
  hasInittab: boolean;
}

/** What makes `service` start the agent. */
export function serviceItems(service: ServiceManager, options: ServiceFileOptions): Item[] {
  switch (service) {
    case "systemd":
      return systemdItems(options);
    case "openrc":
      return openrcItems(options);
    case "busybox":
      return busyboxItems(options);
    case "none":
      return [];
  }
}

/** The line that starts the agent, for people. */
export function agentCommand({ binary, agentArgs = "" }: ServiceFileOptions): string {
  return `${binary} agent ${agentArgs}`.trim();
}

function systemdItems({ binary, agentArgs }: ServiceFileOptions): Item[] {
  const unit = `/etc/systemd/system/${SERVICE_NAME}.service`;
  return [
    { kind: "text", path: unit, mode: 0o644, text: withBinary(systemdUnit, binary) },
    ...argumentsItem("/etc/vsockbox/agent.env", agentArgs, (args) => `AGENT_ARGS="${args}"\n`),
    {
      kind: "link",
      // As `systemctl enable` makes it for WantedBy=multi-user.target.
      path: `/etc/systemd/system/multi-user.target.wants/${SERVICE_NAME}.service`,
      target: unit,
    },
  ];
}

function openrcItems({ binary, agentArgs }: ServiceFileOptions): Item[] {
  const script = `/etc/init.d/${SERVICE_NAME}`;
  return [
    { kind: "text", path: script, mode: 0o755, text: withBinary(openrcScript, binary) },
    ...argumentsItem(
      `/etc/conf.d/${SERVICE_NAME}`,
      agentArgs,
      (args) => `# Arguments of \`vsockbox agent\`.\nAGENT_ARGS="${args}"\n`,
    ),
    // As `rc-update add` makes it.
    { kind: "link", path: `/etc/runlevels/default/${SERVICE_NAME}`, target: script },
  ];
}

function busyboxItems(options: ServiceFileOptions): Item[] {
  const entry = inittabEntry(agentCommand(options));
  return options.hasInittab
    ? [{ kind: "lines", path: INITTAB, lines: entry }]
    : [{ kind: "text", path: INITTAB, mode: 0o644, text: newInittab(entry), lines: entry }];
}

/** The administrator's file: it is left alone unless arguments are given. */
function argumentsItem(
  path: string,
  agentArgs: string | undefined,
  text: (args: string) => string,
): Item[] {
  if (agentArgs === undefined) return [{ kind: "keep", path }];
  return agentArgs === "" ? [] : [{ kind: "text", path, mode: 0o644, text: text(agentArgs) }];
}

function withBinary(text: string, binary: string): string {
  return text.replaceAll(PACKAGED_BINARY, binary);
}
