/**
 * The authority itself: who may sign in, which sessions live, and what their tokens say.
 *
 * It knows nothing of HTTP but the refusals, which are the contract's own. Time is the `Clock`'s, so a test clock
 * moves everything. A database that fails is a defect, not a refusal.
 *
 * @since 0.1.0
 */
import * as TenovosApi from "@effect-tenovos/core/TenovosApi"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as SqlClient from "effect/sql/SqlClient"
import { randomUUID } from "node:crypto"
import { Audit } from "./Audit.ts"
import * as accounts from "./internal/accounts.ts"
import { commonMillis, currentMillis } from "./internal/commonClock.ts"
import * as decisions from "./internal/decisions.ts"
import * as installation from "./internal/installation.ts"
import * as jose from "./internal/jose.ts"
import * as renewal from "./internal/renewal.ts"
import * as rows from "./internal/rows.ts"
import { sha256 } from "./internal/sha256.ts"
import * as signIn from "./internal/signIn.ts"
import * as tokens from "./internal/tokens.ts"
import { Keys } from "./Keys.ts"
import { LimitExceeded, Limits } from "./Limits.ts"
import { Passwords } from "./Passwords.ts"

/**
 * A user as the authority knows them: `sub` is their immutable id.
 *
 * @category models
 * @since 0.1.0
 */
export interface User {
  readonly sub: string
  readonly username: string
  readonly email: string | null
}

/**
 * Whether the authority is `strict`, with the oddities of the real service, or `safe`, with the same shapes and those
 * holes closed. Where they differ is listed in `docs/authority-profiles.md`.
 *
 * @category models
 * @since 0.1.0
 */
export type Profile = "safe" | "strict"

/**
 * How the authority answers, and how long what it issues lasts.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options {
  /** Defaults to `safe`. */
  readonly profile?: Profile | undefined
  /**
   * What the answer to a refresh says about the refresh token: it `repeats` the one it was given, `replaces` it by a new
   * one, which is then the only one that is good, or `omits` it. Defaults to `repeats`.
   */
  readonly refreshAnswer?: "repeats" | "replaces" | "omits" | undefined
  /**
   * How long a refresh token that was replaced still gets the one that replaced it, as who has lost the answer needs to.
   * Later, or when it is older, it ends the session. Defaults to 10 seconds.
   */
  readonly rotationGrace?: Duration.Input | undefined
  /** How long an access token and an id token last, in whole seconds. Defaults to 1 hour. */
  readonly accessTokenLife?: Duration.Input | undefined
  /** How long after the sign-in a refresh token can be used. Defaults to 30 days. */
  readonly refreshTokenLife?: Duration.Input | undefined
  /** The AWS region in the tokens' issuer. Defaults to `us-east-1`. */
  readonly region?: string | undefined
}

export { defaultTenant } from "./internal/tenant.ts"

/**
 * Every API key and every user belongs to one tenant, and nothing of one tenant is good in another.
 *
 * @category services
 * @since 0.1.0
 */
