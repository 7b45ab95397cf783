/**
 * The one error of this package.
 *
 * Every effect here that can fail, fails with an `AuthError`. Its `reason` says what happened, and is what a
 * program acts on: `Effect.catchReason("AuthError", "CredentialsRejected", …)`. No reason, message or cause holds
 * a token, a password or an API key, so an `AuthError` may be logged and sent as it is.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Schema from "effect/Schema"

const id = <const Name extends string>(name: Name) => `@effect-tenovos/core/AuthError/${name}` as const

// -----------------------------------------------------------------------------
// Reasons
// -----------------------------------------------------------------------------

/**
 * The authority refused the request as malformed (400). The same request gets the same answer.
 *
 * @category reasons
 * @since 0.1.0
 */
export class BadRequest extends Schema.TaggedError<BadRequest>(id("BadRequest"))("BadRequest", {
  /** What the authority said. */
  message: Schema.String
}, { httpApiStatus: 400 }) {
  readonly retryable = false
  get advice(): string {
    return "Check that username, password and endpoint URL are complete."
  }
}

/**
 * The authority refused the credentials or the refresh token (401).
 *
 * @category reasons
 * @since 0.1.0
 */
export class Unauthorized extends Schema.TaggedError<Unauthorized>(id("Unauthorized"))("Unauthorized", {
  /** What the authority said. */
  message: Schema.String
}, { httpApiStatus: 401 }) {
  readonly retryable = false
  get advice(): string {
    return "Check the user name and the password."
  }
}

/**
 * The gateway refused the API key, or the user may not do this (403). Signing in again does not help.
 *
 * @category reasons
 * @since 0.1.0
 */
export class Forbidden extends Schema.TaggedError<Forbidden>(id("Forbidden"))("Forbidden", {
  /** What the gateway said. */
  message: Schema.String
}, { httpApiStatus: 403 }) {
  readonly retryable = false
  get advice(): string {
    return "Check the API key, and that it belongs to this endpoint."
  }
}

/**
 * The API key's throttle or quota is used up (429).
 *
 * @category reasons
 * @since 0.1.0
 */
export class RateLimited extends Schema.TaggedError<RateLimited>(id("RateLimited"))("RateLimited", {
  /** The least time to wait, where the gateway named one. */
  retryAfter: Schema.optionalKey(Schema.DurationFromMillis)
}, { httpApiStatus: 429 }) {
  readonly retryable = true
  override get message(): string {
    return this.retryAfter === undefined ? "Too many requests" : `Too many requests for ${format(this.retryAfter)}`
  }
  get advice(): string {
    return "Wait, and make fewer requests with this API key."
  }
}

/**
 * No usable answer: the authority was out of reach, failed (408, 5xx), or took too long.
 *
 * The request may have been carried out all the same.
 *
 * @category reasons
 * @since 0.1.0
 */
export class Unavailable extends Schema.TaggedError<Unavailable>(id("Unavailable"))("Unavailable", {
  problem: Schema.Literals(["Status", "Transport", "Timeout"]),
  /** The status of the answer, where there was one. */
  status: Schema.optionalKey(Schema.Int),
  /** The least time to wait, where the gateway named one. */
  retryAfter: Schema.optionalKey(Schema.DurationFromMillis)
}, { httpApiStatus: 503 }) {
  readonly retryable = true
  override get message(): string {
    switch (this.problem) {
      case "Status":
        return `The authority answered with status ${this.status}`
      case "Transport":
        return "The authority could not be reached"
      case "Timeout":
        return "The authority did not answer in time"
    }
  }
  get advice(): string {
    return "Try again later. If it lasts, check the endpoint URL and the network."
  }
}

/**
 * The authority answered, but not as the contract says.
 *
 * @category reasons
 * @since 0.1.0
 */
export class InvalidResponse extends Schema.TaggedError<InvalidResponse>(id("InvalidResponse"))("InvalidResponse", {
  status: Schema.Int,
  /** Where in the body, as `session.accessToken`. Empty for the body as a whole. */
  path: Schema.String,
  /** What belongs there. What was there instead is never kept: it may be a secret. */
  expected: Schema.String
}, { httpApiStatus: 502 }) {
  /** A page that is no JSON comes from something on the way, and may be gone the next time. */
  get retryable(): boolean {
    return this.path === "" && this.status < 300
  }
  override get message(): string {
    return `Expected ${this.expected}${
      this.path === "" ? "" : ` at ${this.path}`
    } in an answer with status ${this.status}`
  }
  get advice(): string {
    return "Check that the endpoint URL is the base URL of a Tenovos API, such as https://api.tenovos.io/v1."
  }
}

