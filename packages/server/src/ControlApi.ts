/**
 * The control plane of an authority as one `HttpApi`, for tests and for whoever tries something out. It stands at
 * `/__control` of a server that was started with `dev`, and nowhere else.
 *
 * **Details**
 *
 * Every operation but those on tenants takes `?tenant=NAME`: it then concerns that tenant alone, and without it the whole
 * authority. A request belongs to the tenant of its API key. Refusals are `{ "message": "…" }`: 400 for a body that can't
 * be understood, 403 unless the caller is on this machine and asks by a name of loopback, 404 for what isn't there.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as HttpApi from "effect/http-api/HttpApi"
import * as HttpApiEndpoint from "effect/http-api/HttpApiEndpoint"
import * as HttpApiGroup from "effect/http-api/HttpApiGroup"
import * as HttpApiMiddleware from "effect/http-api/HttpApiMiddleware"
import * as OpenApi from "effect/http-api/OpenApi"
import * as Schema from "effect/Schema"
import type { Controls } from "./Control.ts"
import * as Fault from "./Fault.ts"
import { maxPassword } from "./internal/limits.ts"
import * as Journal from "./Journal.ts"
import * as Seed from "./Seed.ts"

const id = <const Name extends string>(name: Name) => `@effect-tenovos/server/ControlApi/${name}` as const
const refusal = (identifier: string) => Schema.Struct({ message: Schema.String }).annotate({ identifier })

/**
 * @category errors
 * @since 0.1.0
 */
export class BadRequest extends Schema.Error<BadRequest>(id("BadRequest"))(refusal("BadRequest"), {
  httpApiStatus: 400,
  description: "The request can't be understood."
}) {}

/**
 * @category errors
 * @since 0.1.0
 */
export class Forbidden extends Schema.Error<Forbidden>(id("Forbidden"))(refusal("Forbidden"), {
  httpApiStatus: 403,
  description: "From another machine, by a name that isn't of loopback, or from a page of another origin."
}) {}

/**
 * @category errors
 * @since 0.1.0
 */
export class NotFound extends Schema.Error<NotFound>(id("NotFound"))(refusal("NotFound"), {
  httpApiStatus: 404,
  description: "There is no such tenant, user, rule or snapshot."
}) {}

/**
 * @category errors
 * @since 0.1.0
 */
export class Conflict extends Schema.Error<Conflict>(id("Conflict"))(refusal("Conflict"), {
  httpApiStatus: 409,
  description: "There is such a tenant already."
}) {}

/**
 * What the `tenant` of a control request stands for.
 *
 * @category services
 * @since 0.1.0
 */
export class CurrentControls extends Context.Service<CurrentControls, Controls>()(id("CurrentControls")) {}

/**
 * Reads `?tenant=NAME`.
 *
 * @category middleware
 * @since 0.1.0
 */
export class OfTenant extends HttpApiMiddleware.Service<OfTenant, { provides: CurrentControls }>()(id("OfTenant"), {
  error: [Forbidden, NotFound]
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
 * @category schemas
 * @since 0.1.0
 */
export const User = Schema.Struct({
  tenant: Schema.String,
  username: Schema.String,
  email: Schema.NullOr(Schema.String)
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

const Cleared = Schema.Struct({ cleared: Schema.Int })

/**
 * The time: forward only, and no further than the year 9999.
 *
 * @category groups
 * @since 0.1.0
 */
export class Clock extends HttpApiGroup.make("clock").add(
  HttpApiEndpoint.get("read", "/clock", { success: ClockState }),
  HttpApiEndpoint.post("advance", "/clock", { payload: Advance, success: ClockState, error: BadRequest })
).middleware(OfTenant) {}

/**
 * What shall go wrong.
 *
 * @category groups
 * @since 0.1.0
 */
export class Faults extends HttpApiGroup.make("faults").add(
  HttpApiEndpoint.get("active", "/faults", { success: Schema.Array(Fault.ActiveRule) }),
  HttpApiEndpoint.post("inject", "/faults", { payload: Fault.Rule, success: Fault.ActiveRule, error: BadRequest }),
  HttpApiEndpoint.delete("clear", "/faults", { success: Cleared }),
  HttpApiEndpoint.delete("remove", "/faults/:id", { params: { id: Schema.String }, success: Cleared })
).middleware(OfTenant) {}

/**
 * What was asked, and what came of it.
 *
 * @category groups
 * @since 0.1.0
 */
export class Requests extends HttpApiGroup.make("journal").add(
  HttpApiEndpoint.get("find", "/journal", {
    query: {
      operation: Schema.optionalKey(Fault.Operation),
      status: Schema.optionalKey(Schema.Int),
      fault: Schema.optionalKey(Schema.Literals(Journal.faultKinds)),
      after: Schema.optionalKey(Schema.Int),
      limit: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 1000 }))),
      /** Waits so many real milliseconds for the first that fits. */
      wait: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 60_000 })))
    },
    success: Schema.Array(Journal.Entry)
  }),
  HttpApiEndpoint.get("counts", "/journal/counts", { success: Journal.Counts }),
  HttpApiEndpoint.delete("clear", "/journal", { success: Schema.Struct({}) })
).middleware(OfTenant) {}

