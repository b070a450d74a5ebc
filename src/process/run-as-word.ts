/** The hidden first word by which vsockbox runs itself to become another user. */
export const RUN_AS_WORD = "__run-as";
