/**
 * What the control plane is told, and what it tells: the bodies and the refusals of `ControlApi`.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { maxPassword } from "./internal/limits.ts"
import * as Journal from "./Journal.ts"
import * as Seed from "./Seed.ts"

const id = <const Name extends string>(name: Name) => `@effect-tenovos/server/ControlMessages/${name}` as const
const refusal = (identifier: string) => Schema.Struct({ message: Schema.String }).annotate({ identifier })

/**
 * The request can't be understood (400).
 *
 * @category errors
 * @since 0.1.0
 */
export class BadRequest extends Schema.Error<BadRequest>(id("BadRequest"))(refusal("BadRequest"), {
  httpApiStatus: 400,
  description: "The request can't be understood."
}) {}

/**
 * The control plane answers to this machine only (403).
 *
 * @category errors
 * @since 0.1.0
 */
export class Forbidden extends Schema.Error<Forbidden>(id("Forbidden"))(refusal("Forbidden"), {
  httpApiStatus: 403,
  description: "From another machine, by a name that isn't of loopback, or from a page of another origin."
}) {}

/**
 * There is no such tenant, user, rule or snapshot (404).
 *
 * @category errors
 * @since 0.1.0
 */
export class NotFound extends Schema.Error<NotFound>(id("NotFound"))(refusal("NotFound"), {
  httpApiStatus: 404,
  description: "There is no such tenant, user, rule or snapshot."
}) {}

/**
 * There is a tenant of this name already (409).
 *
 * @category errors
 * @since 0.1.0
 */
export class Conflict extends Schema.Error<Conflict>(id("Conflict"))(refusal("Conflict"), {
  httpApiStatus: 409,
  description: "There is such a tenant already."
}) {}

/**
 * How far to move the clock: milliseconds, from 0 on. A fraction of a millisecond is dropped.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Advance = Schema.Struct({ advance: Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0)) }).annotate({
  identifier: "Advance"
})

/**
 * The time, in ISO 8601, and by how many milliseconds it is ahead of the real one.
 *
 * @category schemas
 * @since 0.1.0
 */
export const ClockState = Schema.Struct({ now: Schema.String, advanced: Schema.Int }).annotate({
  identifier: "ClockState"
})

/**
 * A session, and what is left of it by its tenant's clock. Instants are in ISO 8601, and lives in milliseconds.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Session = Schema.Struct({
  id: Schema.String,
  tenant: Schema.String,
  username: Schema.String,
  signedInAt: Schema.String,
  refreshedAt: Schema.NullOr(Schema.String),
  revokedAt: Schema.NullOr(Schema.String),
  /** Zero when it is over. */
  refreshTokenLife: Schema.Int,
  /** Zero when it is over, `null` when the token wasn't issued since the authority started. */
  accessTokenLife: Schema.NullOr(Schema.Int),
  /** Of the newest tokens, if they were issued since the authority started. */
  claims: Schema.NullOr(Journal.Claims)
}).annotate({ identifier: "Session" })
/**
 * @category models
 * @since 0.1.0
 */
export type Session = typeof Session.Type

/**
 * A user, and whether they can sign in.
 *
 * @category schemas
 * @since 0.1.0
 */
export const User = Schema.Struct({
  tenant: Schema.String,
  username: Schema.String,
  email: Schema.NullOr(Schema.String),
  disabled: Schema.Boolean,
  /** For how many milliseconds the user can't sign in from at least one address; zero without a lock. */
  lockedFor: Schema.Int
}).annotate({ identifier: "User" })
/**
 * @category models
 * @since 0.1.0
 */
export type User = typeof User.Type

/**
 * Which sessions to end: one, all of a user, or all.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Which = Schema.Union([
  Schema.Struct({ session: Schema.String }),
  Schema.Struct({ username: Schema.String }),
  Schema.Struct({ all: Schema.Literal(true) })
])
/**
 * @category models
 * @since 0.1.0
 */
export type Which = typeof Which.Type

/**
 * What to do to the user of a name: to lock them out of signing in for so many milliseconds, a quarter of an hour if
 * nothing is said, to end every lock, to disable them, so that their sessions are good for nothing either, or to enable
 * them again.
 *
 * @category schemas
 * @since 0.1.0
 */
export const UserChange = Schema.Union([
  Schema.Struct({
    username: Schema.String,
    action: Schema.Literal("lock"),
    milliseconds: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 366 * 86_400_000 })))
  }),
  Schema.Struct({ username: Schema.String, action: Schema.Literals(["unlock", "disable", "enable"]) })
])
/**
 * @category models
 * @since 0.1.0
 */
export type UserChange = typeof UserChange.Type

/**
 * A name for a new tenant: 1 to 64 letters, digits, `-` and `_`.
 *
 * @category schemas
 * @since 0.1.0
 */
export const TenantName = Schema.String.check(Schema.isPattern(/^[\w-]{1,64}$/))

/**
 * A user of a new tenant. The password has up to 256 bytes.
 *
 * @category schemas
 * @since 0.1.0
 */
export const NewUser = Schema.Struct({
  username: Seed.User.fields.username,
  // A caller's own has no label, and this one may have any.
  password: Schema.RedactedFromValue(
    Schema.NonEmptyString.check(
      Schema.makeFilter((password) => Buffer.byteLength(password) <= maxPassword || "Expected at most 256 bytes")
    )
  ),
  email: Seed.User.fields.email
}).annotate({ identifier: "NewUser" })

/**
 * A tenant to make. Without a name it gets a random one, without users one user with a random password.
 *
 * @category schemas
 * @since 0.1.0
 */
export const NewTenant = Schema.Struct({
  tenant: Schema.optionalKey(TenantName),
  users: Schema.optionalKey(Schema.NonEmptyArray(NewUser))
}).annotate({ identifier: "NewTenant" })
/**
 * @category models
 * @since 0.1.0
 */
export type NewTenant = typeof NewTenant.Type

/**
 * A tenant that was made: whatever is sent with this API key is its own.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Tenant = Schema.Struct({
  tenant: Schema.String,
  apiKey: Schema.RedactedFromValue(Schema.String),
  users: Schema.NonEmptyArray(NewUser)
}).annotate({ identifier: "Tenant" })
/**
 * @category models
 * @since 0.1.0
 */
export type Tenant = typeof Tenant.Type

/**
 * How many API keys, users and sessions a tenant has.
 *
 * @category schemas
 * @since 0.1.0
 */
export const TenantSummary = Schema.Struct({
  tenant: Schema.String,
  apiKeys: Schema.Int,
  users: Schema.Int,
  /** Those that can still be refreshed, or used. */
  sessions: Schema.Int
}).annotate({ identifier: "TenantSummary" })
/**
 * @category models
 * @since 0.1.0
 */
export type TenantSummary = typeof TenantSummary.Type

/**
 * A name for the state of a tenant, or of all, to come back to.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Snapshot = Schema.Struct({ snapshot: Schema.String }).annotate({ identifier: "Snapshot" })

/**
 * A rotation of the keys: in use at once, or, when nothing is said, ten minutes after they were published.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Rotation = Schema.Struct({ immediately: Schema.optionalKey(Schema.Boolean) }).annotate({
  identifier: "Rotation"
})
