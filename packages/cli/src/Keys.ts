/**
 * `tenovos keys`: looks after the keys of an authority, also while one is running on the same database.
 *
 * @since 0.1.0
 */
import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import * as databaseFlag from "./internal/databaseFlag.ts"
import * as flags from "./internal/flags.ts"

const rotate = Command.make(
  "rotate",
  {
    database: databaseFlag.make("FILE|postgres://…", "Database of the authority."),
    immediately: flags.onOff("immediately", "Use the next keys at once, not ten minutes after they are published."),
    json: flags.json("from when they are used")
  },
  // Loaded when it runs: help and completions need none of it.
  (options) => Effect.flatMap(Effect.promise(() => import("./internal/rotation.ts")), ({ rotate }) => rotate(options))
).pipe(
  Command.withDescription(
    "Publish the next keys, and use them ten minutes later. The ones before are accepted for an hour."
  )
)

/**
 * The command, and its subcommand `rotate`.
 *
 * @category commands
 * @since 0.1.0
 */
export const command = Command.make("keys").pipe(
  Command.withDescription("Look after the keys of an authority."),
  Command.withSubcommands([rotate])
)
