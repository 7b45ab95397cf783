/**
 * What a program holds between a sign-in and a sign-out.
 *
 * Instants are those of the authority's clock. `clockOffset` is what that clock is ahead of the local one, so a
 * session's life is right on a machine whose clock is wrong. Tokens are `Redacted`; they become plain text only where
 * a session is encoded, to be stored.
 *
 * @since 0.1.0
 */
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import { dual } from "effect/Function"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"

const Secret = Schema.RedactedFromValue(Schema.NonEmptyString)

/**
 * The tokens of one sign-in or its last renewal, whose they are, and how long they last.
 *
 * @category models
 * @since 0.1.0
 */
export class Session extends Schema.Class<Session>("@effect-tenovos/core/Session")({
  /** Base URL of every later operation. */
  endpointUrl: Schema.NonEmptyString,
  /** Sent as `AccessToken`. */
  accessToken: Secret,
  /** Sent as `Authorization`. */
  idToken: Schema.optionalKey(Secret),
  /** Absent where the session can't be refreshed at all, as after an impersonation. */
  refreshToken: Schema.optionalKey(Secret),
  /** When the authority issued the access token. */
  issuedAt: Schema.DateTimeUtcFromString,
  /** When the access token ends. */
  expiresAt: Schema.DateTimeUtcFromString,
  /** When the credentials were last given. */
  authenticatedAt: Schema.DateTimeUtcFromString,
  /** The authority's clock less the local one; zero where they can't be told apart. */
  clockOffset: Schema.DurationFromMillis,
  /** Counts the renewals: the later of two sessions has the higher one. */
  generation: Schema.Int.check(Schema.isGreaterThanOrEqualTo(1)),
  username: Schema.optionalKey(Schema.String),
  clientId: Schema.optionalKey(Schema.String),
  userPoolId: Schema.optionalKey(Schema.String),
  /** The user's immutable id, from the id token. */
  subject: Schema.optionalKey(Schema.String),
  /** From the id token. */
  email: Schema.optionalKey(Schema.String)
}) {}

/**
 * How long a refresh token can be used after the sign-in. Stated by the operation's page.
 *
 * @category models
 * @since 0.1.0
 */
export const refreshTokenLife: Duration.Duration = Duration.days(30)

/**
 * What is left of the access token's life; negative when it is over. `now` is the local time.
 *
 * @category combinators
 * @since 0.1.0
 */
export const remaining: {
  (now: DateTime.Utc): (self: Session) => Duration.Duration
  (self: Session, now: DateTime.Utc): Duration.Duration
} = dual(2, (self: Session, now: DateTime.Utc): Duration.Duration => until(self, self.expiresAt, now))

/**
 * Whether the authority calls the access token expired at this local time.
 *
 * @category predicates
 * @since 0.1.0
 */
export const isExpired: {
  (now: DateTime.Utc): (self: Session) => boolean
  (self: Session, now: DateTime.Utc): boolean
} = dual(2, (self: Session, now: DateTime.Utc): boolean => Duration.toMillis(remaining(self, now)) <= 0)

/**
 * When the refresh token ends, by the authority's clock. None where there is no refresh token.
 *
 * @category combinators
 * @since 0.1.0
 */
export const refreshTokenExpiresAt = (self: Session): Option.Option<DateTime.Utc> =>
  self.refreshToken === undefined
    ? Option.none()
    : Option.some(DateTime.addDuration(self.authenticatedAt, refreshTokenLife))

/**
 * Whether the session has a refresh token that has not ended at this local time. It may still have been revoked.
 *
 * @category predicates
 * @since 0.1.0
 */
export const isRefreshable: {
  (now: DateTime.Utc): (self: Session) => boolean
  (self: Session, now: DateTime.Utc): boolean
} = dual(
  2,
  (self: Session, now: DateTime.Utc): boolean =>
    Option.match(refreshTokenExpiresAt(self), {
      onNone: () => false,
      onSome: (end) => Duration.toMillis(until(self, end, now)) > 0
    })
)

const until = (self: Session, instant: DateTime.Utc, now: DateTime.Utc): Duration.Duration =>
  Duration.millis(DateTime.toEpochMillis(instant) - DateTime.toEpochMillis(now) - Duration.toMillis(self.clockOffset))