export class Authority extends Context.Service<Authority, {
  readonly profile: Profile
  /** Starts a session for a username and a password. The answer lacks `endpointUrl`, which only a server knows. */
  readonly authorize: (credentials: {
    readonly tenant: string
    readonly username: string
    readonly password: Redacted.Redacted
    /** As `Limits` has it. Defaults to "", loopback. */
    readonly address?: string | undefined
  }) => Effect.Effect<TenovosApi.Authentication, TenovosApi.Unauthorized | LimitExceeded>
  /** New id and access tokens for a session. The access token may have expired, but must be of the same session. */
  readonly refresh: (session: {
    readonly tenant: string
    /** If it is given, the session must be this user's. */
    readonly username?: string | undefined
    readonly refreshToken: Redacted.Redacted
    readonly accessToken: Redacted.Redacted
  }) => Effect.Effect<TenovosApi.Authentication, TenovosApi.Unauthorized>
  /**
   * Ends the whole session of a valid access token: its refresh token and all its access tokens stop at once. A `strict`
   * authority ends the access token alone, and the id token that came with it.
   */
  readonly expire: (session: {
    readonly tenant: string
    /** If it is given, the session must be this user's. */
    readonly username?: string | undefined
    readonly accessToken: Redacted.Redacted
  }) => Effect.Effect<void, TenovosApi.Unauthorized>
  /** Whose the two tokens are, if both are valid and of one live session of the tenant. */
  readonly verify: (session: {
    readonly tenant: string
    readonly accessToken: Redacted.Redacted
    readonly idToken: Redacted.Redacted
  }) => Effect.Effect<Option.Option<User>>
  /** The tenant that the API key belongs to. */
  readonly tenantOf: (apiKey: Redacted.Redacted) => Effect.Effect<Option.Option<string>>
  /** Adds an API key, or moves an existing one to this tenant. It is of the tenant `default` if none is named. */
  readonly addApiKey: (
    apiKey: Redacted.Redacted,
    options?: { readonly tenant?: string | undefined }
  ) => Effect.Effect<void>
  /** Adds a user, or gives an existing one this password and email. Two tenants may have users of one name. */
  readonly addUser: (user: {
    /** Defaults to `default`. */
    readonly tenant?: string | undefined
    readonly username: string
    readonly password: Redacted.Redacted
    readonly email?: string | undefined
  }) => Effect.Effect<void>
  /** While a user is disabled, they can't sign in, and what they hold is good for nothing. `false`: no such user. */
  readonly setDisabled: (
    user: { readonly tenant: string; readonly username: string },
    isDisabled: boolean
  ) => Effect.Effect<boolean>
  /** Locks a user out of signing in; sessions that live go on. `false`: no such user. */
  readonly lock: (
    user: { readonly tenant: string; readonly username: string },
    duration: Duration.Input
  ) => Effect.Effect<boolean>
  /** Ends a lock, and forgets failed sign-ins. `false`: no such user. */
  readonly unlock: (user: { readonly tenant: string; readonly username: string }) => Effect.Effect<boolean>
  /** How many users and API keys there are in all tenants. Without one of each nobody can sign in. */
  readonly count: Effect.Effect<{ readonly users: number; readonly apiKeys: number }>
  /**
   * Adds both an API key and a user of the tenant `default`, or nothing when there is one of each already. When the
   * username is taken, the user gets a longer one. Gives the username.
   */
  readonly addFirst: (options: {
    readonly apiKey: Redacted.Redacted
    readonly username: string
    readonly password: Redacted.Redacted
    readonly email?: string | undefined
  }) => Effect.Effect<Option.Option<string>>
}>()("@effect-tenovos/server/Authority") {}

