/**
 * Sessions of many accounts: one keeper for each, made when it is first asked for, and released when nobody has used it
 * for a while.
 *
 * An account is an endpoint, an API key and a user name. Who asks with another password for an account that is signed
 * in gets a keeper of its own: no one sees a session that its own credentials did not open.
 *
 * @since 0.1.0
 */
import type * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as Hash from "effect/Hash"
import type * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import * as RcMap from "effect/RcMap"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import * as Credentials from "./Credentials.ts"
import type { RefreshPolicy } from "./RefreshPolicy.ts"
import * as TenovosAuth from "./TenovosAuth.ts"

/**
 * How many sessions are kept, how long, and how.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options {
  /** How long the session of an account that nobody uses is kept. Defaults to one hour. */
  readonly idleTimeToLive?: Duration.Input | undefined
  /** How many accounts can have a session at a time. Defaults to no bound. */
  readonly capacity?: number | undefined
  /** When the sessions are renewed. Defaults to `RefreshPolicy.standard`. */
  readonly policy?: RefreshPolicy | undefined
}

/**
 * A `TenovosAuth` for each account that is asked for, made at first need and let go when idle.
 *
 * @category services
 * @since 0.1.0
 */
export class TenovosAuthMap extends Context.Service<TenovosAuthMap, {
  /** The layer of an account's session, to be provided to what works for that account. Fails when there is no room. */
  readonly get: (
    account: Credentials.Options
  ) => Layer.Layer<TenovosAuth.TenovosAuth, Cause.ExceededCapacityError>
  /** Lets go of an account's session without ending it. Who asks again signs in anew. */
  readonly invalidate: (account: Credentials.Options) => Effect.Effect<void>
}>()("@effect-tenovos/core/TenovosAuthMap") {}

/**
 * Keeps the sessions until the scope closes. They are in memory.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function*(
  options?: Options
): Effect.fn.Return<TenovosAuthMap["Service"], never, HttpClient.HttpClient | Scope.Scope> {
  const map = yield* RcMap.make({
    lookup: ({ credentials }: Account) => Layer.build(TenovosAuth.layer({ ...credentials, policy: options?.policy })),
    idleTimeToLive: options?.idleTimeToLive ?? "1 hour",
    capacity: options?.capacity ?? Infinity
  })
  return TenovosAuthMap.of({
    get: (account) => Layer.effectContext(RcMap.get(map, new Account(Credentials.make(account)))),
    invalidate: (account) => RcMap.invalidate(map, new Account(Credentials.make(account)))
  })
})

/**
 * Provides the map: see {@link make}.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options?: Options): Layer.Layer<TenovosAuthMap, never, HttpClient.HttpClient> =>
  Layer.effect(TenovosAuthMap, make(options))

/** Equal to another of the same credentials. It is the map's key, and never leaves it. */
class Account implements Equal.Equal {
  readonly credentials: Credentials.Credentials
  constructor(credentials: Credentials.Credentials) {
    this.credentials = credentials
  }
  get #parts(): ReadonlyArray<string> {
    const { apiKey, endpointUrl, password, username } = this.credentials
    return [endpointUrl, username, Redacted.value(apiKey), Redacted.value(password)]
  }
  [Hash.symbol](): number {
    return Hash.array(this.#parts)
  }
  [Equal.symbol](that: Equal.Equal): boolean {
    return that instanceof Account && this.#parts.every((part, index) => part === that.#parts[index])
  }
}
