/** Prints each event of a directory that the runtime's watch reports, as a reloader gets it. */
import { watch } from "node:fs";

const [, , directory = "."] = process.argv;
watch(directory, (event, name) => console.log(`${event} ${name}`));
console.log("watching");