/**
 * The authority in a database, with its keys, limits and password hashes.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(
  function*(
    options?: Options
  ): Effect.fn.Return<Authority["Service"], never, SqlClient.SqlClient | Keys | Audit | Limits | Passwords> {
    const keys = yield* Keys
    const limits = yield* Limits
    const passwords = yield* Passwords
    const audit = yield* Audit
    const sql = yield* SqlClient.SqlClient
    const db = rows.make(sql)
    const { accept, refuse } = decisions.make(audit, sql)
    const refreshTokenLife = Duration.toMillis(options?.refreshTokenLife ?? Duration.days(30))
    const accessTokenLife = Math.max(1, Math.round(Duration.toSeconds(options?.accessTokenLife ?? Duration.hours(1))))
    // An access token of the last moment is valid for its life, and who comes late for a refresh is told why.
    const keptAfterEnd = Math.max(Duration.toMillis("1 day"), accessTokenLife * 1000)
    const { clientId, userPoolId } = yield* installation.make(db, options?.region ?? "us-east-1")
    const issuer = tokens.issuer(userPoolId)
    const profile = options?.profile ?? "safe"
    const { admit, refuseUnknown } = signIn.make({ audit, db, limits, passwords, profile, refuse })
    const refreshAnswer = options?.refreshAnswer ?? "repeats"
    const refreshTokens = renewal.make({
      db,
      accept,
      keys,
      issuer,
      clientId,
      answer: refreshAnswer,
      grace: Duration.toMillis(options?.rotationGrace ?? Duration.seconds(10))
    })

    const issue = Effect.fnUntraced(
      function*(
        session: { readonly id: string; readonly authTime: number },
        user: User,
        now: number,
        refreshToken: string | undefined
      ) {
        // The moment that was decided upon, also when signing takes a while.
        const iat = Math.floor(now / 1000)
        const claims = tokens.claims({
          session,
          user,
          issuer,
          clientId,
          eventId: randomUUID(),
          jti: randomUUID(),
          iat,
          exp: iat + accessTokenLife
        })
        const [idKey, accessKey] = [yield* keys.signing("id"), yield* keys.signing("access")]
        const [authorization, accessToken] = yield* Effect.promise(() =>
          Promise.all([jose.sign(idKey, claims.id), jose.sign(accessKey, claims.access)])
        )
        return {
          clientId,
          userPoolId,
          username: user.username,
          password: Redacted.make(""),
          session: {
            authorization: Redacted.make(authorization),
            ...(refreshToken === undefined ? {} : { refreshToken: Redacted.make(refreshToken) }),
            accessToken: Redacted.make(accessToken),
            expireEpoch: (iat + accessTokenLife) * 1000
          }
        }
      }
    )

    let signedIn = 0

    // `Effect.fn` would take a stack at each call of `authorize`, `refresh`, `expire` and `verify`.
    const authorize: Authority["Service"]["authorize"] = Effect.fnUntraced(
      function*({ address = "", password, tenant, username }) {
        const user = yield* admit({ address, password, tenant, username })

        const now = yield* currentMillis
        const authTime = Math.floor(now / 1000)
        const session = { id: randomUUID(), authTime }
        const expiresAt = authTime * 1000 + refreshTokenLife
        const refreshToken = yield* refreshTokens.mint({
          session,
          sub: user.sub,
          iat: authTime,
          exp: Math.floor(expiresAt / 1000)
        })
        const row = {
          id: session.id,
          tenant,
          user_sub: user.sub,
          client_id: clientId,
          refresh_token_hash: sha256(refreshToken),
          auth_time: authTime,
          expires_at: expiresAt
        }
        const insertion = accept(
          db.insertSession(row),
          (hasBegun) =>
            hasBegun
              ? Option.some({ event: "sign-in", tenant, session: session.id, ...decisions.namesOf(user) })
              : Option.none()
        )
        // Now and then some that have ended go, more than have come since: both at once, so that they share a commit.
        const hasBegun = ++signedIn % pruneEvery === 0
          ? Effect.zipWith(
            insertion,
            db.deleteEndedSessions({ before: (yield* commonMillis) - keptAfterEnd, limit: 4 * pruneEvery }),
            (hasBegun) => hasBegun,
            { concurrent: true }
          )
          : insertion
        if (!(yield* hasBegun)) return yield* refuseUnknown({ tenant, username })
        return yield* issue(session, user, now, refreshToken)
      },
      Effect.withSpan("Authority.authorize")
    )

    const refresh: Authority["Service"]["refresh"] = Effect.fnUntraced(
      function*({ accessToken, refreshToken, tenant, username }) {
        const now = yield* currentMillis
        const token = Redacted.value(refreshToken)
        const hash = sha256(token)
        const refused = (reason: string, session?: string) =>
          refuse(reason, { event: "refresh", reason, tenant, session })
        // Before a signature is verified: whoever makes tokens up is to cost as little as they can.
        if (!(yield* db.isRefreshToken(hash))) return yield* refused("Invalid Refresh Token")
        const claims = yield* tokens.readAccess(keys.recall, issuer, Redacted.value(accessToken))
        const named = Option.getOrUndefined(claims)?.origin_jti
        if (Option.isSome(claims)) {
          if (username !== undefined && username !== claims.value.username) {
            return yield* refused("Invalid Authentication Parameters", named)
          }
          const renewed = yield* refreshTokens.renew({ tenant, id: claims.value.origin_jti, token, hash, now })
          if (Option.isSome(renewed)) {
            const { refreshToken, session } = renewed.value
            const { user } = session
            // Deleted just now, and the session with them.
            if (Option.isNone(user)) return yield* refused("Invalid Refresh Token", named)
            if (user.value.disabled !== 0) return yield* refused("User is disabled.", named)
            const told = refreshAnswer === "omits" ? undefined : refreshToken
            return yield* issue({ id: session.id, authTime: session.auth_time }, user.value, now, told)
          }
        }
        const { reason, session = named } = yield* refreshTokens.refuse({ tenant, hash, now })
        return yield* refused(reason, session)
      },
      Effect.withSpan("Authority.refresh")
    )

    const end = Effect.fnUntraced(
      function*(
        tenant: string,
        token: { readonly origin_jti: string; readonly event_id: string; readonly exp: number },
        now: number
      ) {
        const id = token.origin_jti
        const tell = (hasEnded: boolean) =>
          hasEnded ? Option.some({ event: "expire" as const, tenant, session: id }) : Option.none()
        if (profile === "safe") return yield* accept(db.revokeSession({ tenant, id, now }), tell)
        yield* db.forgetDenied(yield* commonMillis)
        return yield* accept(db.denyPair({ tenant, id, eventId: token.event_id, expiresAt: token.exp * 1000 }), tell)
      }
    )

    const expire: Authority["Service"]["expire"] = Effect.fnUntraced(
      function*({ accessToken, tenant, username }) {
        const now = yield* currentMillis
        const claims = yield* tokens.readAccess(keys.find, issuer, Redacted.value(accessToken))
        const isAnothers = username !== undefined && Option.exists(claims, (claims) => claims.username !== username)
        const hasEnded = Option.isSome(claims) && claims.value.exp * 1000 > now && !isAnothers &&
          (yield* end(tenant, claims.value, now))
        if (!hasEnded) {
          const reason = Option.match(claims, {
            onNone: () => "invalid token",
            onSome: ({ exp }) => exp * 1000 <= now ? "expired token" : isAnothers ? "another user" : "ended session"
          })
          const session = Option.getOrUndefined(claims)?.origin_jti
          return yield* refuse("Failed to Expire Session and Logout 1", { event: "expire", reason, tenant, session })
        }
      },
      Effect.withSpan("Authority.expire")
    )

    const verify: Authority["Service"]["verify"] = Effect.fnUntraced(
      function*({ accessToken, idToken, tenant }) {
        const now = yield* currentMillis
        const access = yield* tokens.readAccess(keys.find, issuer, Redacted.value(accessToken))
        const id = yield* tokens.readId(keys.find, issuer, Redacted.value(idToken))
        if (Option.isNone(access) || Option.isNone(id)) return Option.none()
        const isCurrent = access.value.exp * 1000 > now && id.value.exp * 1000 > now
        const { event_id: eventId, origin_jti } = access.value
        if (!isCurrent || origin_jti !== id.value.origin_jti) return Option.none()
        return yield* db.userOfLiveSession({ tenant, id: origin_jti, eventIds: [eventId, id.value.event_id] })
      },
      Effect.withSpan("Authority.verify")
    )

    return Authority.of({
      profile,
      authorize,
      refresh,
      expire,
      verify,
      ...accounts.make({ db, accept, limits, passwords })
    })
  }
)

const pruneEvery = 16

/**
 * Provides the authority: see {@link make}.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (
  options?: Options
): Layer.Layer<Authority, never, SqlClient.SqlClient | Keys | Audit | Limits | Passwords> =>
  Layer.effect(Authority, make(options))
