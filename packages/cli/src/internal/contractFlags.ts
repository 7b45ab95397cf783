import * as Flag from "effect/cli/Flag"
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"

const decodeDuration = Schema.decodeOption(Schema.DurationFromString)

/** As `10 seconds` or `30 days`, and no shorter than `minimum`. */
const duration = (name: string, minimum: Duration.Duration) =>
  Flag.String(name).pipe(
    Flag.filterMap(
      (text) =>
        Option.filter(decodeDuration(text), (duration) =>
          Duration.isFinite(duration) && Duration.isGreaterThanOrEqualTo(duration, minimum)),
      () =>
        `Expected a time such as "10 seconds", no shorter than ${Duration.format(minimum)}`
    ),
    Flag.withMetavar("TIME")
  )

/** How the authority speaks the contract where it leaves a choice, by the names that its options have. */
export const contractFlags = {
  profile: Flag.Literals("profile", ["safe", "strict"]).pipe(
    Flag.withDefault("safe"),
    Flag.withDescription("Close the holes of the real service, or have its oddities too.")
  ),
  refreshAnswer: Flag.Literals("refresh-answer", ["repeats", "replaces", "omits"]).pipe(
    Flag.withDefault("repeats"),
    Flag.withDescription("What the answer to a refresh does with the refresh token.")
  ),
  rotationGrace: duration("rotation-grace", Duration.zero).pipe(
    Flag.withDefault(Duration.seconds(10)),
    Flag.withDescription("How long a refresh token that was replaced gets the same new one again.")
  ),
  accessTokenLife: duration("access-token-life", Duration.seconds(1)).pipe(
    Flag.withDefault(Duration.hours(1)),
    Flag.withDescription("How long access and id tokens last.")
  ),
  refreshTokenLife: duration("refresh-token-life", Duration.seconds(1)).pipe(
    Flag.withDefault(Duration.days(30)),
    Flag.withDescription("How long after the sign-in a refresh token can be used.")
  ),
  keyLife: duration("key-life", Duration.minutes(10)).pipe(
    Flag.withDefault(Duration.days(90)),
    Flag.withDescription("How long keys are used before the next ones follow.")
  ),
  basicAuthentication: Flag.Literals("basic-authentication", ["required", "accepted", "ignored"]).pipe(
    Flag.withDefault("ignored"),
    Flag.withDescription("What is made of a Basic header that comes with a sign-in, a refresh or an expiry.")
  )
}
