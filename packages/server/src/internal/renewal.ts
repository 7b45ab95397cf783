import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from "node:crypto"
import type { Keys } from "../Keys.ts"
import * as decisions from "./decisions.ts"
import * as jose from "./jose.ts"
import type * as rows from "./rows.ts"
import { sha256 } from "./sha256.ts"
import * as tokens from "./tokens.ts"

// How refresh tokens are made, found, replaced and refused. They are kept as hashes. What a token is good for is decided
// by one guarded UPDATE each; what is read before it only spares work.

/** A refresh token that somebody shows, together with the session that their access token names. */
interface Shown {
  readonly tenant: string
  readonly id: string
  readonly token: string
  /** Of the token. */
  readonly hash: string
  readonly now: number
}

export const make = (options: {
  readonly db: rows.Rows
  readonly accept: ReturnType<typeof decisions.make>["accept"]
  readonly keys: Keys["Service"]
  readonly issuer: string
  readonly clientId: string
  readonly answer: "repeats" | "replaces" | "omits"
  /** In milliseconds. */
  readonly grace: number
}) => {
  const { accept, answer, clientId, db, grace, issuer, keys } = options

  // Cognito's refresh token is a JWT inside the JWE, hence its header. A token is found by its hash and never opened, so
  // a signature inside would vouch for nothing.
  const mint = (session: Omit<Parameters<typeof tokens.refreshClaims>[0], "issuer" | "clientId">) =>
    Effect.flatMap(
      keys.signing("refresh"),
      ({ publicKey }) => jose.encrypt(publicKey, jose.unsecured(tokens.refreshClaims({ ...session, issuer, clientId })))
    )

  /** Carries out the statement that decides, and adds whose the session is. */
  const acceptRefresh = <A extends { readonly id: string; readonly user_sub: string }>(
    tenant: string,
    statement: Effect.Effect<Option.Option<A>>
  ) =>
    accept(
      Effect.flatMap(statement, (found) =>
        Effect.transposeOption(Option.map(found, (session) =>
          Effect.map(db.userBySub(session.user_sub), (user) => ({ ...session, user }))))),
      // Who is gone or disabled by now is refused by the caller.
      Option.flatMap(({ id, user }) =>
        Option.map(
          Option.filter(user, ({ disabled }) =>
            disabled === 0),
          (user) => ({ event: "refresh", tenant, session: id, ...decisions.namesOf(user) })
        )
      )
    )

  const rotate = Effect.fnUntraced(function*(shown: Shown, where: Parameters<typeof db.touchSession>[0]) {
    const found = yield* db.sessionToRotate(where)
    if (Option.isNone(found)) return Option.none()
    const child = yield* mint({
      session: { id: shown.id, authTime: found.value.auth_time },
      sub: found.value.user_sub,
      iat: Math.floor(shown.now / 1000),
      exp: Math.floor(found.value.expires_at / 1000)
    })
    // Both or neither, so that neither a crash nor a restore lets a replaced token be forgotten.
    const rotation = Effect.tap(
      db.rotateSession({ ...where, child: sha256(child), sealed: seal(shown.token, child) }),
      (session) => Option.isSome(session) ? db.retireToken({ hash: where.hash, session_id: shown.id }) : Effect.void
    )
    const session = yield* acceptRefresh(shown.tenant, rotation)
    return Option.map(session, (session) => ({ session, refreshToken: child }))
  })

  /** The session, and the refresh token that is good from now on. */
  const renew = Effect.fnUntraced(function*(shown: Shown) {
    const { hash, id, now, tenant } = shown
    const where = { tenant, id, hash, now }
    const renewed = answer === "replaces"
      ? yield* rotate(shown, where)
      : Option.map(
        yield* acceptRefresh(tenant, db.touchSession(where)),
        (session) => ({ session, refreshToken: shown.token })
      )
    if (Option.isSome(renewed)) return renewed
    const repeated = yield* acceptRefresh(tenant, db.repeatRotation({ ...where, since: now - grace }))
    return Option.map(repeated, (session) => ({ session, refreshToken: unseal(shown.token, session.child_token) }))
  })

  /** Why a token is refused, and whose it was. One that was replaced long ago is in two hands, and ends its session. */
  const refuse = Effect.fnUntraced(function*({ hash, now, tenant }: Pick<Shown, "tenant" | "hash" | "now">) {
    const where = { tenant, hash }
    const found = yield* db.sessionByRefreshToken(where)
    if (Option.isSome(found)) {
      const { expires_at, revoked_at } = found.value
      if (revoked_at !== null) return { reason: "Refresh Token has been revoked" }
      return { reason: expires_at <= now ? "Refresh Token has expired" : "Invalid Access Token" }
    }
    const retired = yield* db.sessionOfRetiredToken(where)
    if (Option.isNone(retired)) return { reason: "Invalid Refresh Token" }
    const { id: session, revoked_at } = retired.value
    const hasEnded = revoked_at !== null || (yield* accept(
      db.revokeReused({ ...where, id: session, now, since: now - grace }),
      (isReused) =>
        isReused ? Option.some({ event: "expire", reason: "reused refresh token", tenant, session }) : Option.none()
    ))
    return { reason: hasEnded ? "Refresh Token has been revoked" : "Invalid Access Token", session }
  })

  return { mint, renew, refuse }
}

// A retry gets the same child back, and the database doesn't know it in the clear: who can open it has the parent.

const seal = (parent: string, child: string): string => {
  const nonce = randomBytes(12)
  const cipher = createCipheriv("aes-256-gcm", sealingKey(parent), nonce)
  const ciphertext = Buffer.concat([cipher.update(child, "utf8"), cipher.final()])
  return [nonce, ciphertext, cipher.getAuthTag()].map((part) => part.toString("base64url")).join(".")
}

const unseal = (parent: string, sealed: string): string => {
  const [nonce = "", ciphertext = "", tag = ""] = sealed.split(".")
  const decipher = createDecipheriv("aes-256-gcm", sealingKey(parent), Buffer.from(nonce, "base64url"), {
    authTagLength: 16
  }).setAuthTag(Buffer.from(tag, "base64url"))
  return decipher.update(ciphertext, "base64url", "utf8") + decipher.final("utf8")
}

/** A token is long and random, so it needs no salt. */
const sealingKey = (parent: string): Uint8Array =>
  new Uint8Array(hkdfSync("sha256", parent, "", "effect-tenovos/child-of-refresh-token", 32))
