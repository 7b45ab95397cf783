/**
 * What a tenant's programs asked the authority for, and what came of it: for tests to assert on, and to watch live.
 *
 * Each tenant's newest thousand requests are kept; the counts know of all. No entry holds a secret: tokens and API keys
 * are there as {@link fingerprint}s, passwords not at all.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as SubscriptionRef from "effect/SubscriptionRef"
import { Fault, Operation } from "./Fault.ts"
import * as masking from "./internal/masking.ts"

/**
 * What stands for a token or an API key in the journal: `sha256:` and twelve digits, the same for the same secret.
 *
 * @category getters
 * @since 0.1.0
 */
export const fingerprint: (secret: string | Redacted.Redacted) => string = masking.fingerprint

/**
 * The claims of a pair of tokens, as decoded, not verified.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Claims = Schema.Struct({ id: Schema.JsonObject, access: Schema.JsonObject }).annotate({
  identifier: "Claims"
})
/**
 * @category models
 * @since 0.1.0
 */
export type Claims = typeof Claims.Type

const severe = ["status", "rateLimit", "html", "drop", "lostAnswer", "truncate"] as const

/**
 * The kinds of faults that an entry can be found by.
 *
 * @category constants
 * @since 0.1.0
 */
export const faultKinds = [...severe, "latency"] as const

/**
 * One request under `/v1`.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Entry = Schema.Struct({
  /** Counts all requests of the authority, from 1. */
  sequence: Schema.Int,
  /** The tenant of its API key; `null` for an unknown key. */
  tenant: Schema.NullOr(Schema.String),
  /** When it came, by the tenant's clock, in ISO 8601. */
  at: Schema.String,
  /** How long it took, in real milliseconds. */
  milliseconds: Schema.Finite,
  operation: Operation,
  method: Schema.String,
  path: Schema.String,
  /** What was answered; `null` when nothing was, or only a part. */
  status: Schema.NullOr(Schema.Int),
  /** What was injected, besides a delay. */
  fault: Schema.NullOr(Schema.Literals(severe)),
  /** By how many milliseconds an injected latency held it up. */
  delay: Schema.Finite,
  /** What the request said; its secrets are masked. */
  received: Schema.Struct({
    headers: Schema.Record(Schema.String, Schema.String),
    body: Schema.Json
  }),
  /** What the operation answered, masked too, also when the answer was lost; `null` when it wasn't carried out. */
  answered: Schema.Json,
  /** Whose session it was, or which it began; `null` where the tokens don't say. */
  session: Schema.NullOr(Schema.String)
}).annotate({ identifier: "JournalEntry" })
/**
 * @category models
 * @since 0.1.0
 */
export type Entry = typeof Entry.Type

/**
 * Which entries. What isn't given doesn't matter.
 *
 * @category options
 * @since 0.1.0
 */
export interface Filter {
  /** What was asked for. */
  readonly operation?: Operation | undefined
  /** The status of the answer. */
  readonly status?: number | undefined
  /** The kind of fault that was injected. */
  readonly fault?: Fault["kind"] | undefined
  /** Only those with a higher sequence number. */
  readonly after?: number | undefined
  /** At most so many, the oldest of them. Defaults to 100. */
  readonly limit?: number | undefined
}

/**
 * How many requests there were, and what came of them.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Count = Schema.Struct({
  requests: Schema.Int,
  /** How many of them had a fault injected, or a delay. */
  faults: Schema.Int,
  /** How many were answered with each status; without an answer they count as `none`. */
  statuses: Schema.Record(Schema.String, Schema.Int)
}).annotate({ identifier: "JournalCount" })

/**
 * How many requests there were of each kind, since the journal was last cleared.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Counts = Schema.Struct({ authorize: Count, refresh: Count, expire: Count, call: Count }).annotate({
  identifier: "JournalCounts"
})
/**
 * @category models
 * @since 0.1.0
 */
export type Counts = typeof Counts.Type

