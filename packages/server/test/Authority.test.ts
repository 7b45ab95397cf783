import { Audit, Authority, Keys, Limits, Migrations, Passwords, Seed, Sqlite } from "@effect-tenovos/server"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { SqlClient } from "effect/sql/SqlClient"
import { TestClock } from "effect/testing"
import * as jose from "jose"
import * as fixtures from "./fixtures/authority.ts"
import { cheap } from "./fixtures/hashes.ts"

const { refresh, sample, signIn, token, verify } = fixtures

describe("tokens", () => {
  it.effect("signs an id token with Cognito's claims, and jose accepts it through the JWKS", () =>
    Effect.gen(function*() {
      const body = yield* signIn

      const { payload, protectedHeader } = yield* verify(body.session.authorization)

      assert.deepStrictEqual(Object.keys(protectedHeader), ["kid", "alg"])
      assert.match(protectedHeader.kid ?? "", /^[A-Za-z0-9+/]{43}=$/)
      assert.deepStrictEqual(Object.keys(payload), [
        "sub",
        "aud",
        "email_verified",
        "event_id",
        "token_use",
        "auth_time",
        "iss",
        "cognito:username",
        "exp",
        "iat",
        "email",
        "origin_jti"
      ])
      assert.match(payload.sub ?? "", /^[0-9a-f-]{36}$/)
      assert.strictEqual(payload.aud, body.clientId)
      assert.strictEqual(payload["email_verified"], true)
      assert.strictEqual(payload["token_use"], "id")
      assert.strictEqual(payload["auth_time"], 0)
      assert.strictEqual(payload.iss, `https://cognito-idp.us-east-1.amazonaws.com/${body.userPoolId}`)
      assert.strictEqual(payload["cognito:username"], fixtures.username)
      assert.strictEqual(payload["email"], fixtures.email)
      assert.strictEqual(payload.iat, 0)
      assert.strictEqual(payload.exp, 3600)
    }).pipe(Effect.provide(fixtures.layer())))

  it.effect("signs an access token with Cognito's claims and the other key", () =>
    Effect.gen(function*() {
      const body = yield* signIn

      const id = yield* verify(body.session.authorization)
      const { payload, protectedHeader } = yield* verify(body.session.accessToken)

      assert.notStrictEqual(protectedHeader.kid, id.protectedHeader.kid)
      assert.deepStrictEqual(Object.keys(payload), [
        "sub",
        "event_id",
        "token_use",
        "scope",
        "auth_time",
        "iss",
        "exp",
        "iat",
        "jti",
        "client_id",
        "username",
        "origin_jti"
      ])
      assert.strictEqual(payload.sub, id.payload.sub)
      assert.strictEqual(payload["event_id"], id.payload["event_id"])
      assert.strictEqual(payload["origin_jti"], id.payload["origin_jti"])
      assert.strictEqual(payload["token_use"], "access")
      assert.strictEqual(payload["scope"], "aws.cognito.signin.user.admin")
      assert.strictEqual(payload["client_id"], body.clientId)
      assert.strictEqual(payload["username"], fixtures.username)
      assert.strictEqual((payload.exp ?? 0) - (payload.iat ?? 0), 3600)
      assert.strictEqual(body.session.expireEpoch, (payload.exp ?? 0) * 1000)
    }).pipe(Effect.provide(fixtures.layer())))

  it.effect("encrypts the refresh token so that jose opens it, and finds a JWT in it", () =>
    Effect.gen(function*() {
      const { session } = yield* signIn

      const opened = yield* Effect.promise(() =>
        jose.compactDecrypt(session.refreshToken, fixtures.keys.refresh.privateKey)
      )
      const { payload } = jose.UnsecuredJWT.decode(new TextDecoder().decode(opened.plaintext), {
        currentDate: new Date(0)
      })

      assert.strictEqual(session.refreshToken.split(".").length, 5)
      assert.strictEqual(
        Buffer.from(session.refreshToken.split(".")[0] ?? "", "base64url").toString(),
        `{"cty":"JWT","enc":"A256GCM","alg":"RSA-OAEP"}`
      )
      assert.strictEqual(payload["token_use"], "refresh")
      assert.strictEqual(payload.exp, 30 * 24 * 3600)
    }).pipe(Effect.provide(fixtures.layer())))

  it.effect("leaves the email out for a user who has none", () =>
    Effect.gen(function*() {
      const { body } = yield* token({ username: "bob", password: "hunter2" })
      const { session } = yield* Schema.decodeUnknownEffect(fixtures.Issued)(body)

      const { payload } = yield* verify(session.authorization)

      assert.isFalse("email" in payload)
      assert.strictEqual(payload["email_verified"], false)
    }).pipe(Effect.provide(fixtures.layer())))
})

