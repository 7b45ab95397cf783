/**
 * The three key pairs of an authority: one signs id tokens, one access tokens, and one encrypts refresh tokens.
 *
 * They are made at first start and kept in the database: never in the repository, never in the environment.
 *
 * @since 0.1.0
 */
import * as Arr from "effect/Array"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import * as SqlSchema from "effect/sql/SqlSchema"
import { createPrivateKey, createPublicKey, generateKeyPair, type KeyObject, randomBytes } from "node:crypto"

/**
 * @category models
 * @since 0.1.0
 */
export interface KeyPair {
  /** Names the key in a token's header: 32 random bytes in base64, as Cognito has it. */
  readonly kid: string
  readonly privateKey: KeyObject
  readonly publicKey: KeyObject
}

/**
 * @category services
 * @since 0.1.0
 */
export class Keys extends Context.Service<Keys, {
  readonly id: KeyPair
  readonly access: KeyPair
  readonly refresh: KeyPair
}>()("@effect-tenovos/server/Keys") {}

/**
 * Makes three new RSA-2048 pairs. This takes some tenths of a second.
 *
 * @category constructors
 * @since 0.1.0
 */
export const generate: Effect.Effect<Keys["Service"]> = Effect.suspend(() =>
  Effect.all({ id: generatePair, access: generatePair, refresh: generatePair }, { concurrency: "unbounded" })
)

const generatePair: Effect.Effect<KeyPair> = Effect.callback((resume) => {
  generateKeyPair("rsa", { modulusLength: 2048 }, (error, publicKey, privateKey) => {
    resume(
      error === null
        ? Effect.succeed({ kid: randomBytes(32).toString("base64"), privateKey, publicKey })
        : Effect.die(error)
    )
  })
})

/**
 * Reads the pairs of this database, and makes them first when it has none.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make: Effect.Effect<Keys["Service"], SqlError, SqlClient.SqlClient> = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  const find = SqlSchema.findAll({
    Request: Schema.Void,
    Result: Schema.Struct({ name: Schema.Literals(names), kid: Schema.String, private_key: Schema.String }),
    execute: () => sql`SELECT name, kid, private_key FROM keys`
  })

  if ((yield* find(undefined)).length === 0) {
    const pairs = yield* generate
    const now = yield* Clock.currentTimeMillis
    // Of two processes that start at once on a new database, the first one's keys stay.
    yield* sql`INSERT INTO keys ${
      sql.insert(Arr.map(names, (name) => ({
        name,
        kid: pairs[name].kid,
        private_key: pairs[name].privateKey.export({ type: "pkcs8", format: "pem" }),
        created_at: now
      })))
    } ON CONFLICT DO NOTHING`
  }

  const rows = yield* find(undefined)
  const pair = Effect.fnUntraced(function*(name: typeof names[number]) {
    const row = rows.find((row) => row.name === name)
    if (row === undefined) return yield* Effect.die(new Error(`The database has lost its ${name} key`))
    const privateKey = createPrivateKey(row.private_key)
    return { kid: row.kid, privateKey, publicKey: createPublicKey(privateKey) }
  })
  return Keys.of({ id: yield* pair("id"), access: yield* pair("access"), refresh: yield* pair("refresh") })
}).pipe(
  // Only this module writes the table.
  Effect.catchTag("SchemaError", Effect.die)
)

const names = ["id", "access", "refresh"] as const

/**
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<Keys, SqlError, SqlClient.SqlClient> = Layer.effect(Keys, make)

/**
 * What anyone needs to check the signatures: the public halves of the two signing keys, as a JSON Web Key Set.
 *
 * @category getters
 * @since 0.1.0
 */
export const toJwks = (keys: Keys["Service"]) => ({
  keys: [keys.id, keys.access].map(({ kid, publicKey }) => {
    const { e, kty, n } = publicKey.export({ format: "jwk" })
    return { alg: "RS256", e, kid, kty, n, use: "sig" }
  })
})