/**
 * The session is over, and there is nothing left to renew it with.
 *
 * @category reasons
 * @since 0.1.0
 */
export class SessionExpired extends Schema.TaggedError<SessionExpired>(id("SessionExpired"))("SessionExpired", {}, {
  httpApiStatus: 401
}) {
  readonly retryable = false
  override get message(): string {
    return "The session is over"
  }
  get advice(): string {
    return "Sign in again."
  }
}

/**
 * These credentials were refused before. They are not sent again, so that the account is not locked.
 *
 * @category reasons
 * @since 0.1.0
 */
export class CredentialsRejected
  extends Schema.TaggedError<CredentialsRejected>(id("CredentialsRejected"))("CredentialsRejected", {
    /** What the authority said when it refused them. */
    message: Schema.String
  }, { httpApiStatus: 401 })
{
  readonly retryable = false
  get advice(): string {
    return "Correct the credentials. The refused ones are not tried again."
  }
}

/**
 * A new session was already over when it arrived: one of the two clocks is wrong.
 *
 * @category reasons
 * @since 0.1.0
 */
export class ClockSkew extends Schema.TaggedError<ClockSkew>(id("ClockSkew"))("ClockSkew", {
  /** How long before its arrival the session was over, by the local clock. */
  overSince: Schema.DurationFromMillis
}, { httpApiStatus: 502 }) {
  readonly retryable = false
  override get message(): string {
    return `A new session was over ${format(this.overSince)} before it arrived: one of the clocks is wrong`
  }
  get advice(): string {
    return "Set this machine's clock."
  }
}

/**
 * The session's store could not be read or written.
 *
 * @category reasons
 * @since 0.1.0
 */
export class StoreFailure extends Schema.TaggedError<StoreFailure>(id("StoreFailure"))("StoreFailure", {
  operation: Schema.Literals(["read", "commit", "clear", "lease"])
}, { httpApiStatus: 500 }) {
  readonly retryable = true
  override get message(): string {
    return `The session store failed to ${this.operation}`
  }
  get advice(): string {
    return "Check that the store can be reached and written."
  }
}

/**
 * The API refused the access token, and the request's body can't be sent twice.
 *
 * @category reasons
 * @since 0.1.0
 */
export class NotReplayable extends Schema.TaggedError<NotReplayable>(id("NotReplayable"))("NotReplayable", {}, {
  httpApiStatus: 401
}) {
  readonly retryable = false
  override get message(): string {
    return "The access token was refused, and the body can't be sent twice"
  }
  get advice(): string {
    return "Send the request again with a fresh body."
  }
}

/**
 * Each way to fail.
 *
 * @category reasons
 * @since 0.1.0
 */
export const Reason = Schema.Union([
  BadRequest,
  Unauthorized,
  Forbidden,
  RateLimited,
  Unavailable,
  InvalidResponse,
  SessionExpired,
  CredentialsRejected,
  ClockSkew,
  StoreFailure,
  NotReplayable
])

/**
 * @category reasons
 * @since 0.1.0
 */
export type Reason = typeof Reason.Type

// -----------------------------------------------------------------------------
// Error
// -----------------------------------------------------------------------------

/**
 * What every effect of this package fails with: a `reason` to act on, and where there is one the foreign `cause`.
 *
 * @category errors
 * @since 0.1.0
 */
export class AuthError extends Schema.TaggedError<AuthError>("@effect-tenovos/core/AuthError")("AuthError", {
  reason: Reason,
  /** What the transport or the store reported. */
  cause: Schema.optionalKey(Schema.Defect())
}) {
  /** Whether the same attempt may succeed later. */
  get retryable(): boolean {
    return this.reason.retryable
  }
  /** Whether the authority may have carried out the request although no usable answer came back. */
  get ambiguous(): boolean {
    return this.reason._tag === "Unavailable" || this.reason._tag === "InvalidResponse"
  }
  /** What happened, and what to do next. */
  override get message(): string {
    return `${this.reason.message}${/[.!?]$/.test(this.reason.message) ? "" : "."} ${this.reason.advice}`
  }
}

const format = (duration: Duration.Duration): string =>
  Duration.format(Duration.millis(Math.round(Duration.toMillis(duration))))