describe("the life of tokens", () => {
  it.effect("ends an access token after an hour, and a refresh brings a new one", () =>
    Effect.gen(function*() {
      const first = yield* signIn
      yield* TestClock.adjust("3599 seconds")
      const before = yield* sample(first)
      yield* TestClock.adjust("1 second")

      const after = yield* sample(first)
      const renewed = yield* sample(yield* refresh(first))

      assert.strictEqual(before.status, 200)
      assert.deepStrictEqual([after.status, after.body], [401, { message: "Unauthorized" }])
      assert.strictEqual(renewed.status, 200)
    }).pipe(Effect.provide(fixtures.layer())))

  it.effect("ends a refresh token thirty days after the sign-in, however often it was used", () =>
    Effect.gen(function*() {
      const first = yield* signIn
      yield* TestClock.adjust("20 days")
      const second = yield* refresh(first)
      yield* TestClock.adjust("863999 seconds")
      const last = yield* token(second)
      yield* TestClock.adjust("1 second")

      const late = yield* token(second)

      assert.strictEqual(last.status, 200)
      assert.strictEqual(late.status, 401)
      assert.deepStrictEqual(late.body, { status: "error", message: "Refresh Token has expired" })
    }).pipe(Effect.provide(fixtures.layer())))

  it.effect("takes other lives from the options", () =>
    Effect.gen(function*() {
      const first = yield* signIn
      const { payload } = yield* verify(first.session.accessToken)
      yield* TestClock.adjust("1 minute")

      const late = yield* token(first)

      assert.strictEqual(payload.exp, 3)
      assert.deepStrictEqual(late.body, { status: "error", message: "Refresh Token has expired" })
    }).pipe(Effect.provide(fixtures.layer({ accessTokenLife: "3 seconds", refreshTokenLife: "1 minute" }))))
})

describe("tokens of rotated keys", () => {
  const rotate = Keys.Keys.use((keys) => keys.rotate({ immediately: true }))

  it.effect("are accepted until they end, and jose finds the key of each in the JWKS", () =>
    Effect.gen(function*() {
      const before = yield* signIn
      yield* TestClock.adjust("59 minutes")
      const last = yield* signIn
      yield* rotate
      const after = yield* refresh(last)

      const kids = yield* Effect.forEach(
        [last.session.accessToken, last.session.authorization, after.session.accessToken, after.session.authorization],
        (jwt) => Effect.map(verify(jwt), ({ protectedHeader }) => protectedHeader.kid)
      )
      assert.strictEqual(new Set(kids).size, 4)
      assert.deepStrictEqual(yield* Effect.forEach([before, last, after], statusOf), [200, 200, 200])
      yield* TestClock.adjust("59 minutes")
      assert.deepStrictEqual(yield* Effect.forEach([before, last, after], statusOf), [401, 200, 200])
      assert.strictEqual((yield* fixtures.expire(last)).status, 200)
      yield* TestClock.adjust("1 minute")
      assert.notIncludeMembers((yield* fixtures.jwks).keys.map(({ kid }) => kid), kids.slice(0, 2))
    }).pipe(Effect.provide(fixtures.layer())))

  it.effect("still renew a session whose last access token is long past, and whose key has retired", () =>
    Effect.gen(function*() {
      const first = yield* signIn
      yield* rotate
      yield* TestClock.adjust("15 days")
      yield* rotate
      yield* TestClock.adjust("14 days")

      const renewed = yield* refresh(first)

      assert.strictEqual(yield* statusOf(renewed), 200)
      assert.strictEqual(renewed.session.refreshToken, first.session.refreshToken)
      const encrypted = yield* signIn
      const { publicKey } = fixtures.keys.refresh
      const current = yield* Keys.Keys.use((keys) => keys.signing("refresh"))
      assert.isFalse(current.publicKey.equals(publicKey))
      yield* Effect.promise(() => jose.compactDecrypt(encrypted.session.refreshToken, current.privateKey))
    }).pipe(Effect.provide(fixtures.layer())))

  const statusOf = (answer: fixtures.Issued) => Effect.map(sample(answer), ({ status }) => status)
})

