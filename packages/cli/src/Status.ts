/**
 * `tenovos status`: says who is signed in, and for how long. It sends nothing, and prints no secrets.
 *
 * @since 0.1.0
 */
import { SessionStore } from "@effect-tenovos/core/SessionStore"
import * as Command from "effect/cli/Command"
import * as Console from "effect/Console"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Account from "./Account.ts"
import { exitCodes, fromAuthError } from "./CommandError.ts"
import * as flags from "./internal/flags.ts"
import * as report from "./internal/report.ts"
import { exitWith } from "./internal/terminal.ts"

/**
 * The command, with `--json` and `--profile`.
 *
 * @category commands
 * @since 0.1.0
 */
export const command = Command.make(
  "status",
  { json: flags.json("it"), profile: flags.profile },
  ({ json, profile }) =>
    Effect.gen(function*() {
      const account = yield* Account.find(profile)
      const place = yield* Account.placeOf(account)
      const stored = yield* SessionStore.use(({ read }) => read).pipe(
        Effect.provide(place.store),
        Effect.mapError(fromAuthError)
      )
      if (stored.unreadable !== undefined) yield* Console.error(`tenovos: ${fromAuthError(stored.unreadable).message}`)
      const told = report.make(account, place, stored, yield* DateTime.now)
      yield* Console.log(json ? JSON.stringify(told) : report.toText(told))
      if (told.session === "none" || told.session === "over") yield* exitWith(exitCodes.noSession)
    })
).pipe(
  Command.withDescription("Say who is signed in where, and how long the session lives. Ends with 3 when it does not."),
  Command.withExamples([
    { command: "tenovos status", description: "Look at the session of the default profile" },
    { command: "tenovos status --profile uat || tenovos login --profile uat", description: "Log in where it is needed" }
  ])
)
