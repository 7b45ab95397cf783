/**
 * `tenovos token`: prints a valid access token, renewed if it must be.
 *
 * @since 0.1.0
 */
import * as TenovosAuth from "@effect-tenovos/core/TenovosAuth"
import * as Command from "effect/cli/Command"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Account from "./Account.ts"
import * as auth from "./internal/auth.ts"
import * as flags from "./internal/flags.ts"
import * as token from "./internal/token.ts"

/**
 * The command, with `--header`, `--json` and `--profile`.
 *
 * @category commands
 * @since 0.1.0
 */
export const command = Command.make(
  "token",
  {
    header: flags.onOff("header", "Print the three headers of a request, one on each line."),
    json: flags.json("the headers, where they are good, and until when"),
    profile: flags.profile
  },
  ({ profile, ...options }) =>
    Effect.gen(function*() {
      const account = yield* Account.find(profile)
      const apiKey = yield* auth.requireApiKey(account)
      const session = yield* auth.withAuth(account, TenovosAuth.TenovosAuth.use(({ session }) => session))
      yield* Console.log(token.toText(session, apiKey, options))
    })
).pipe(
  Command.withDescription("Print an access token that is valid for half a minute at least, and nothing else."),
  Command.withExamples([
    { command: "tenovos token", description: "The access token alone" },
    {
      command: "tenovos token --header | curl --header @- https://api.tenovos.io/v1/security/template",
      description: "Call the API with curl, without a token among the arguments"
    }
  ])
)
