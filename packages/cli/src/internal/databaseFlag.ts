import * as Flag from "effect/cli/Flag"
import * as defaults from "./serveDefaults.ts"

/** Where an authority keeps what it knows: the same place for every command. */
export const make = (metavar: string, description: string) =>
  Flag.String("database").pipe(
    // Arguments are in the process list for all to see, and a URL may hold a password.
    Flag.withFallbackConfig(defaults.databaseConfig),
    Flag.withDefault(defaults.database),
    Flag.withMetavar(metavar),
    Flag.withDescription(description)
  )
