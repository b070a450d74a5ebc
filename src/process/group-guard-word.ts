/** The hidden first word by which vsockbox runs itself to end what a killed service ran. */
export const GROUP_GUARD_WORD = "__group-guard";
