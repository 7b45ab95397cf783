/**
 * The control plane of an authority as one `HttpApi`, for tests and for whoever tries something out. It stands at
 * `/__control` of a server that was started with `dev`, and nowhere else.
 *
 * **Details**
 *
 * Every operation but those on tenants and keys takes `?tenant=NAME`: it then concerns that tenant alone, and without it the whole
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
import * as ControlMessages from "./ControlMessages.ts"
import * as Fault from "./Fault.ts"
import * as Journal from "./Journal.ts"

const id = <const Name extends string>(name: Name) => `@effect-tenovos/server/ControlApi/${name}` as const

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
  error: [ControlMessages.Forbidden, ControlMessages.NotFound]
}) {}

const Cleared = Schema.Struct({ cleared: Schema.Int })

/**
 * The time: forward only, and no further than the year 9999.
 *
 * @category groups
 * @since 0.1.0
 */
export class Clock extends HttpApiGroup.make("clock").add(
  HttpApiEndpoint.get("read", "/clock", { success: ControlMessages.ClockState }),
  HttpApiEndpoint.post("advance", "/clock", {
    payload: ControlMessages.Advance,
    success: ControlMessages.ClockState,
    error: ControlMessages.BadRequest
  })
).middleware(OfTenant) {}

/**
 * What shall go wrong.
 *
 * @category groups
 * @since 0.1.0
 */
export class Faults extends HttpApiGroup.make("faults").add(
  HttpApiEndpoint.get("active", "/faults", { success: Schema.Array(Fault.ActiveRule) }),
  HttpApiEndpoint.post("inject", "/faults", {
    payload: Fault.Rule,
    success: Fault.ActiveRule,
    error: ControlMessages.BadRequest
  }),
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
  HttpApiEndpoint.get("sessions", "/sessions", { success: Schema.Array(ControlMessages.Session) }),
  HttpApiEndpoint.get("users", "/users", { success: Schema.Array(ControlMessages.User) }),
  HttpApiEndpoint.post("changeUser", "/users", {
    payload: ControlMessages.UserChange,
    success: Schema.Array(ControlMessages.User),
    error: [ControlMessages.BadRequest, ControlMessages.NotFound]
  }),
  HttpApiEndpoint.post("revoke", "/revoke", {
    payload: ControlMessages.Which,
    success: Schema.Struct({ revoked: Schema.Int }),
    error: ControlMessages.BadRequest
  })
).middleware(OfTenant) {}

/**
 * The whole state of a tenant, or of all: API keys, users, sessions and locks. The clock never goes back with them.
 *
 * @category groups
 * @since 0.1.0
 */
export class State extends HttpApiGroup.make("state").add(
  HttpApiEndpoint.post("snapshot", "/snapshots", { success: ControlMessages.Snapshot }),
  HttpApiEndpoint.post("restore", "/restore", {
    payload: ControlMessages.Snapshot,
    success: ControlMessages.Snapshot,
    error: ControlMessages.BadRequest
  }),
  HttpApiEndpoint.post("reset", "/reset", { success: Schema.Struct({}) })
).middleware(OfTenant) {}

/**
 * Tenants: each has API keys, users, a clock, faults and a journal of its own.
 *
 * @category groups
 * @since 0.1.0
 */
export class Tenants extends HttpApiGroup.make("tenants").add(
  HttpApiEndpoint.get("list", "/tenants", {
    success: Schema.Array(ControlMessages.TenantSummary),
    error: ControlMessages.Forbidden
  }),
  HttpApiEndpoint.post("add", "/tenants", {
    payload: ControlMessages.NewTenant,
    success: ControlMessages.Tenant,
    error: [ControlMessages.BadRequest, ControlMessages.Forbidden, ControlMessages.Conflict]
  }),
  HttpApiEndpoint.delete("remove", "/tenants/:tenant", {
    params: { tenant: Schema.String },
    success: Schema.Struct({}),
    error: [ControlMessages.Forbidden, ControlMessages.NotFound]
  })
) {}

/**
 * The keys of the authority, which belong to no tenant.
 *
 * @category groups
 * @since 0.1.0
 */
export class SigningKeys extends HttpApiGroup.make("keys").add(
  HttpApiEndpoint.post("rotate", "/keys/rotate", {
    payload: ControlMessages.Rotation,
    /** From when they are used, in ISO 8601. */
    success: Schema.Struct({ usedFrom: Schema.String }),
    error: [ControlMessages.BadRequest, ControlMessages.Forbidden]
  })
) {}

/**
 * The control plane as one `HttpApi`, all of it below `/__control`.
 *
 * @category api
 * @since 0.1.0
 */
export class ControlApi extends HttpApi.make("control")
  .add(Clock, Faults, Requests, Accounts, State, Tenants, SigningKeys)
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
      /^\/__control\/(?:tenants|keys)/.test(path) ? operations : { ...operations, parameters: [tenantParameter] }
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
