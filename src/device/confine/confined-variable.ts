/**
 * What `hybrid-proxy --sandbox` tells itself when it starts anew. In a file of its own, so that others
 * start without the rest.
 */

/** Has {@link SIGNALS_HELD}, or the number of the descriptor that says what is to be served. */
export const CONFINED_VARIABLE = "VSOCKBOX_CONFINED_DEVICE";

/** The ending signals are blocked in all threads; the sockets are yet to be opened. */
export const SIGNALS_HELD = "signals-held";
