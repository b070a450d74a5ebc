/** Port 5002: a connection means ready. */
import { same } from "../expect.ts";
import { type Guest, Skip } from "../guest.ts";
import { casesOf } from "../runner.ts";

async function accepted(guest: Guest): Promise<void> {
  const { ready } = guest.target;
  if (ready === undefined) throw new Skip("--ready is not given");
  const wire = await guest.open(ready);
  same("bytes before the close", (await wire.readAll()).length, 0);
}

export const readyCases = casesOf("Ready port", "required", {
  "a connection is accepted and closed": async (guest) => {
    await accepted(guest);
    await guest.alive();
  },
  "again and again": async (guest) => {
    for (let round = 0; round < 10; round++) await accepted(guest);
    await guest.alive();
  },
});
