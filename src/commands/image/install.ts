/** `vsockbox install`: this executable, its names and the agent's service into a root file system. */
import { commandLineError, VsockboxError } from "../../errors.ts";
import { tryLock } from "../../ffi/file-lock.ts";
import { applyInstall, applyUninstall, lockTree } from "../../install/apply.ts";
import {
  isUpToDate,
  type Prepared,
  prepareInstall,
  prepareUninstall,
} from "../../install/install.ts";
import { type ServiceManager, SERVICES } from "../../install/manifest.ts";
import { parseAgentArgs, parseLinks, parsePrefix } from "../../install/options.ts";
import {
  type Happened,
  isInsideService,
  managerCommands,
  managerRuns,
  runManager,
} from "../../install/service-manager.ts";
import { Tree } from "../../install/tree.ts";
import { selfCommand } from "../../process/self.ts";
import { onEndingSignal, statusOfSignal } from "../../process/signals.ts";
import { VERSION } from "../../version.ts";
import { PROGRAM_NAMES } from "../aliases.ts";
import { jsonArgument } from "../shared/connect-options.ts";
import { type InstallReport, reportInstall } from "./install-report.ts";
import { flag, option, type ArgumentValues } from "../../ui/argument.ts";
import { word, anyWord, FILE, choice } from "../../ui/value-kind.ts";
import { defineCommand } from "../../ui/command-definition.ts";

const LINK_NAMES = Object.keys(PROGRAM_NAMES);

const ARGUMENTS = {
  root: option(word("DIR"), {
    default: "/",
    summary: "A mounted root file system, or the tree of an image",
  }),
  prefix: option(word("DIR"), {
    default: "/usr",
    summary: "In the root: the executable is installed in DIR/bin",
  }),
  service: option(choice(["auto", ...SERVICES]), {
    default: "auto",
    summary: "What starts the agent; auto detects the service manager",
  }),
  agentArgs: option(anyWord("ARGS"), {
    summary: "Arguments of the agent, as in --agent-args='--allow-cid 2,16'",
  }),
  links: option(word("LIST"), {
    defaultText: "all",
    summary: `Names of other programs that become vsockbox: none, all, or some of ${LINK_NAMES.join(",")}`,
  }),
  binary: option(FILE, {
    defaultText: "this program",
    summary: "Install another build of vsockbox, as for another architecture",
  }),
  now: flag({ summary: "Also start, restart or stop the service" }),
  uninstall: flag({ summary: "Remove the installed files, and nothing else" }),
  force: flag({
    short: "f",
    summary: "Also replace or remove files that vsockbox has not installed, or that were changed",
  }),
  dryRun: flag({ summary: "Print the changes, and make none" }),
  ...jsonArgument,
};

type Values = ArgumentValues<typeof ARGUMENTS>;

export const command = defineCommand({
  name: "install",
  group: "Images and installation",
  summary: "Install vsockbox and its agent in a guest or an image",
  args: ARGUMENTS,
  conflicts: { uninstall: ["agentArgs", "links", "binary"] },
  examples: [
    { command: "vsockbox install --now", explanation: "In a guest: install, and start the agent" },
    {
      command: "vsockbox install --root /mnt --agent-args='--allow-cid 2,16 --sandbox all'",
      explanation: "Into an image that is mounted on /mnt, without its programs being run",
    },
    {
      command: "vsockbox install --root tree --binary dist/vsockbox-linux-arm64 --links none",
      explanation: "Into the tree of an image for another machine, as an ordinary user",
    },
    { command: "vsockbox install --uninstall --now", explanation: "Stop the agent and remove it" },
  ],
  run: (args) => (args.uninstall ? uninstall(args) : install(args)),
});

const usage = (message: string, hint?: string) => commandLineError("install", message, hint);

