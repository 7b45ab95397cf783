/**
 * The command `tenovos`.
 *
 * @since 0.1.0
 */
import * as Command from "effect/cli/Command"
import * as Doctor from "./Doctor.ts"
import * as Keys from "./Keys.ts"
import * as Login from "./Login.ts"
import * as Logout from "./Logout.ts"
import * as Refresh from "./Refresh.ts"
import * as Request from "./Request.ts"
import * as Run from "./Run.ts"
import * as Serve from "./Serve.ts"
import * as Status from "./Status.ts"
import * as Token from "./Token.ts"

/**
 * All commands, as subcommands of `tenovos`.
 *
 * @category commands
 * @since 0.1.0
 */
export const command = Command.make("tenovos").pipe(
  Command.withDescription("Authenticate to the Tenovos API, or stand in for it."),
  Command.withExamples([
    { command: "tenovos login", description: "Sign in once, for the commands that follow" },
    { command: "tenovos token", description: "Print an access token" },
    {
      command: "eval \"$(tenovos --completions bash)\"",
      description: "Complete commands and flags with Tab; also zsh, fish"
    }
  ]),
  Command.withSubcommands([
    Login.command,
    Token.command,
    Status.command,
    Refresh.command,
    Request.command,
    Run.command,
    Logout.command,
    Doctor.command,
    Serve.command,
    Keys.command
  ])
)
