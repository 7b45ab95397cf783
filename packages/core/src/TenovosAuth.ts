/**
 * Keeps one session alive.
 *
 * The first caller that needs a session starts an exchange with the authority; everybody else who needs one meanwhile
 * waits for the same. Long before the access token ends, a caller who comes starts a renewal in the background, and all
 * are served the current session until the new one is there. Exchanges run in the layer's scope: a caller that gives up
 * neither ends nor loses one.
 *
 * An exchange goes down a ladder, each rung tried when the one above gave a definite no: adopt a newer session from the
 * store, refresh, sign in. Where somebody who shares the store was lost while it renewed, the refresh token may be spent, and
 * the next rung is tried first. What fails for a while is tried again as the policy says. Credentials that were refused are
 * not sent again.
 *
 * @since 0.1.0
 */
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Headers from "effect/http/Headers"
import type * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import { AuthError, SessionExpired } from "./AuthError.ts"
import type { AuthEvent, SignOut } from "./AuthEvent.ts"
import * as Credentials from "./Credentials.ts"
import * as keeper from "./internal/keeper.ts"
import { secretNames } from "./internal/secrecy.ts"
import * as RefreshPolicy from "./RefreshPolicy.ts"
import type { Session } from "./Session.ts"
import * as SessionStore from "./SessionStore.ts"
import * as TokenEndpoint from "./TokenEndpoint.ts"

/**
 * A session, its headers, and why it was served.
 *
 * - `Cached`: it was at hand.
 * - `Renewing`: it was at hand, and is being renewed.
 * - `Stale`: it was at hand, and its renewal fails.
 * - `Adopted`: somebody who shares the store had renewed it.
 * - `Refreshed`, `SignedIn`: this is what the exchange brought that the caller waited for.
 *
 * @category models
 * @since 0.1.0
 */
export interface Served {
  readonly session: Session
  /**
   * The headers that authenticate a request: `X-API-Key`, `AccessToken`, `Authorization`. They are plain text for
   * `fetch` and its like, and print as `<redacted>`; a copy of them, as by `{ ...headers }`, prints.
   */
  readonly headers: Headers.Headers
  readonly reason: "Cached" | "Renewing" | "Stale" | "Adopted" | "Refreshed" | "SignedIn"
}

/**
 * How it stands with the session.
 *
 * @category models
 * @since 0.1.0
 */
export type AuthState =
  | { readonly _tag: "SignedOut" }
  | { readonly _tag: "Active"; readonly session: Session }
  | { readonly _tag: "Renewing"; readonly session: Session | undefined }
  | { readonly _tag: "Rejected"; readonly error: AuthError }

/**
 * What a caller wants of a session beyond what the policy says.
 *
 * @category options
 * @since 0.1.0
 */
export interface Demand {
  /**
   * How long the access token must live on at least; more than three quarters of a token's life count as three quarters.
   * By default, longer than the policy's mandatory window.
   */
  readonly minimumLife?: Duration.Input | undefined
  /** Whether only the session of a renewal that has yet to end will do. Defaults to `false`. */
  readonly forceRefresh?: boolean | undefined
}

/**
 * Who signs in, and how the session is kept alive.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options extends Credentials.Options {
  /** When to renew, and how often to try. Defaults to {@link RefreshPolicy.standard}. */
  readonly policy?: RefreshPolicy.RefreshPolicy | undefined
  /**
   * Whether a sign-in also sends the credentials as Basic authentication. The contract declares it, and the service does
   * not ask for it. Defaults to `false`.
   */
  readonly basicAuthentication?: boolean | undefined
}

/**
 * Keeps one session alive, and serves it. Every effect that can fail fails with `AuthError`.
 *
 * @category services
 * @since 0.1.0
 */