async function install(args: Values): Promise<number> {
  const prefix = parsePrefix(args.prefix);
  const links = args.links;
  const wanted = args.service;
  const agentArgs = await readAgentArgs(args.agentArgs);
  if (wanted === "none" && agentArgs !== undefined) {
    throw usage("--agent-args requires a service other than none");
  }
  const options = {
    prefix,
    links: links === undefined ? undefined : parseLinks(links, LINK_NAMES),
    service: SERVICES.find((service) => service === wanted),
    agentArgs,
    binary: args.binary ?? ownExecutable(),
    version: VERSION,
    linkNames: LINK_NAMES,
    force: args.force,
  };
  const tree = treeOf(args);
  const isDryRun = args.dryRun;
  using _lock = isDryRun ? undefined : lockTree(tree, tryLock);
  const prepared = prepareInstall({ ...options, tree });
  const upToDate = isUpToDate(prepared);
  const { service } = prepared.facts;
  const happened = prepared.plan.changes.length === 0 ? "unchanged" : "installed";
  const manager = managerOf(args, tree, service, happened);
  if (!isDryRun && !upToDate) {
    const interrupt = new AbortController();
    let status = 0;
    using _signals = onEndingSignal((signal) => {
      status = statusOfSignal(signal);
      interrupt.abort();
    });
    try {
      await applyInstall(prepared.place, prepared.plan, prepared.facts, interrupt.signal);
    } catch (thrown) {
      if (status !== 0) return status;
      throw thrown;
    }
  }
  if (!isDryRun) runManager(manager.after, "in place");
  const { executable, command: line } = prepared;
  reportInstall(
    {
      ...reportOf(args, tree, prepared),
      operation: "install",
      upToDate,
      executable,
      agent: line,
      ran: isDryRun ? [] : manager.after.map((words) => words.join(" ")),
      managerRuns: manager.runs,
    },
    args.json,
  );
  return 0;
}

async function uninstall(args: Values): Promise<number> {
  const prefix = parsePrefix(args.prefix);
  const tree = treeOf(args);
  const isDryRun = args.dryRun;
  using _lock = isDryRun ? undefined : lockTree(tree, tryLock);
  const prepared = prepareUninstall(tree, prefix, args.force);
  const manager = managerOf(args, tree, prepared.facts.service, "removed");
  if (!isDryRun) {
    runManager(manager.before, "not removed");
    await applyUninstall(prepared.place, prepared.plan);
    runManager(manager.after, "removed");
  }
  reportInstall(
    {
      ...reportOf(args, tree, prepared),
      operation: "uninstall",
      upToDate: false,
      ran: isDryRun ? [] : [...manager.before, ...manager.after].map((words) => words.join(" ")),
      managerRuns: manager.runs,
    },
    args.json,
  );
  return 0;
}

function reportOf(args: Values, tree: Tree, { plan, facts, because }: Prepared) {
  return {
    dryRun: args.dryRun,
    now: args.now,
    root: tree.outside(""),
    service: facts.service,
    because,
    changes: plan.changes,
    kept: plan.kept,
  } satisfies Partial<InstallReport>;
}

/** The commands to run: none, if the tree is not the running system or no service manager runs. */
function managerOf(args: Values, tree: Tree, service: ServiceManager, happened: Happened) {
  const now = args.now;
  const isThisMachine = tree.outside("") === "/";
  if (now && !isThisMachine) throw usage("--now is for this machine, and --root is another tree");
  const runs = isThisMachine && managerRuns(service);
  if (now && !runs) {
    throw usage(
      `--now needs a service manager that runs: ${service} does not`,
      "without --now, it is started at the next boot",
    );
  }
  if (!runs) return { runs, before: [], after: [] };
  const isInside = isInsideService(service);
  // systemd can be asked for a restart that comes later.
  const endsAgent = happened === "removed" || (happened === "installed" && service !== "systemd");
  if (now && isInside && endsAgent) {
    throw new VsockboxError({
      code: "REFUSED",
      operation: "install",
      message: "--now would stop the agent that runs this command, and with it this command",
      hint: "leave --now out, and restart or end the guest afterwards",
    });
  }
  return { runs, ...managerCommands(service, happened, now, isInside) };
}

function treeOf(args: Values): Tree {
  const root = args.root;
  // As a script's empty variable has it: that is not the directory one happens to be in.
  if (root === "") throw usage("--root is empty", "`--root .` is the working directory");
  return new Tree(root);
}

function ownExecutable(): string {
  const [program, ...source] = selfCommand();
  if (source.length === 0) return program;
  throw usage(
    "it puts the compiled executable there, and this runs from source",
    "run the file that `npm run build` makes, or name it with --binary",
  );
}

/** What the agent would refuse at boot is refused here. */
async function readAgentArgs(text: string | undefined): Promise<string | undefined> {
  if (text === undefined) return undefined;
  const agentArgs = parseAgentArgs(text);
  const { command: agent } = await import("../guest/agent.ts");
  const { checkAgentValues } = await import("../guest/agent-run.ts");
  const parsed = agent.parse(agentArgs.split(" ").filter(Boolean));
  if (parsed.daemon) throw usage("--daemon is not for an agent that a service manager starts");
  if (parsed.init) throw usage("--init is not for an agent that a service manager starts");
  checkAgentValues(parsed);
  return agentArgs;
}
