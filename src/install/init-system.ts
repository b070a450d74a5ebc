/** Determines which service manager a tree starts, from its files. Pure. */
import type { ServiceManager } from "./manifest.ts";

/** What of a tree decides. */
export interface InitFacts {
  /** The target of the init that the kernel starts, such as /usr/lib/systemd/systemd. */
  init: string | undefined;
  /** Whether something is at a path of the tree. */
  has(path: string): boolean;
}

/** The service manager, and the file by which it was recognised. */
export interface FoundService {
  service: ServiceManager;
  because: string;
}

/** Paths of init that the kernel tries, init/main.c, and the one of Buildroot's initrd trees. */
export const INIT_PATHS = ["/sbin/init", "/etc/init", "/bin/init", "/linuxrc"] as const;

const SYSTEMD_PATHS = ["/usr/lib/systemd/systemd", "/lib/systemd/systemd"] as const;
const OPENRC_PATHS = ["/sbin/openrc-run", "/usr/sbin/openrc-run", "/usr/bin/openrc-run"] as const;

/**
 * The service manager of a tree. Init itself decides; a tree without one, as container images have
 * it, by the installed programs. OpenRC is run by other inits, busybox's among them, so it comes first.
 */
export function findService({ init, has }: InitFacts): FoundService {
  const name = init?.split("/").at(-1);
  const openrc = OPENRC_PATHS.find(has);
  if (name === "systemd") return { service: "systemd", because: `init is ${init}` };
  if (openrc !== undefined && has("/etc/runlevels")) {
    return { service: "openrc", because: `${openrc} and /etc/runlevels are there` };
  }
  if (name?.startsWith("busybox") === true) {
    return { service: "busybox", because: `init is ${init}` };
  }
  const systemd = SYSTEMD_PATHS.find(has);
  if (init === undefined && systemd !== undefined) {
    return { service: "systemd", because: `${systemd} is there` };
  }
  const because =
    init === undefined
      ? "there is no init"
      : `init is ${init}, which is neither of systemd, OpenRC and busybox`;
  return { service: "none", because };
}