/**
 * Sessions and users.
 *
 * @category groups
 * @since 0.1.0
 */
export class Accounts extends HttpApiGroup.make("accounts").add(
  HttpApiEndpoint.get("sessions", "/sessions", { success: Schema.Array(Session) }),
  HttpApiEndpoint.get("users", "/users", { success: Schema.Array(User) }),
  HttpApiEndpoint.post("revoke", "/revoke", {
    payload: Which,
    success: Schema.Struct({ revoked: Schema.Int }),
    error: BadRequest
  })
).middleware(OfTenant) {}

/**
 * The whole state of a tenant, or of all: API keys, users and sessions. The clock never goes back with them.
 *
 * @category groups
 * @since 0.1.0
 */
export class State extends HttpApiGroup.make("state").add(
  HttpApiEndpoint.post("snapshot", "/snapshots", { success: Snapshot }),
  HttpApiEndpoint.post("restore", "/restore", { payload: Snapshot, success: Snapshot, error: BadRequest }),
  HttpApiEndpoint.post("reset", "/reset", { success: Schema.Struct({}) })
).middleware(OfTenant) {}

/**
 * Tenants: each has API keys, users, a clock, faults and a journal of its own.
 *
 * @category groups
 * @since 0.1.0
 */
export class Tenants extends HttpApiGroup.make("tenants").add(
  HttpApiEndpoint.get("list", "/tenants", { success: Schema.Array(TenantSummary), error: Forbidden }),
  HttpApiEndpoint.post("add", "/tenants", {
    payload: NewTenant,
    success: Tenant,
    error: [BadRequest, Forbidden, Conflict]
  }),
  HttpApiEndpoint.delete("remove", "/tenants/:tenant", {
    params: { tenant: Schema.String },
    success: Schema.Struct({}),
    error: [Forbidden, NotFound]
  })
) {}

/**
 * @category api
 * @since 0.1.0
 */
export class ControlApi extends HttpApi.make("control")
  .add(Clock, Faults, Requests, Accounts, State, Tenants)
  .prefix("/__control")
  .annotateMerge(OpenApi.annotations({
    title: "Control plane of a Tenovos authority",
    description: "For tests. Only with `--dev`, only on this machine.",
    version: "1",
    transform: (document) => withTenantParameter(document)
  }))
{}

type Document = Parameters<OpenApi.Transform["Service"]>[0]

/** Read by {@link OfTenant}, not by the operations, so that a client names its tenant once. */
const withTenantParameter = (document: Document): Document => ({
  ...document,
  paths: Object.fromEntries(
    Object.entries<Record<string, unknown>>(document["paths"]).map(([path, operations]) => [
      path,
      path.startsWith("/__control/tenants") ? operations : { ...operations, parameters: [tenantParameter] }
    ])
  )
})

const tenantParameter = {
  name: "tenant",
  in: "query",
  required: false,
  description: "The tenant that it concerns. Without it: the whole authority.",
  schema: { type: "string" }
}
