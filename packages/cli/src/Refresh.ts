/**
 * `tenovos refresh`: renews the session now, although it would still do.
 *
 * @since 0.1.0
 */
import * as TenovosAuth from "@effect-tenovos/core/TenovosAuth"
import * as Command from "effect/cli/Command"
import * as Console from "effect/Console"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Account from "./Account.ts"
import * as auth from "./internal/auth.ts"
import * as flags from "./internal/flags.ts"
import * as report from "./internal/report.ts"
import { progress } from "./internal/terminal.ts"

/**
 * The command, with `--json` and `--profile`.
 *
 * @category commands
 * @since 0.1.0
 */
export const command = Command.make(
  "refresh",
  { json: flags.json("how it stands then, as status does,"), profile: flags.profile },
  ({ json, profile }) =>
    Effect.gen(function*() {
      const account = yield* Account.find(profile)
      yield* progress("Renewing the session …")
      const session = yield* auth.withAuth(
        account,
        TenovosAuth.TenovosAuth.use(({ serve, sessionWith }) =>
          Effect.flatMap(serve(), ({ reason, session }) =>
            // One that was over has been renewed by now.
            reason === "Refreshed" || reason === "SignedIn"
              ? Effect.succeed(session)
              : sessionWith({ forceRefresh: true }))
        )
      )
      const place = yield* Account.placeOf(account)
      const told = report.make(account, place, { session: Option.some(session) }, yield* DateTime.now)
      yield* Console.log(json ? JSON.stringify(told) : report.toText(told))
    })
).pipe(
  Command.withDescription("Renew the session now. Other commands do it by themselves when it is needed."),
  Command.withExamples([{ command: "tenovos refresh", description: "Get a new access token" }])
)