describe("Authority", () => {
  const Live = Layer.effectDiscard(Seed.apply(fixtures.seed)).pipe(
    Layer.provideMerge(fixtures.layerAuthority())
  )
  const { tenant } = fixtures
  const credentials = { tenant, username: fixtures.username, password: Redacted.make(fixtures.password) }

  const signIn = Effect.gen(function*() {
    const authority = yield* Authority.Authority
    const { session } = yield* authority.authorize(credentials)
    const { accessToken, authorization, refreshToken } = session
    if (authorization === undefined || refreshToken === undefined) return yield* Effect.die("incomplete")
    return { tenant, accessToken, refreshToken, idToken: authorization }
  })

  const messageOf = Effect.match({
    onFailure: ({ message }: { readonly message: string }) => message,
    onSuccess: () => "ok"
  })

  it.effect("keeps only hashes of API keys, passwords and refresh tokens, and no access token", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient
      yield* signIn

      const apiKeys = yield* sql`SELECT * FROM api_keys`
      const users = yield* sql`SELECT * FROM users WHERE username = ${fixtures.username}`
      const sessions = yield* sql`SELECT * FROM sessions`

      assert.deepStrictEqual(apiKeys.map(({ hash }) => hash), [
        "233c94e8e48dd1c67553a8d27d3326d4611dec1c68d56cdbf38ca51556afc9b2"
      ])
      assert.match(String(users[0]?.["password_hash"]), /^\$argon2id\$v=19\$m=19456,t=2,p=1\$/)
      assert.match(String(sessions[0]?.["refresh_token_hash"]), /^[0-9a-f]{64}$/)
      assert.deepStrictEqual(Object.keys(sessions[0] ?? {}), [
        "id",
        "tenant",
        "user_sub",
        "client_id",
        "refresh_token_hash",
        "auth_time",
        "expires_at",
        "refreshed_at",
        "revoked_at",
        "parent_token_hash",
        "child_token",
        "rotated_at"
      ])
    }).pipe(Effect.provide(Live)))

  it.effect("verifies one hash for whoever may exist, and none for what is too long to be true", () =>
    Effect.gen(function*() {
      const real = yield* Passwords.make()
      let verifications = 0
      const counted = Passwords.Passwords.of({
        ...real,
        tryVerify: (hash, password) => {
          verifications++
          return real.tryVerify(hash, password)
        }
      })
      const counts = yield* Effect.gen(function*() {
        yield* Seed.apply(fixtures.seed)
        const authority = yield* Authority.Authority
        const count = Effect.fnUntraced(function*(username: string, password: string) {
          verifications = 0
          yield* Effect.exit(authority.authorize({ tenant, username, password: Redacted.make(password) }))
          return verifications
        })
        return [
          yield* count(fixtures.username, "wrong"),
          yield* count("nobody", "wrong"),
          yield* count("x".repeat(128), "x".repeat(256)),
          yield* count("x".repeat(129), "wrong"),
          yield* count(fixtures.username, "x".repeat(257)),
          yield* count(fixtures.username, "é".repeat(129)),
          yield* count(fixtures.username, "")
        ]
      }).pipe(Effect.provide(
        Authority.layer().pipe(
          Layer.provide(Layer.succeed(Passwords.Passwords, counted)),
          Layer.provide(Limits.layer()),
          Layer.provide(Keys.layer({ keys: fixtures.keys })),
          Layer.provide(Audit.layer()),
          Layer.provide(Migrations.layer),
          Layer.provide(Sqlite.layer({ filename: ":memory:" }))
        )
      ))

      assert.deepStrictEqual(counts, [1, 1, 1, 0, 0, 0, 1])
    }))

  it.effect("stores nothing for a refused request", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient
      const authority = yield* Authority.Authority
      const session = yield* signIn
      const other = yield* signIn
      yield* authority.expire(other)
      const before = yield* sql`SELECT * FROM sessions ORDER BY id`
      yield* TestClock.adjust("1 minute")

      assert.isTrue(
        Exit.isFailure(yield* Effect.exit(authority.authorize({ ...credentials, password: Redacted.make("wrong") })))
      )
      assert.isTrue(
        Exit.isFailure(yield* Effect.exit(authority.refresh({ ...session, accessToken: other.accessToken })))
      )
      assert.isTrue(Exit.isFailure(yield* Effect.exit(authority.refresh(other))))
      assert.isTrue(Exit.isFailure(yield* Effect.exit(authority.expire(other))))

      assert.deepStrictEqual(yield* sql`SELECT * FROM sessions ORDER BY id`, before)
    }).pipe(Effect.provide(Live)))

  it.effect("forgets sessions whose refresh token ended a day ago, before they pile up", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient
      const authority = yield* Authority.Authority
      const signIns = Effect.replicateEffect(authority.authorize(credentials), 20, { discard: true })
      const stored = Effect.map(sql`SELECT id FROM sessions`, (rows) => rows.length)
      yield* signIns
      yield* TestClock.adjust("30 days")
      yield* signIns
      const before = yield* stored

      yield* TestClock.adjust("25 hours")
      yield* signIns

      assert.deepStrictEqual([before, yield* stored], [40, 40])
    }).pipe(
      Effect.provide(
        Layer.provideMerge(
          Layer.effectDiscard(Seed.apply(fixtures.seed)),
          fixtures.layerAuthority({ passwords: cheap })
        )
      )
    ))

  it.effect("refuses a user who is deleted after their password was looked at", () => {
    let remove: Effect.Effect<void> = Effect.void
    const passwords = {
      ...cheap,
      tryVerify: (...args: Parameters<typeof cheap.tryVerify>) => Effect.tap(cheap.tryVerify(...args), () => remove)
    }
    return Effect.gen(function*() {
      const sql = yield* SqlClient
      const authority = yield* Authority.Authority
      const audit = yield* Audit.Audit
      remove = Effect.orDie(Effect.asVoid(sql`DELETE FROM users WHERE username = ${credentials.username}`))

      const answer = yield* messageOf(authority.authorize(credentials))
      const [row] = yield* audit.recent()

      assert.strictEqual(answer, "Invalid Authentication Parameters")
      assert.deepInclude(row, { event: "sign-in", outcome: "refused", reason: "unknown user" })
    }).pipe(
      Effect.provide(
        Layer.provideMerge(Layer.effectDiscard(Seed.apply(fixtures.seed)), fixtures.layerAuthority({ passwords }))
      )
    )
  })

  it.effect("never refreshes a session after it was ended, whatever else is under way", () =>
    Effect.gen(function*() {
      const authority = yield* Authority.Authority
      const session = yield* signIn
      let ended = false
      const expire = authority.expire(session).pipe(Effect.tap(() => Effect.sync(() => ended = true)))
      const refresh = Effect.suspend(() => {
        const late = ended
        return Effect.map(messageOf(authority.refresh(session)), (message) => ({ late, message }))
      })

      const [answers] = yield* Effect.all([
        Effect.replicateEffect(Effect.andThen(Effect.yieldNow, refresh), 20, { concurrency: 4 }),
        Effect.andThen(Effect.yieldNow, expire)
      ], { concurrency: "unbounded" })

      assert.isTrue(answers.some(({ late }) => late))
      for (const { late, message } of answers) {
        assert.include(late ? ["Refresh Token has been revoked"] : ["ok", "Refresh Token has been revoked"], message)
      }
    }).pipe(Effect.provide(Live)))

  it.effect("lets one of many concurrent callers end a session", () =>
    Effect.gen(function*() {
      const authority = yield* Authority.Authority
      const session = yield* signIn

      const answers = yield* Effect.replicateEffect(messageOf(authority.expire(session)), 10, {
        concurrency: "unbounded"
      })

      assert.strictEqual(answers.filter((answer) => answer === "ok").length, 1)
    }).pipe(Effect.provide(Live)))

  it.effect("tells whose two tokens are, and nothing of tokens that another authority signed", () =>
    Effect.gen(function*() {
      const authority = yield* Authority.Authority
      const session = yield* signIn
      const foreign = yield* Effect.provide(signIn, Layer.fresh(Live))

      const ours = yield* authority.verify(session)
      const theirs = yield* authority.verify(foreign)

      assert.strictEqual(Option.getOrThrow(ours).username, fixtures.username)
      assert.isTrue(Option.isNone(theirs))
    }).pipe(Effect.provide(Live)))

  it.effect("knows a token only as it was written", () =>
    Effect.gen(function*() {
      const authority = yield* Authority.Authority
      const session = yield* signIn
      const [header = "", claims = "", signature = ""] = Redacted.value(session.accessToken).split(".")

      for (
        const token of [
          `${header}.${claims}.${signature}=`,
          `${header}.${claims}.${signature}~junk`,
          `${header}.${claims}.${signature}\n`,
          `${header}.${claims}. ${signature}`,
          `${header}.${claims}=.${signature}`,
          `${header}=.${claims}.${signature}`,
          `${header}.${claims}.`
        ]
      ) {
        const user = yield* authority.verify({ ...session, accessToken: Redacted.make(token) })
        assert.isTrue(Option.isNone(user), JSON.stringify(token))
      }
      assert.isTrue(Option.isSome(yield* authority.verify(session)))
    }).pipe(Effect.provide(Live)))

  it.effect("takes the region into the issuer and the user pool, and keeps both", () =>
    Effect.gen(function*() {
      const authority = yield* Authority.Authority
      yield* Seed.apply(fixtures.seed)

      const { session, userPoolId } = yield* authority.authorize(credentials)

      assert.match(userPoolId ?? "", /^eu-central-1_[A-Za-z0-9]{9}$/)
      assert.strictEqual(
        jose.decodeJwt(Redacted.value(session.accessToken)).iss,
        `https://cognito-idp.eu-central-1.amazonaws.com/${userPoolId}`
      )
    }).pipe(Effect.provide(fixtures.layerAuthority({ region: "eu-central-1" }))))
})
