/**
 * Keeps one session alive.
 *
 * The first caller that needs a session starts an exchange with the authority; everybody else who needs one meanwhile
 * waits for the same. The exchange runs in the layer's scope: a caller that gives up neither ends nor loses it.
 *
 * An exchange goes down a ladder, each rung tried when the one above gave a definite no: adopt a newer session from
 * the store, refresh, sign in. Credentials that were refused are not sent again.
 *
 * @since 0.1.0
 */
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as DateTime from "effect/DateTime"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Headers from "effect/http/Headers"
import type * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Ref from "effect/Ref"
import type * as Scope from "effect/Scope"
import { AuthError, CredentialsRejected, SessionExpired } from "./AuthError.ts"
import * as Credentials from "./Credentials.ts"
import { secretHeaders } from "./internal/secrecy.ts"
import { isRefreshable, remaining, Session } from "./Session.ts"
import * as SessionStore from "./SessionStore.ts"
import * as TokenEndpoint from "./TokenEndpoint.ts"

/**
 * What a sign-out achieved.
 *
 * - `Expired`: the authority has ended the session.
 * - `Forgotten`: the session is forgotten here and in the store, but the authority did not confirm that it has ended.
 * - `NoSession`: there was none.
 *
 * @category models
 * @since 0.1.0
 */
export type SignOut = Data.TaggedEnum<{
  Expired: {}
  Forgotten: { readonly error: AuthError }
  NoSession: {}
}>

/**
 * @category constructors
 * @since 0.1.0
 */
export const SignOut: Data.TaggedEnum.Constructor<SignOut> = Data.taggedEnum<SignOut>()

/**
 * @category options
 * @since 0.1.0
 */
export interface Options extends Credentials.Options, TokenEndpoint.Options {}

/**
 * @category services
 * @since 0.1.0
 */
export class TenovosAuth extends Context.Service<TenovosAuth, {
  /** A session that is good for a while: 30 seconds, or a quarter of its life where that is less. */
  readonly session: Effect.Effect<Session, AuthError>
  /** The access token of such a session. */
  readonly accessToken: Effect.Effect<Redacted.Redacted, AuthError>
  /**
   * The headers that authenticate a request: `X-API-Key`, `AccessToken`, `Authorization`. They are plain text for
   * `fetch` and its like, and print as `<redacted>`. A copy of them, as by `{ ...headers }`, prints.
   */
  readonly headers: Effect.Effect<Headers.Headers, AuthError>
  /** Ends the session at the authority, and forgets it. Whoever needs a session later signs in anew. */
  readonly signOut: Effect.Effect<SignOut, AuthError>
}>()("@effect-tenovos/core/TenovosAuth") {}

type State = Data.TaggedEnum<{
  SignedOut: {}
  Active: { readonly session: Session }
  Renewing: { readonly previous: Option.Option<Session>; readonly flight: Flight }
  /** The credentials were refused. */
  Rejected: { readonly message: string }
}>
const State = Data.taggedEnum<State>()

type Flight = Deferred.Deferred<Session, AuthError>

