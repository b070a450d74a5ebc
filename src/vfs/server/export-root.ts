/**
 * The root of an exported directory, and the paths below it. Every path is resolved by the kernel from the
 * root's descriptor and cannot leave it, whatever is renamed or linked meanwhile.
 */
import { constants } from "node:fs";
import { type LinkResolution, openBeneath } from "../../ffi/beneath.ts";
import { O_PATH } from "../../ffi/directory-calls.ts";
import { ERRNO } from "../../ffi/errno.ts";
import { pathOfDescriptor, type NameIn } from "../../ffi/file-calls.ts";
import { closeDescriptor } from "../../ffi/socket.ts";
import type { HiddenNames } from "./hidden-names.ts";

const { O_DIRECTORY, O_NOFOLLOW } = constants;
const SLASH = 0x2f;

/** The root of an export, as one kind of connections sees it. */
export class ExportRoot {
  readonly #fd: number;
  readonly #hidden: HiddenNames;
  readonly #links: LinkResolution;

  /** @param fd of the directory, by O_PATH; its owner closes it. */
  constructor(fd: number, hidden: HiddenNames, links: LinkResolution) {
    this.#fd = fd;
    this.#hidden = hidden;
    this.#links = links;
  }

  /** The root's own descriptor. */
  get fd(): number {
    return this.#fd;
  }

  /**
   * Calls `use` with a descriptor of a file (by O_PATH), which is valid until it returns. At the end of
   * the path, a link is the file itself, unless links are followed.
   *
   * @returns what `use` returns, or an errno as a negative number.
   */
  withFile<Result>(path: Uint8Array, use: (fd: number) => Result): Result | number {
    if (path.length === 0) return use(this.#fd);
    if (this.#hidden.hidesPath(path)) return -ERRNO.ENOENT;
    const follows = this.#links === "inside";
    const flags = follows ? O_PATH : O_PATH | O_NOFOLLOW;
    let fd = openBeneath(this.#fd, path, { flags, links: this.#links });
    if (fd === -ERRNO.ENOENT && follows) {
      // A link whose target does not exist, or is outside, is shown as itself.
      fd = openBeneath(this.#fd, path, { flags: O_PATH | O_NOFOLLOW, links: this.#links });
    }
    return this.#use(fd, () => use(fd));
  }

  /**
   * Calls `use` with a directory and the last name of a path in it, which are valid until it returns. The
   * name itself may be anything, or not exist.
   *
   * @returns what `use` returns, or an errno as a negative number: EBUSY for the root.
   */
  withPlace<Result>(path: Uint8Array, use: (place: NameIn) => Result): Result | number {
    if (path.length === 0) return -ERRNO.EBUSY;
    if (this.#hidden.hidesPath(path)) return -ERRNO.ENOENT;
    const slash = path.lastIndexOf(SLASH);
    if (slash === -1) return use({ directory: this.#fd, name: path });
    const flags = O_PATH | O_DIRECTORY;
    const parent = path.subarray(0, slash);
    const directory = openBeneath(this.#fd, parent, { flags, links: this.#links });
    return this.#use(directory, () => use({ directory, name: path.subarray(slash + 1) }));
  }

  #use<Result>(fd: number, use: () => Result): Result | number {
    if (fd < 0) return fd;
    try {
      return this.#isHidden(fd) ? -ERRNO.ENOENT : use();
    } finally {
      closeDescriptor(fd);
    }
  }

  /** A followed link may lead to a hidden name. */
  #isHidden(fd: number): boolean {
    if (this.#links === "none" || this.#hidden.isEmpty) return false;
    const root = pathOfDescriptor(this.#fd);
    const found = pathOfDescriptor(fd);
    if (typeof root === "number" || typeof found === "number") return true;
    return this.#hidden.hidesPath(found.subarray(root.length));
  }
}
