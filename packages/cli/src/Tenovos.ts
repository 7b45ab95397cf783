/**
 * The command `tenovos`.
 *
 * @since 0.1.0
 */
import * as Command from "effect/cli/Command"
import * as Keys from "./Keys.ts"
import * as Serve from "./Serve.ts"

/**
 * @category commands
 * @since 0.1.0
 */
export const command = Command.make("tenovos").pipe(
  Command.withDescription("Authenticate to the Tenovos API, or stand in for it."),
  Command.withSubcommands([Serve.command, Keys.command])
)
