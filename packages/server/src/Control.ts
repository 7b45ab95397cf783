/**
 * What a test may do to an authority, without HTTP: move its clock, let requests fail, read what was asked, end sessions,
 * and take its state back.
 *
 * Each tenant can be controlled on its own, and all of them together. A tenant's clock goes with the authority's, and
 * its requests meet its own faults and those of all.
 *
 * **Gotchas**
 *
 * Clocks never go back, not by a reset or a restored snapshot either: who needs an earlier time makes a new tenant. What
 * was moved, injected, noted and snapshot is forgotten when the process ends, but a database in a file keeps the sessions
 * that were made under a moved clock. The authority's signing keys belong to no tenant, and follow the authority's clock.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as SqlClient from "effect/sql/SqlClient"
import { randomBytes } from "node:crypto"
import { Audit } from "./Audit.ts"
import { Authority } from "./Authority.ts"
import * as ControlClock from "./ControlClock.ts"
import * as ControlMessages from "./ControlMessages.ts"
import * as Fault from "./Fault.ts"
import { CommonClock } from "./internal/commonClock.ts"
import * as controlRows from "./internal/controlRows.ts"
import * as Journal from "./Journal.ts"
import { Keys } from "./Keys.ts"
import { Limits } from "./Limits.ts"

/**
 * What can be done to one tenant, or to all.
 *
 * @category models
 * @since 0.1.0
 */
export interface Controls {
  readonly clock: ControlClock.ControlledClock
  readonly faults: Fault.Injector
  readonly journal: Journal.Journal
  /** The 500 newest. */
  readonly sessions: Effect.Effect<ReadonlyArray<ControlMessages.Session>>
  readonly users: Effect.Effect<ReadonlyArray<ControlMessages.User>>
  /** Does this to the user of the name, in each tenant that has one. Gives them as they are then. */
  readonly changeUser: (
    change: ControlMessages.UserChange
  ) => Effect.Effect<ReadonlyArray<ControlMessages.User>, ControlMessages.NotFound>
  /** Ends sessions as `DELETE /auth/token` does, each with a row in the audit. Gives how many there were. */
  readonly revoke: (which: ControlMessages.Which) => Effect.Effect<number>
  /** Keeps API keys, users, sessions, locks and limits as they are now. The sixteen newest snapshots can be restored. */
  readonly snapshot: Effect.Effect<string>
  /** Brings them back, also an API key that is another tenant's by now. What requests write meanwhile is written after it. */
  readonly restore: (snapshot: string) => Effect.Effect<void, ControlMessages.NotFound>
  /** Forgets all sessions, locks, limits, faults and requests, and enables all users; API keys and users stay. */
  readonly reset: Effect.Effect<void>
}

/**
 * What the requests of one tenant go by.
 *
 * @category models
 * @since 0.1.0
 */
export interface World {
  readonly clock: ControlClock.ControlledClock
  readonly take: (operation: Fault.Operation) => Effect.Effect<Fault.Verdict>
  readonly record: (entry: Omit<Journal.Entry, "sequence">, claims: Journal.Claims | undefined) => Effect.Effect<void>
}

/**
 * All that a test may do to an authority and its tenants.
 *
 * @category services
 * @since 0.1.0
 */
export class Control extends Context.Service<Control, {
  readonly all: Controls
  readonly tenant: (name: string) => Effect.Effect<Controls, ControlMessages.NotFound>
  readonly tenants: Effect.Effect<ReadonlyArray<ControlMessages.TenantSummary>>
  readonly addTenant: (
    tenant?: ControlMessages.NewTenant
  ) => Effect.Effect<ControlMessages.Tenant, ControlMessages.Conflict>
  /** Forgets the tenant: its API keys, users and sessions, clock, faults and requests. */
  readonly removeTenant: (name: string) => Effect.Effect<void, ControlMessages.NotFound>
  /**
   * Makes the next generation of the keys, which belong to no tenant: in use at once, or, as an operator would have it, in
   * ten minutes. Gives when, in milliseconds since the Unix epoch.
   */
  readonly rotateKeys: (options: { readonly immediately: boolean }) => Effect.Effect<number>
  /** Of the tenant of a request's API key, or of none when the key is unknown. */
  readonly world: (tenant: string | null) => Effect.Effect<World>
}>()("@effect-tenovos/server/Control") {}

type Needs = Authority | Keys | Audit | Limits | SqlClient.SqlClient

