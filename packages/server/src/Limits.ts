/**
 * What one caller may ask of an authority in a time, and how long who guesses at passwords has to wait.
 *
 * The counts are in the database: processes that share it share them, and a restart forgets none. Time is the `Clock`'s.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { HttpServerRequest } from "effect/http/HttpServerRequest"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as RateLimiter from "effect/persistence/RateLimiter"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Semaphore from "effect/Semaphore"
import * as SqlClient from "effect/sql/SqlClient"
import { addressOf, sourceOf } from "./internal/address.ts"
import { currentMillis } from "./internal/commonClock.ts"
import { nobodyOf, prefixOf } from "./internal/limitKeys.ts"
import * as lockouts from "./internal/lockouts.ts"
import * as rateLimits from "./internal/rateLimits.ts"
import { sha256 } from "./internal/sha256.ts"

/**
 * So many in a time, all at once if need be; then as many more as time passes.
 *
 * @category models
 * @since 0.1.0
 */
export interface Limit {
  readonly limit: number
  readonly window: Duration.Input
}

/**
 * What one API key, address or user may do in a time. Each tenant has counts of its own.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options {
  /** Requests with one API key. Defaults to 10,000 in a second. */
  readonly perApiKey?: Limit | undefined
  /** Sign-ins from one address other than loopback, good or bad. Defaults to 600 in a minute. */
  readonly perAddress?: Limit | undefined
  /** Refused sign-ins of one user, from all addresses together. Defaults to 1,000 in an hour. */
  readonly perUser?: Limit | undefined
  /**
   * How many proxies stand in front of the authority, each of which adds to `X-Forwarded-For`. Defaults to 0: the header
   * is not believed.
   */
  readonly proxies?: number | undefined
}

/**
 * Who signs in: the name that was given, whether or not a user has it, and the address, "" for loopback.
 *
 * @category models
 * @since 0.1.0
 */
export interface Caller {
  readonly tenant: string
  readonly username: string
  readonly address: string
}

/**
 * A sign-in is `refused` by its password, `locked` whatever that is, or `lockedOut`: refused, and its user is locked from
 * now on.
 *
 * @category models
 * @since 0.1.0
 */
export type Verdict = "allowed" | "locked" | "lockedOut" | "refused"

/**
 * Counts what is asked, and says when it is too much.
 *
 * @category services
 * @since 0.1.0
 */
export class Limits extends Context.Service<Limits, {
  /** Counts a request with this API key, which is to be a known one of the tenant. */
  readonly request: (apiKey: Redacted.Redacted, tenant: string) => Effect.Effect<void, LimitExceeded>
  /** The address that a request comes from. */
  readonly sourceOf: (request: HttpServerRequest) => string | undefined
  /** The same as `Caller` has it. */
  readonly addressOf: (request: HttpServerRequest) => string
  /** Counts a sign-in before its password is looked at. */
  readonly signIn: (caller: Caller) => Effect.Effect<void, LimitExceeded>
  /**
   * Judges a sign-in after its password was looked at: `isRight` says whether it is good, and `sub` whose it would be. A
   * user who is locked can't sign in with the right password either. Fails where others have used up the user's limit
   * meanwhile.
   */
  readonly judge: (
    caller: Caller,
    outcome: { readonly sub: Option.Option<string>; readonly isRight: boolean }
  ) => Effect.Effect<Verdict, LimitExceeded>
  /** Locks a user out of signing in, from everywhere. Sessions that live go on. */
  readonly lock: (sub: string, duration: Duration.Input) => Effect.Effect<void>
  /** Ends what locks a user, and forgets the failures. */
  readonly unlock: (sub: string) => Effect.Effect<void>
  /**
   * Drops what this process holds of the limits of a tenant's API keys, or of everybody's. For whoever has changed the
   * counts in the database.
   */
  readonly dropShares: (tenant?: string) => Effect.Effect<void>
}>()("@effect-tenovos/server/Limits") {}