/**
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function*(
  credentials: Credentials.Credentials
): Effect.fn.Return<
  TenovosAuth["Service"],
  never,
  TokenEndpoint.TokenEndpoint | SessionStore.SessionStore | Scope.Scope
> {
  const endpoint = yield* TokenEndpoint.TokenEndpoint
  const store = yield* SessionStore.SessionStore
  const scope = yield* Effect.scope
  const state = yield* Ref.make<State>(State.SignedOut())

  const session = Effect.gen(function*() {
    const now = yield* DateTime.now
    const current = yield* Ref.get(state)
    return current._tag === "Active" && isUsable(current.session, now) ? current.session : yield* renewed
  }).pipe(Effect.withSpan("TenovosAuth.session"))

  /** Waits for the exchange that is under way, or starts one. */
  const renewed = Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      const now = yield* DateTime.now
      const flight: Flight = yield* Deferred.make<Session, AuthError>()
      const next = yield* Ref.modify(state, (current) => {
        if (current._tag === "SignedOut" || current._tag === "Active" && !isUsable(current.session, now)) {
          const previous = sessionOf(current)
          const renewing = State.Renewing({ previous, flight })
          return [renewing, renewing]
        }
        return [current, current]
      })
      switch (next._tag) {
        case "Active":
          return next.session
        case "Rejected":
          return yield* failed(new CredentialsRejected({ message: next.message }))
        case "Renewing":
          if (next.flight === flight) yield* start(next.previous, flight)
          return yield* restore(Deferred.await(next.flight))
      }
    })
  )

  const start = (previous: Option.Option<Session>, flight: Flight) =>
    exchange(previous).pipe(
      Effect.onExit((exit) => settle(previous, flight, exit)),
      Effect.forkIn(scope, { startImmediately: true })
    )

  /** One exchange with the authority, and the store written before anybody sees the session. */
  const exchange = (previous: Option.Option<Session>) =>
    store.withLease(Effect.gen(function*() {
      const now = yield* DateTime.now
      const stored = yield* store.read
      const known = Option.match(previous, { onNone: () => 0, onSome: ({ generation }) => generation })
      const latest = stored.generation < known ? previous : stored.session
      if (Option.isSome(latest) && latest.value.generation > known && isUsable(latest.value, now)) return latest.value

      const answer = yield* Option.match(Option.filter(latest, isRefreshable(now)), {
        onNone: () => signIn,
        onSome: (session) => Effect.catchIf(endpoint.refresh(session), isRefusal, () => signIn)
      })
      const session = new Session({ ...answer, generation: Math.max(stored.generation, known) + 1 })
      if (yield* store.commit(session)) return session

      // Somebody signed out meanwhile: this session must not come back.
      yield* Effect.ignore(endpoint.expire(session))
      return yield* failed(new SessionExpired())
    }))

  const signIn = Effect.tapError(endpoint.authorize(credentials), (error) =>
    isRefusal(error) ? Ref.set(state, State.Rejected({ message: error.reason.message })) : Effect.void)

  const settle = (previous: Option.Option<Session>, flight: Flight, exit: Exit.Exit<Session, AuthError>) =>
    Effect.andThen(
      Ref.update(state, (current): State =>
        current._tag === "Renewing" && current.flight === flight
          ? Option.match(Option.orElse(Exit.getSuccess(exit), () => previous), {
            onNone: () => State.SignedOut(),
            onSome: (session) => State.Active({ session })
          })
          : current),
      Deferred.done(flight, exit)
    )

  const signOut = Effect.gen(function*() {
    const before = yield* Ref.getAndUpdate(state, (current): State =>
      current._tag === "Rejected" ? current : State.SignedOut())
    if (before._tag === "Renewing") yield* Deferred.fail(before.flight, new AuthError({ reason: new SessionExpired() }))
    const stored = yield* forget
    return yield* Option.match(Option.orElse(stored, () => sessionOf(before)), {
      onNone: () => Effect.succeed(SignOut.NoSession()),
      onSome: (session) =>
        Effect.match(endpoint.expire(session), {
          onFailure: (error) => SignOut.Forgotten({ error }),
          onSuccess: () => SignOut.Expired()
        })
    })
  }).pipe(Effect.withSpan("TenovosAuth.signOut"))

  /** Clears the store of whatever generation it holds by now. */
  const forget: Effect.Effect<Option.Option<Session>, AuthError> = Effect.gen(function*() {
    const { generation, session } = yield* store.read
    return (yield* store.clear(generation)) ? session : yield* forget
  })

  return TenovosAuth.of({
    session,
    accessToken: Effect.map(session, ({ accessToken }) => accessToken),
    headers: Effect.map(session, ({ accessToken, idToken }) =>
      secretHeaders({
        "x-api-key": Redacted.value(credentials.apiKey),
        accesstoken: Redacted.value(accessToken)
      }, idToken === undefined ? {} : { authorization: Redacted.value(idToken) })),
    signOut
  })
})

const minimumLife = Duration.seconds(30)

const isUsable = (session: Session, now: DateTime.Utc): boolean =>
  Duration.isGreaterThan(
    remaining(session, now),
    Duration.min(minimumLife, Duration.divideUnsafe(DateTime.distance(session.issuedAt, session.expiresAt), 4))
  )

const sessionOf = (state: State): Option.Option<Session> => {
  switch (state._tag) {
    case "Active":
      return Option.some(state.session)
    case "Renewing":
      return state.previous
    case "SignedOut":
    case "Rejected":
      return Option.none()
  }
}

/** A definite no: the authority looked at what was sent, and did not want it. */
const isRefusal = ({ reason }: AuthError): boolean => reason._tag === "BadRequest" || reason._tag === "Unauthorized"

const failed = (reason: AuthError["reason"]) => Effect.fail(new AuthError({ reason }))

/**
 * Keeps the session in memory, or in the store that is given.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = <E = never, R = never>(
  options: Options,
  store: Layer.Layer<SessionStore.SessionStore, E, R> | Layer.Layer<SessionStore.SessionStore> = SessionStore.layerMemory
): Layer.Layer<TenovosAuth, E, HttpClient.HttpClient | R> =>
  Layer.effect(TenovosAuth, make(Credentials.make(options))).pipe(
    Layer.provide(TokenEndpoint.layer(options)),
    Layer.provide(store)
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
