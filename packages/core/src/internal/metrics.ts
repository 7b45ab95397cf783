import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"

// All of them start with `tenovos_auth_`. None has an attribute that could tell who signs in.

/** Exchanges with the authority, by `kind` (authorize, refresh, expire) and `outcome` (success, or the reason). */
const exchanges = Metric.counter("tenovos_auth_exchanges_total", {
  description: "Exchanges with the authority",
  incremental: true
})

const duration = Metric.timer("tenovos_auth_exchange_duration", { description: "Time that an exchange took" })

/** Updated at the end of every exchange. */
export const waiters = Metric.gauge("tenovos_auth_waiters", {
  description: "Callers that waited for the last exchange"
})

/** Updated at every renewal; goes down by a second a second. */
export const secondsToExpiry = Metric.gauge("tenovos_auth_seconds_to_expiry", {
  description: "Life of the access token when it was acquired"
})

export const staleServed = Metric.counter("tenovos_auth_stale_served_total", {
  description: "Times that a session was served although its renewal fails",
  incremental: true
})

export const replays = Metric.counter("tenovos_auth_replays_total", {
  description: "Requests that were sent again after a 401",
  incremental: true
})

/** Counts and times an exchange. */
export const measured =
  (kind: "authorize" | "refresh" | "expire") =>
  <A, E extends { readonly reason: { readonly _tag: string } }, R>(
    effect: Effect.Effect<A, E, R>
  ): Effect.Effect<A, E, R> =>
    effect.pipe(
      Effect.trackDuration(Metric.withAttributes(duration, { kind })),
      Effect.tap(() => Metric.update(Metric.withAttributes(exchanges, { kind, outcome: "success" }), 1)),
      Effect.tapError(({ reason }) =>
        Metric.update(Metric.withAttributes(exchanges, { kind, outcome: reason._tag }), 1)
      )
    )
