/**
 * When a session is renewed, and how often that is tried.
 *
 * A policy is a plain value: take a ready-made one and change what should differ,
 * `RefreshPolicy.standard.pipe(RefreshPolicy.withMandatoryWindow("1 minute"))`.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import { type Pipeable, Prototype } from "effect/Pipeable"
import * as Schedule from "effect/Schedule"
import type { AuthError } from "./AuthError.ts"

/**
 * When a session is renewed, and how often that is tried. Make one of {@link standard} or {@link batch}, with the
 * functions of this module.
 *
 * @category models
 * @since 0.1.0
 */
export interface RefreshPolicy extends Pipeable {
  /**
   * How long before the access token's end the first caller who comes starts a renewal in the background. Everybody is
   * served the current token meanwhile. Never more than a fifth of the token's life; the mandatory window shrinks
   * alike.
   */
  readonly advisoryWindow: Duration.Duration
  /** The share of the advisory window by which it is shortened at random, so that a fleet does not renew at once. */
  readonly jitter: number
  /** How long before the access token's end callers wait for the renewal. */
  readonly mandatoryWindow: Duration.Duration
  /** Time limit of one attempt to sign in. The gateway gives up at 29 seconds. */
  readonly authorizeTimeout: Duration.Duration
  /** Time limit of one attempt to refresh. */
  readonly refreshTimeout: Duration.Duration
  /** Time limit of a sign-out. */
  readonly expireTimeout: Duration.Duration
  /** When a failed attempt is repeated. Only failures that may pass get here. Shared by all callers. */
  readonly retry: Schedule.Schedule<unknown, AuthError>
  /** Whether the session is renewed without anybody asking, by one fiber in the layer's scope. */
  readonly keepFresh: boolean
}

/**
 * Capped exponential backoff with jitter, from half a second to half a minute, never earlier than the authority's
 * `Retry-After`, for two minutes. Where that asks for longer, it ends at once, and callers are told.
 *
 * @category schedules
 * @since 0.1.0
 */
export const retry: Schedule.Schedule<unknown, AuthError> = Schedule.min([
  Schedule.exponential("500 millis"),
  Schedule.spaced("30 seconds")
]).pipe(
  Schedule.jittered,
  Schedule.setInputType<AuthError>(),
  Schedule.modifyDelay(({ duration, input: { reason } }) =>
    Effect.succeed(
      "retryAfter" in reason && reason.retryAfter !== undefined ? Duration.max(duration, reason.retryAfter) : duration
    )
  ),
  Schedule.while(({ duration, elapsed }) => elapsed + Duration.toMillis(duration) <= 120_000)
)

const make = (fields: Omit<RefreshPolicy, "pipe">): RefreshPolicy => Object.assign(Object.create(Prototype), fields)

/**
 * Renews five minutes before the end when somebody asks, and makes callers wait in the last thirty seconds.
 *
 * @category policies
 * @since 0.1.0
 */
export const standard: RefreshPolicy = make({
  advisoryWindow: Duration.minutes(5),
  jitter: 0.2,
  mandatoryWindow: Duration.seconds(30),
  authorizeTimeout: Duration.seconds(35),
  refreshTimeout: Duration.seconds(10),
  expireTimeout: Duration.seconds(10),
  retry,
  keepFresh: false
})

/**
 * For a process that is frozen between its calls: no work in the background, as nobody may be there to see it end.
 *
 * @category policies
 * @since 0.1.0
 */
export const serverless: RefreshPolicy = make({ ...standard, advisoryWindow: standard.mandatoryWindow, jitter: 0 })

/**
 * For a long job with pauses: keeps the session fresh, so that no call ever waits.
 *
 * @category policies
 * @since 0.1.0
 */
export const batch: RefreshPolicy = make({ ...standard, keepFresh: true })

/**
 * Sets how long before the access token's end its renewal may start in the background.
 *
 * @category combinators
 * @since 0.1.0
 */
export const withAdvisoryWindow: {
  (window: Duration.Input): (self: RefreshPolicy) => RefreshPolicy
  (self: RefreshPolicy, window: Duration.Input): RefreshPolicy
} = dual(
  2,
  (self: RefreshPolicy, window: Duration.Input): RefreshPolicy =>
    make({ ...self, advisoryWindow: Duration.fromInputUnsafe(window) })
)

/**
 * Sets how long before the access token's end callers wait for its renewal.
 *
 * @category combinators
 * @since 0.1.0
 */
export const withMandatoryWindow: {
  (window: Duration.Input): (self: RefreshPolicy) => RefreshPolicy
  (self: RefreshPolicy, window: Duration.Input): RefreshPolicy
} = dual(
  2,
  (self: RefreshPolicy, window: Duration.Input): RefreshPolicy =>
    make({ ...self, mandatoryWindow: Duration.fromInputUnsafe(window) })
)

/**
 * Sets the share of the advisory window by which it is shortened at random, from 0 to 1.
 *
 * @category combinators
 * @since 0.1.0
 */
export const withJitter: {
  (jitter: number): (self: RefreshPolicy) => RefreshPolicy
  (self: RefreshPolicy, jitter: number): RefreshPolicy
} = dual(2, (self: RefreshPolicy, jitter: number): RefreshPolicy => make({ ...self, jitter }))

/**
 * Sets time limits of single attempts; those that are left out stay.
 *
 * @category combinators
 * @since 0.1.0
 */
export const withTimeouts: {
  (limits: Timeouts): (self: RefreshPolicy) => RefreshPolicy
  (self: RefreshPolicy, limits: Timeouts): RefreshPolicy
} = dual(2, (self: RefreshPolicy, limits: Timeouts): RefreshPolicy =>
  make({
    ...self,
    authorizeTimeout: Duration.fromInputUnsafe(limits.authorize ?? self.authorizeTimeout),
    refreshTimeout: Duration.fromInputUnsafe(limits.refresh ?? self.refreshTimeout),
    expireTimeout: Duration.fromInputUnsafe(limits.expire ?? self.expireTimeout)
  }))

/**
 * Time limits of one attempt. One that is left out stays as it was.
 *
 * @category options
 * @since 0.1.0
 */
export interface Timeouts {
  /** Of a sign-in. {@link standard} has 35 seconds. */
  readonly authorize?: Duration.Input | undefined
  /** Of a refresh. {@link standard} has 10 seconds. */
  readonly refresh?: Duration.Input | undefined
  /** Of an expiry, which a sign-out makes. {@link standard} has 10 seconds. */
  readonly expire?: Duration.Input | undefined
}

/**
 * Sets the schedule of the attempts. Whatever it says, what was refused for good is not tried again.
 *
 * @category combinators
 * @since 0.1.0
 */
export const withRetry: {
  (retry: Schedule.Schedule<unknown, AuthError>): (self: RefreshPolicy) => RefreshPolicy
  (self: RefreshPolicy, retry: Schedule.Schedule<unknown, AuthError>): RefreshPolicy
} = dual(
  2,
  (self: RefreshPolicy, retry: Schedule.Schedule<unknown, AuthError>): RefreshPolicy => make({ ...self, retry })
)

/**
 * Sets whether the session is renewed in its advisory window without anybody asking for it.
 *
 * @category combinators
 * @since 0.1.0
 */
export const withKeepFresh: {
  (keepFresh: boolean): (self: RefreshPolicy) => RefreshPolicy
  (self: RefreshPolicy, keepFresh: boolean): RefreshPolicy
} = dual(2, (self: RefreshPolicy, keepFresh: boolean): RefreshPolicy => make({ ...self, keepFresh }))
