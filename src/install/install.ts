/** Plans an installation from its options: everything is checked, nothing is changed. */
import { VsockboxError } from "../errors.ts";
import type { NewFacts, InstallTarget } from "./apply.ts";
import { checkFits, type Executable, readExecutable } from "./executable.ts";
import type { Item } from "./items.ts";
import type { ServiceManager } from "./manifest.ts";
import { makePlan, type Plan } from "./plan.ts";
import { agentCommand, serviceItems } from "./service-texts.ts";
import { canonicalIn, findPlace, hasInittab, serviceOf, survey } from "./survey.ts";
import type { Tree } from "./tree.ts";

/** Options. Undefined: as in the present installation, or the default. */
export interface InstallOptions {
  tree: Tree;
  /** Without a slash at its end. */
  prefix: string;
  /** The local file to be installed. */
  binary: string;
  /** The version of this program. */
  version: string;
  /** All names that may be linked to the executable. */
  linkNames: readonly string[];
  links: readonly string[] | undefined;
  service: ServiceManager | undefined;
  agentArgs: string | undefined;
  force: boolean;
}

/** A planned installation. */
export interface Prepared {
  place: InstallTarget;
  plan: Plan;
  facts: NewFacts;
  /** Why it is this service. */
  because: string;
}

/** {@link Prepared}, for an installation. */
export interface PreparedInstall extends Prepared {
  executable: Executable;
  /** The line that starts the agent. */
  command: string;
}

/**
 * Prepares an installation.
 *
 * @throws {VsockboxError} CANNOT_CREATE if a file is in the way, or the tree is read-only; CONFIG
 * if the executable does not fit; IO.
 */
export function prepareInstall(options: InstallOptions): PreparedInstall {
  const { tree, prefix, version, force } = options;
  const place = findPlace(tree, prefix, force);
  const { manifest } = place;
  const executable = readExecutable(options.binary, force);
  if (!force) checkFits(executable, tree);
  const { service, because } = chooseService(options, manifest?.service);

  // Arguments for another service manager, or in a line of ours, have to be written again.
  const isCarried = service === "busybox" || service !== manifest?.service;
  const agentArgs = options.agentArgs ?? (isCarried ? manifest?.agentArgs : undefined);
  const binary = `${prefix}/bin/vsockbox`;
  const texts = { binary, agentArgs, hasInittab: service === "busybox" && hasInittab(place) };
  const links = options.links ?? linksBefore(options, place) ?? options.linkNames;
  const { sha256, bytes, path: source } = executable;
  const items: Item[] = [
    { kind: "binary", path: binary, mode: 0o755, source, sha256, bytes },
    ...links.map((name) => linkOf(name, prefix)),
    ...serviceItems(service, texts),
  ];
  const plan = planFor(place, items, force);
  refuse(plan, tree);
  const facts = { version, service, agentArgs: options.agentArgs ?? manifest?.agentArgs };
  return { place, plan, facts, because, executable, command: agentCommand(texts) };
}

/**
 * Prepares an uninstallation.
 *
 * @throws {VsockboxError} CONFIG if there is no manifest; CANNOT_CREATE if the tree is read-only.
 */
export function prepareUninstall(tree: Tree, prefix: string, force: boolean): Prepared {
  const place = findPlace(tree, prefix, false);
  const { manifest } = place;
  if (manifest === undefined) {
    throw new VsockboxError({
      code: "CONFIG",
      operation: "uninstall",
      address: tree.outside(place.manifestPath),
      message: "it does not exist, so nothing is known to be installed",
      hint: "--prefix and --root must be those of the installation",
    });
  }
  const plan = planFor(place, [], force);
  refuse(plan, tree);
  tree.checkWritable(place.manifestPath);
  return { place, plan, facts: manifest, because: "it was installed so" };
}

/** Whether the tree is as it should be already. */
export function isUpToDate({ place: { manifest }, plan, facts }: Prepared): boolean {
  return (
    plan.changes.length === 0 &&
    manifest !== undefined &&
    manifest.unfinished === undefined &&
    manifest.service === facts.service &&
    manifest.agentArgs === facts.agentArgs &&
    JSON.stringify(manifest.entries.filter(({ kind }) => kind !== "directory")) ===
      JSON.stringify(plan.entries)
  );
}

function chooseService({ tree, service }: InstallOptions, before: ServiceManager | undefined) {
  if (service !== undefined) return { service, because: "chosen by --service" };
  if (before !== undefined) return { service: before, because: "it was installed so" };
  return serviceOf(tree);
}

/**
 * Returns where a link stands and what it contains. mount(8) runs the helper of a file system type from
 * /sbin, whatever the prefix.
 */
function linkOf(name: string, prefix: string): Item {
  return name.startsWith("mount.")
    ? { kind: "link", path: `/sbin/${name}`, target: `${prefix}/bin/vsockbox` }
    : { kind: "link", path: `${prefix}/bin/${name}`, target: "vsockbox" };
}

function linksBefore({ prefix, linkNames }: InstallOptions, { tree, manifest }: InstallTarget) {
  if (manifest === undefined) return undefined;
  const paths = new Set(
    manifest.entries.filter(({ kind }) => kind === "link").map(({ path }) => path),
  );
  return linkNames.filter((name) => paths.has(tree.canonical(linkOf(name, prefix).path)));
}

function planFor(place: InstallTarget, items: readonly Item[], force: boolean): Plan {
  const canonical = items.map(canonicalIn(place.tree));
  const found = survey(place, canonical);
  return makePlan({
    items: canonical,
    entries: place.manifest?.entries ?? [],
    found,
    force,
  });
}

function refuse({ conflicts, changes }: Plan, tree: Tree): void {
  if (conflicts.length > 0) {
    const [first, ...others] = conflicts.map(
      ({ path, because }) => `${tree.outside(path)}: ${because}`,
    );
    throw new VsockboxError({
      code: "CANNOT_CREATE",
      operation: "install",
      message: [first, ...others].join("; "),
      hint: "nothing was changed; --force replaces files and links, --links none makes no links",
    });
  }
  for (const { path } of changes) tree.checkWritable(path);
}
