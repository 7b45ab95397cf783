import * as Flag from "effect/cli/Flag"
import * as Config from "effect/Config"

/** Where an authority keeps what it knows: the same place for every command. */
export const make = (metavar: string, description: string) =>
  Flag.String("database").pipe(
    // Arguments are in the process list for all to see, and a URL may hold a password.
    Flag.withFallbackConfig(Config.String("TENOVOS_DATABASE")),
    Flag.withDefault("tenovos.sqlite"),
    Flag.withMetavar(metavar),
    Flag.withDescription(description)
  )
