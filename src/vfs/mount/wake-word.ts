/** The hidden first word by which vsockbox runs itself to wake the watches of a mount. */
export const WAKE_WORD = "__wake-watches";