/**
 * Control of the authority in the context.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make: Effect.Effect<Control["Service"], never, Needs> = Effect.gen(
  function*() {
    const authority = yield* Authority
    const keys = yield* Keys
    const limits = yield* Limits
    const audit = yield* Audit
    const db = controlRows.make(yield* SqlClient.SqlClient)
    const clock = yield* ControlClock.make
    const recorder = yield* Journal.make
    const claims = new Map<string, Journal.Claims>()
    const tenants = new Map<string, Controls>()

    /** By this clock, but for what is thrown away for all. */
    const by = (own: Clock.Clock) => <A, E, R>(self: Effect.Effect<A, E, R>) =>
      self.pipe(Effect.provideService(Clock.Clock, own), Effect.provideService(CommonClock, clock))

    const clockOf = (tenant: string) => tenants.get(tenant)?.clock ?? clock

    const controls = (own: Pick<Controls, "clock" | "faults">, tenant?: string): Controls => {
      const journal = recorder.of(tenant)
      const snapshots = new Map<string, controlRows.Snapshot>()
      const users = Effect.map(
        db.users(tenant),
        (rows) => rows.map((row) => toUser(row, clockOf(row.tenant).currentTimeMillisUnsafe()))
      )
      return {
        ...own,
        journal,
        sessions: Effect.map(
          db.sessions(tenant),
          (rows) => rows.map((row) => toSession(row, claims.get(row.id), clockOf(row.tenant).currentTimeMillisUnsafe()))
        ),
        users,
        changeUser: Effect.fn("Control.changeUser")(function*(change) {
          const names = yield* db.tenantsOf(change.username, tenant)
          if (names.length === 0) return yield* new ControlMessages.NotFound({ message: "There is no such user" })
          for (const tenant of names) {
            yield* by(clockOf(tenant))(changeOne(authority, tenant, change))
          }
          return (yield* users).filter(({ username }) => username === change.username)
        }),
        revoke: Effect.fn("Control.revoke")(function*(which) {
          return yield* db.revoke({
            tenant,
            which,
            now: Math.floor(yield* own.clock.currentTimeMillis),
            tell: ({ id, tenant }) =>
              by(own.clock)(
                audit.record({ event: "expire", outcome: "accepted", reason: "revoked", tenant, session: id })
              )
          })
        }),
        snapshot: Effect.gen(function*() {
          const id = randomBytes(9).toString("base64url")
          snapshots.set(id, yield* db.snapshot(tenant))
          for (const old of Array.from(snapshots.keys()).slice(0, -16)) snapshots.delete(old)
          return id
        }).pipe(Effect.withSpan("Control.snapshot")),
        restore: Effect.fn("Control.restore")(function*(id) {
          const snapshot = snapshots.get(id)
          if (snapshot === undefined) {
            return yield* new ControlMessages.NotFound({ message: "There is no such snapshot" })
          }
          yield* db.restore(tenant, snapshot)
          yield* limits.dropShares(tenant)
        }),
        reset: Effect.all([db.reset(tenant), limits.dropShares(tenant), own.faults.clear(), journal.clear], {
          discard: true
        }).pipe(Effect.withSpan("Control.reset"))
      }
    }

    /** Of a tenant that exists. */
    const ofTenant = (name: string) =>
      Effect.gen(function*() {
        const found = tenants.get(name)
        if (found !== undefined) return found
        const made = controls({ clock: yield* ControlClock.branch(clock), faults: yield* Fault.make }, name)
        tenants.set(name, made)
        return made
      })

    const common = controls({ clock, faults: yield* Fault.make })
    const all: Controls = {
      ...common,
      clock: {
        ...clock,
        // A tenant may be ahead of the others, and must not come past the end either.
        advance: (milliseconds) =>
          Effect.suspend(() => {
            const ahead = Array.from(tenants.values(), ({ clock }) => clock.currentTimeMillisUnsafe() + milliseconds)
            return ahead.some((time) => time > ControlClock.endOfTime)
              ? Effect.succeed(false)
              : clock.advance(milliseconds)
          })
      },
      reset: Effect.suspend(() =>
        Effect.all([common.reset, ...Array.from(tenants.values(), ({ faults }) => faults.clear())], { discard: true })
      )
    }

    const tenant: Control["Service"]["tenant"] = Effect.fnUntraced(function*(name) {
      if (!(yield* db.hasTenant(name))) return yield* unknownTenant
      return yield* ofTenant(name)
    })

    const addTenant: Control["Service"]["addTenant"] = Effect.fn("Control.addTenant")(function*(options) {
      const name = options?.tenant ?? `tenant-${randomBytes(9).toString("base64url")}`
      if (yield* db.hasTenant(name)) {
        return yield* new ControlMessages.Conflict({ message: "There is such a tenant already" })
      }
      const apiKey = random(30)
      const users = options?.users ?? [{ username: "ada", password: random(18), email: "ada@example.com" }]
      yield* authority.addApiKey(apiKey, { tenant: name })
      yield* Effect.forEach(users, (user) => authority.addUser({ ...user, tenant: name }), { discard: true })
      return { tenant: name, apiKey, users }
    })

    const removeTenant: Control["Service"]["removeTenant"] = Effect.fn("Control.removeTenant")(function*(name) {
      if (!(yield* db.hasTenant(name))) return yield* unknownTenant
      yield* db.removeTenant(name)
      yield* limits.dropShares(name)
      yield* recorder.of(name).clear
      tenants.delete(name)
    })

    const world: Control["Service"]["world"] = Effect.fnUntraced(function*(name) {
      const own = name === null ? common : yield* ofTenant(name)
      return {
        clock: own.clock,
        take: Effect.fnUntraced(function*(operation) {
          const verdict = yield* own.faults.take(operation)
          if (own === common || Option.isSome(verdict.fault)) return verdict
          const { delay, fault } = yield* common.faults.take(operation)
          return { delay: verdict.delay + delay, fault }
        }),
        record: (entry, issued) =>
          Effect.suspend(() => {
            if (issued !== undefined && entry.session !== null) {
              // Deleted first, so that the newest are the last.
              claims.delete(entry.session)
              claims.set(entry.session, issued)
              for (const old of Array.from(claims.keys()).slice(0, -maxClaims)) claims.delete(old)
            }
            return recorder.record(entry)
          })
      }
    })

    return Control.of({
      all,
      tenant,
      tenants: Effect.suspend(() => db.tenants(Math.floor(clock.currentTimeMillisUnsafe()))),
      addTenant,
      removeTenant,
      rotateKeys: Effect.fn("Control.rotateKeys")(function*(options) {
        // A database that fails is a defect, as everywhere.
        const from = yield* keys.rotate(options).pipe(Effect.provideService(Clock.Clock, clock), Effect.orDie)
        return DateTime.toEpochMillis(from)
      }),
      world
    })
  }
)

