/**
 * `tenovos logout`: ends the session at the authority, and forgets it here.
 *
 * @since 0.1.0
 */
import * as TenovosAuth from "@effect-tenovos/core/TenovosAuth"
import * as Command from "effect/cli/Command"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Account from "./Account.ts"
import { CommandError, fromAuthError } from "./CommandError.ts"
import * as auth from "./internal/auth.ts"
import * as flags from "./internal/flags.ts"
import { progress } from "./internal/terminal.ts"

/**
 * The command, with `--json` and `--profile`.
 *
 * @category commands
 * @since 0.1.0
 */
export const command = Command.make(
  "logout",
  { json: flags.json("what was revoked and what forgotten"), profile: flags.profile },
  ({ json, profile }) =>
    Effect.gen(function*() {
      const account = yield* Account.find(profile)
      yield* progress("Ending the session …")
      // The authority ends a session by an access token that lives. None is signed in for that.
      const outcome = yield* auth.withAuth(
        { ...account, password: Option.none() },
        TenovosAuth.TenovosAuth.use(({ session, signOut }) => Effect.andThen(Effect.ignore(session), signOut))
      )
      const say = (fields: { readonly revoked: boolean; readonly forgotten: boolean }, text: string) =>
        Console.log(json ? JSON.stringify({ profile: account.profile, ...fields }) : text)
      switch (outcome._tag) {
        case "NoSession":
          return yield* say({ revoked: false, forgotten: false }, "There was no session to end.")
        case "Expired":
          return yield* say({ revoked: true, forgotten: true }, "The authority has ended the session.")
        case "Forgotten": {
          const { kind, message } = fromAuthError(outcome.error)
          if (outcome.error.reason._tag === "StoreFailure") {
            return yield* new CommandError({ kind, message: `The session may still be stored here: ${message}` })
          }
          yield* say({ revoked: false, forgotten: true }, "The session is forgotten here.")
          return yield* new CommandError({
            kind,
            message: `The authority has not ended it, so it is good until its end for who has a copy: ${message}`
          })
        }
      }
    })
).pipe(
  Command.withDescription("End the session at the authority and forget it here. The profile is remembered."),
  Command.withExamples([{ command: "tenovos logout", description: "End the session of the default profile" }])
)