/**
 * The requests of one tenant, or of all.
 *
 * @category models
 * @since 0.1.0
 */
export interface Journal {
  readonly find: (filter?: Filter) => Effect.Effect<ReadonlyArray<Entry>>
  /** The same, but waits for the first that fits; nothing when none has come by then. */
  readonly poll: (filter: Filter, wait: Duration.Input) => Effect.Effect<ReadonlyArray<Entry>>
  readonly counts: Effect.Effect<Counts>
  readonly clear: Effect.Effect<void>
}

/**
 * Where requests are noted, and found again.
 *
 * @category models
 * @since 0.1.0
 */
export interface Recorder {
  readonly record: (entry: Omit<Entry, "sequence">) => Effect.Effect<void>
  /** The journal of a tenant; of all when none is named. */
  readonly of: (tenant?: string) => Journal
}

/**
 * A journal in memory, gone with the process.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make: Effect.Effect<Recorder> = Effect.gen(function*() {
  const last = yield* SubscriptionRef.make(0)
  const pages = new Map<string | null, { readonly entries: ReadonlyArray<Entry>; readonly counts: Counts }>()

  const record = (entry: Omit<Entry, "sequence">) =>
    SubscriptionRef.update(last, (before) => {
      const sequence = before + 1
      const { counts, entries } = pages.get(entry.tenant) ?? blank
      pages.set(entry.tenant, {
        entries: [...entries.slice(-capacity + 1), { sequence, ...entry }],
        counts: plus(counts, {
          ...blank.counts,
          [entry.operation]: {
            requests: 1,
            faults: entry.fault !== null || entry.delay > 0 ? 1 : 0,
            statuses: { [entry.status ?? "none"]: 1 }
          }
        })
      })
      return sequence
    })

  const of = (tenant?: string): Journal => {
    const own = () => tenant === undefined ? Array.from(pages.values()) : [pages.get(tenant) ?? blank]
    const find = (filter: Filter = {}) =>
      Effect.sync(() =>
        own()
          .flatMap(({ entries }) => entries.filter((entry) => isFit(entry, filter)))
          .sort((a, b) => a.sequence - b.sequence)
          .slice(0, filter.limit ?? 100)
      )
    return {
      find,
      poll: (filter, wait) =>
        SubscriptionRef.changes(last).pipe(
          Stream.mapEffect(() => find(filter)),
          Stream.filter((found) => found.length > 0),
          Stream.runHead,
          Effect.timeoutOption(wait),
          Effect.map((found) => Option.getOrElse(Option.flatten(found), () => []))
        ),
      counts: Effect.sync(() => own().reduce((sum, { counts }) => plus(sum, counts), blank.counts)),
      clear: Effect.sync(() => tenant === undefined ? pages.clear() : void pages.delete(tenant))
    }
  }

  return { record, of }
})

const capacity = 1000

const none = { requests: 0, faults: 0, statuses: {} }
const blank = { entries: [], counts: { authorize: none, refresh: none, expire: none, call: none } }

const isFit = (entry: Entry, { after, fault, operation, status }: Filter): boolean =>
  (after === undefined || entry.sequence > after) &&
  (operation === undefined || entry.operation === operation) &&
  (status === undefined || entry.status === status) &&
  (fault === undefined || (fault === "latency" ? entry.delay > 0 : entry.fault === fault))

const plus = (a: Counts, b: Counts): Counts => ({
  authorize: sum(a.authorize, b.authorize),
  refresh: sum(a.refresh, b.refresh),
  expire: sum(a.expire, b.expire),
  call: sum(a.call, b.call)
})

const sum = (a: typeof Count.Type, b: typeof Count.Type): typeof Count.Type => {
  const statuses: Record<string, number> = { ...a.statuses }
  for (const [status, count] of Object.entries(b.statuses)) statuses[status] = (statuses[status] ?? 0) + count
  return { requests: a.requests + b.requests, faults: a.faults + b.faults, statuses }
}