const maxClaims = 1000

const unknownTenant = new ControlMessages.NotFound({ message: "There is no such tenant" })

const random = (bytes: number) => Redacted.make(randomBytes(bytes).toString("base64url"))

const changeOne = (authority: Authority["Service"], tenant: string, change: ControlMessages.UserChange) => {
  const user = { tenant, username: change.username }
  switch (change.action) {
    case "lock":
      return authority.lock(user, change.milliseconds ?? 900_000)
    case "unlock":
      return authority.unlock(user)
    default:
      return authority.setDisabled(user, change.action === "disable")
  }
}

const toUser = (
  { disabled, email, lockedUntil, tenant, username }: controlRows.User,
  now: number
): ControlMessages.User => ({
  tenant,
  username,
  email,
  disabled: disabled !== 0,
  lockedFor: Math.max(0, Math.ceil(lockedUntil - now))
})

const toSession = (
  row: controlRows.Session,
  claims: Journal.Claims | undefined,
  now: number
): ControlMessages.Session => {
  const left = (end: number) => row.revoked_at === null ? Math.max(0, Math.floor(end - now)) : 0
  return {
    id: row.id,
    tenant: row.tenant,
    username: row.username,
    signedInAt: toIso(row.auth_time * 1000),
    refreshedAt: row.refreshed_at === null ? null : toIso(row.refreshed_at),
    revokedAt: row.revoked_at === null ? null : toIso(row.revoked_at),
    refreshTokenLife: left(row.expires_at),
    accessTokenLife: claims === undefined ? null : left(Number(claims.access["exp"]) * 1000),
    claims: claims ?? null
  }
}

const toIso = (milliseconds: number): string => new Date(milliseconds).toISOString()

/**
 * Provides control of the authority in the context.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<Control, never, Needs> = Layer.effect(
  Control,
  make
)
