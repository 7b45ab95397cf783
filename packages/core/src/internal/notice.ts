import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { AuthEvent } from "../AuthEvent.ts"
import { refreshTokenExpiresAt, type Session } from "../Session.ts"

const ahead = Duration.days(3)

/** Tells once of each refresh token that it ends soon. */
export const make = (publish: (event: AuthEvent) => Effect.Effect<unknown>) => {
  let noticed: DateTime.Utc | undefined
  return (session: Session): Effect.Effect<unknown> =>
    Effect.flatMap(DateTime.now, (now) =>
      Option.match(refreshTokenExpiresAt(session), {
        onNone: () => Effect.void,
        onSome: (expiresAt) => {
          const near = DateTime.isLessThan(expiresAt, DateTime.addDuration(now, ahead))
          if (!near || noticed !== undefined && DateTime.Equivalence(noticed, expiresAt)) return Effect.void
          noticed = expiresAt
          return publish(AuthEvent.RefreshTokenExpiring({ expiresAt }))
        }
      }))
}
