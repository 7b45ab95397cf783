/**
 * What an authority starts with: API keys and users, from a file or made up once.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { randomBytes } from "node:crypto"
import { Authority, defaultTenant } from "./Authority.ts"
import { maxPassword, maxUsername } from "./internal/limits.ts"

/**
 * A user of a seed. The password has up to 256 bytes.
 *
 * @category schemas
 * @since 0.1.0
 */
export const User = Schema.Struct({
  username: Schema.NonEmptyString.check(Schema.isMaxLength(maxUsername)),
  password: Schema.RedactedFromValue(
    Schema.NonEmptyString.check(
      Schema.makeFilter((password) => Buffer.byteLength(password) <= maxPassword || "Expected at most 256 bytes")
    ),
    { label: "password" }
  ),
  email: Schema.optionalKey(Schema.NonEmptyString)
})

const ApiKey = Schema.RedactedFromValue(
  Schema.NonEmptyString.check(
    Schema.makeFilter((apiKey) =>
      /^[!-~](?:[ -~]*[!-~])?$/.test(apiKey) ||
      "Expected what a header can carry: printable ASCII, no blank at its ends"
    )
  ),
  { label: "apiKey" }
)

/**
 * What one tenant starts with.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Tenant = Schema.Struct({
  apiKeys: Schema.Array(ApiKey).pipe(Schema.withDecodingDefaultKey(Effect.succeed([]))),
  users: Schema.Array(User).pipe(Schema.withDecodingDefaultKey(Effect.succeed([])))
})

/**
 * The form of a seed file, in JSON: `{ "apiKeys": ["…"], "users": [{ "username", "password", "email"? }] }`, and, for
 * others than the tenant `default`, `"tenants": { "NAME": { "apiKeys", "users" } }`.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Seed = Schema.Struct({
  ...Tenant.fields,
  tenants: Schema.optionalKey(Schema.Record(Schema.NonEmptyString, Tenant))
})
/**
 * @category models
 * @since 0.1.0
 */
export type Seed = typeof Seed.Type

/**
 * Adds what isn't there yet, and gives existing users the password and email of the seed. Applied twice it changes
 * nothing more.
 *
 * @category constructors
 * @since 0.1.0
 */
export const apply = Effect.fn("Seed.apply")(function*(seed: Seed): Effect.fn.Return<void, never, Authority> {
  const authority = yield* Authority
  for (const [tenant, { apiKeys, users }] of [[defaultTenant, seed] as const, ...Object.entries(seed.tenants ?? {})]) {
    yield* Effect.forEach(apiKeys, (apiKey) => authority.addApiKey(apiKey, { tenant }), { discard: true })
    yield* Effect.forEach(users, (user) => authority.addUser({ ...user, tenant }), { discard: true })
  }
})

/**
 * One user and one API key, made for an authority that lacks users or API keys, so that nobody could sign in; nothing
 * for any other. Print them: they are kept only as hashes.
 *
 * @category constructors
 * @since 0.1.0
 */
export const firstStart: Effect.Effect<
  Option.Option<
    { readonly apiKey: Redacted.Redacted; readonly username: string; readonly password: Redacted.Redacted }
  >,
  never,
  Authority
> = Effect.gen(function*() {
  const authority = yield* Authority
  const { apiKeys, users } = yield* authority.count
  if (apiKeys > 0 && users > 0) return Option.none()
  const made = {
    apiKey: Redacted.make(randomBytes(30).toString("base64url"), { label: "apiKey" }),
    password: Redacted.make(randomBytes(18).toString("base64url"), { label: "password" })
  }
  const username = yield* authority.addFirst({ ...made, username: "demo", email: "demo@example.com" })
  return Option.map(username, (username) => ({ ...made, username }))
}).pipe(Effect.withSpan("Seed.firstStart"))