export class TenovosAuth extends Context.Service<TenovosAuth, {
  /** A session that is good for a while, by the policy. */
  readonly session: Effect.Effect<Session, AuthError>
  /** A session that meets more than the policy's demands. */
  readonly sessionWith: (demand: Demand) => Effect.Effect<Session, AuthError>
  /** A session together with its headers, and why it was served. */
  readonly serve: (demand?: Demand) => Effect.Effect<Served, AuthError>
  /**
   * The session at hand, without an effect; undefined where there is none to serve, or a renewal to start, so that
   * `session` is needed. For programs outside of Effect that read it often:
   * `auth.current() ?? await runPromise(auth.session)`.
   */
  readonly current: () => Session | undefined
  /** The access token of a session. */
  readonly accessToken: Effect.Effect<Redacted.Redacted, AuthError>
  /** The headers of a session: see {@link Served}. */
  readonly headers: Effect.Effect<Headers.Headers, AuthError>
  /** Tells that the API refused this session's access token. Does nothing where a newer session is at hand. */
  readonly invalidate: (session: Session) => Effect.Effect<void>
  /**
   * Ends the session at the authority, and forgets it. From the moment it begins nobody is served that session; whoever
   * needs one waits for the end, and signs in anew.
   */
  readonly signOut: Effect.Effect<SignOut, AuthError>
  readonly state: Effect.Effect<AuthState>
  /** The state now, and whenever it changes. */
  readonly changes: Stream.Stream<AuthState>
  /** What happens from now on. A subscriber that is slow misses the oldest. */
  readonly events: Stream.Stream<AuthEvent>
}>()("@effect-tenovos/core/TenovosAuth") {}

/**
 * Keeps a session alive until the scope closes, in the store that the context has.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make: (
  options: Options
) => Effect.Effect<
  TenovosAuth["Service"],
  never,
  TokenEndpoint.TokenEndpoint | SessionStore.SessionStore | Scope.Scope
> = (options) =>
  Effect.map(
    keeper.make(Credentials.make(options), options.policy ?? RefreshPolicy.standard),
    (service) => TenovosAuth.of(service)
  )

/**
 * Keeps the session in memory, or in the store that is given. A store is for one account: whoever shares it is served the
 * same session.
 *
 * To what it is provided to, it also provides that the three headers are hidden wherever Effect prints them.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = <E = never, R = never>(
  options: Options,
  store?: Layer.Layer<SessionStore.SessionStore, E, R>
): Layer.Layer<TenovosAuth, E, HttpClient.HttpClient | R> =>
  Layer.effect(TenovosAuth, make(options)).pipe(
    Layer.provide(endpointOf(options)),
    // A store in memory is made anew each time: two accounts must not share one.
    Layer.provide(store ?? Layer.fresh(SessionStore.layerMemory)),
    Layer.merge(layerSecrecy)
  )

/**
 * Keeps alive the session that is in the store, without credentials to sign in with: when it is over, or there is none,
 * callers get `SessionExpired`. For programs that somebody else signs in for, as the commands between a login and a logout.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerStored = <E, R>(
  options: Pick<Options, "apiKey" | "policy">,
  store: Layer.Layer<SessionStore.SessionStore, E, R>
): Layer.Layer<TenovosAuth, E, HttpClient.HttpClient | R> =>
  Layer.effect(TenovosAuth, make({ ...options, username: "", password: Redacted.make("") })).pipe(
    Layer.provide(Layer.effect(
      TokenEndpoint.TokenEndpoint,
      TokenEndpoint.TokenEndpoint.useSync((endpoint) => ({
        ...endpoint,
        authorize: () => Effect.fail(new AuthError({ reason: new SessionExpired() }))
      }))
    )),
    Layer.provide(endpointOf(options)),
    Layer.provide(store),
    Layer.merge(layerSecrecy)
  )

const endpointOf = (options: Pick<Options, "apiKey" | "policy" | "basicAuthentication">) =>
  TokenEndpoint.layer({
    apiKey: options.apiKey,
    basicAuthentication: options.basicAuthentication,
    authorizeTimeout: options.policy?.authorizeTimeout,
    refreshTimeout: options.policy?.refreshTimeout,
    expireTimeout: options.policy?.expireTimeout
  })

const layerSecrecy: Layer.Layer<never> = /* @__PURE__ */ Layer.effect(
  Headers.CurrentRedactedNames,
  /* @__PURE__ */ Effect.map(Headers.CurrentRedactedNames, (names) => [...names, ...secretNames])
)

/**
 * The same from the environment: by default from the variables of {@link Credentials.config}.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerConfig = <E = never, R = never>(
  config: Config.Wrap<Options> = Credentials.config,
  store?: Layer.Layer<SessionStore.SessionStore, E, R>
): Layer.Layer<TenovosAuth, Config.ConfigError | E, HttpClient.HttpClient | R> =>
  Layer.unwrap(Effect.map(Config.unwrap(config), (options) => layer(options, store)))