/**
 * The limits, whose counts are in a database.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(
  function*(options?: Options): Effect.fn.Return<Limits["Service"], never, SqlClient.SqlClient> {
    const locks = lockouts.make(yield* SqlClient.SqlClient)
    const limiter = yield* Effect.provideServiceEffect(
      RateLimiter.make,
      RateLimiter.RateLimiterStore,
      rateLimits.make
    )
    const perApiKey = options?.perApiKey ?? { limit: 10_000, window: "1 second" }
    const perAddress = options?.perAddress ?? { limit: 600, window: "1 minute" }
    const perUser = options?.perUser ?? { limit: 1_000, window: "1 hour" }
    const proxies = options?.proxies ?? 0

    /** Takes tokens from a bucket, or none: that only looks whether there is one. */
    const take = (limit: Limit, key: string, tokens: number) =>
      limiter.consume({ ...limit, algorithm: "token-bucket", key, tokens }).pipe(
        Effect.flatMap(({ remaining }) =>
          tokens > 0 || remaining >= 1
            ? Effect.void
            : tooMany(limit)
        ),
        Effect.catchTag("RateLimiterError", ({ reason }) =>
          reason._tag === "RateLimitExceeded"
            ? Effect.fail(new LimitExceeded({ retryAfter: reason.retryAfter }))
            : Effect.die(reason))
      )

    // A write for each request would make the limit dearer than what it limits. So a process takes a hundredth of the
    // limit at a time, and gives no more than a second to use it up. Near the limit it takes one by one.
    const share = Math.max(1, Math.floor(perApiKey.limit / 100))
    const shares = new Map<string, { tenant: string; left: number; until: number }>()
    const taking = yield* Semaphore.make(1)

    const request: Limits["Service"]["request"] = Effect.fnUntraced(function*(apiKey, tenant) {
      const key = sha256(Redacted.value(apiKey))
      const spend = Effect.map(Clock.currentTimeMillis, (now) => {
        const taken = shares.get(key)
        if (taken?.tenant !== tenant || taken.left < 1 || now >= taken.until) return false
        taken.left--
        return true
      })
      if (yield* spend) return
      yield* taking.withPermit(Effect.gen(function*() {
        // Whoever waited may find what another took.
        if (yield* spend) return
        const until = (yield* Clock.currentTimeMillis) + 1000
        const bucket = `${prefixOf(tenant)}key:${key}`
        yield* take(perApiKey, bucket, share).pipe(
          Effect.andThen(Effect.sync(() => shares.set(key, { tenant, left: share - 1, until }))),
          Effect.catchTag("LimitExceeded", () => take(perApiKey, bucket, 1))
        )
      }))
    })

    const signIn: Limits["Service"]["signIn"] = Effect.fnUntraced(function*(caller) {
      if (caller.address !== "") yield* take(perAddress, `${prefixOf(caller.tenant)}address:${caller.address}`, 1)
      yield* take(perUser, userBucket(caller), 0)
    })

    /**
     * Takes a wrong guess from the user's bucket, and only looks for a right one. When the bucket is empty both do the same
     * work and fail with the same error, so that neither tells which it was.
     */
    const guess = (caller: Caller, isRight: boolean) => {
      const tokens = (isTaken: boolean) => take(perUser, userBucket(caller), isTaken ? 1 : 0)
      return tokens(!isRight).pipe(
        Effect.catch(() => Effect.andThen(Effect.ignore(tokens(isRight)), tooMany(perUser)))
      )
    }

    const judge: Limits["Service"]["judge"] = Effect.fnUntraced(
      function*(caller, { isRight, sub }) {
        const now = yield* currentMillis
        const who = {
          user: Option.getOrElse(sub, () => nobodyOf(caller.tenant, nameOf(caller).slice(0, 4))),
          address: caller.address
        }
        // After the hash: of many guesses at once those that come after the fifth failure find the lock.
        const { hasFailed, lockedUntil } = yield* locks.find(who)
        const isLocked = lockedUntil > now
        // A locked guess tells its maker nothing, so it doesn't use up the user's limit; but it must take as long.
        if (isLocked) yield* Effect.ignore(take(endless, "nobody", 1))
        else yield* guess(caller, isRight)
        if (isRight && !isLocked) {
          if (hasFailed) yield* locks.forget(who)
          return "allowed"
        }
        const until = yield* locks.failed(who, now)
        if (isLocked) return "locked"
        return until > now ? "lockedOut" : "refused"
      }
    )

    const lock: Limits["Service"]["lock"] = Effect.fn("Limits.lock")(function*(sub, duration) {
      const now = yield* currentMillis
      yield* locks.lock(sub, now + Math.ceil(Duration.toMillis(duration)))
    })

    const unlock = Effect.fn("Limits.unlock")(locks.unlock)

    const dropShares: Limits["Service"]["dropShares"] = (tenant) =>
      Effect.sync(() => {
        for (const [key, share] of shares) if (tenant === undefined || share.tenant === tenant) shares.delete(key)
      })

    return Limits.of({
      request,
      sourceOf: (request) => sourceOf(request, proxies),
      addressOf: (request) => addressOf(request, proxies),
      signIn,
      judge,
      lock,
      unlock,
      dropShares
    })
  }
)

/** When a bucket has a token again, at the latest. */
const tooMany = (limit: Limit): LimitExceeded =>
  new LimitExceeded({ retryAfter: Duration.divideUnsafe(Duration.fromInputUnsafe(limit.window), limit.limit) })

const endless: Limit = { limit: 1e9, window: "1 second" }

/**
 * A name that was given, for the table of limits. It may be a password that was typed into the wrong field, so no more
 * than 24 bits of its hash are kept: too few to find it by.
 */
const nameOf = ({ tenant, username }: Caller): string => sha256(JSON.stringify([tenant, username])).slice(0, 6)

const userBucket = (caller: Caller): string => `${prefixOf(caller.tenant)}user:${nameOf(caller)}`

/**
 * Provides the limits: see {@link make}.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options?: Options): Layer.Layer<Limits, never, SqlClient.SqlClient> =>
  Layer.effect(Limits, make(options))

/**
 * Too much was asked in a time, or all at once. `retryAfter` is how long to wait until it may be asked again.
 *
 * @category errors
 * @since 0.1.0
 */
export class LimitExceeded extends Schema.TaggedError<LimitExceeded>("@effect-tenovos/server/Limits/LimitExceeded")(
  "LimitExceeded",
  { retryAfter: Schema.DurationFromMillis }
) {
  override get message(): string {
    return "Too Many Requests"
  }
}
