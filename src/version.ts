export const VERSION = "0.1.0";
export const COMMIT = "source";
export const TARGET = "source";
