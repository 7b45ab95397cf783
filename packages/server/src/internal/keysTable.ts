import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import * as SqlSchema from "effect/sql/SqlSchema"
import { createPublicKey } from "node:crypto"

/** Migration 6: several keys of a kind, each with the time of its use. */
export const migration = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient

  yield* sql`CREATE TABLE rotated_keys (
    kid text PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('id', 'access', 'refresh')),
    generation integer NOT NULL,
    private_key text,
    public_key text NOT NULL,
    created_at bigint NOT NULL,
    use_from bigint NOT NULL,
    retire_at bigint,
    UNIQUE (kind, generation)
  )`
  const before = yield* SqlSchema.findAll({
    Request: Schema.Void,
    Result: Schema.Struct({
      name: Schema.String,
      kid: Schema.String,
      private_key: Schema.String,
      created_at: Schema.Int
    }),
    execute: () => sql`SELECT name, kid, private_key, created_at FROM keys`
  })(undefined)
  for (const { created_at, kid, name, private_key } of before) {
    yield* sql`INSERT INTO rotated_keys ${
      sql.insert({
        kid,
        kind: name,
        generation: 1,
        private_key,
        public_key: createPublicKey(private_key).export({ type: "spki", format: "pem" }),
        created_at,
        use_from: created_at
      })
    }`
  }
  yield* sql`DROP TABLE keys`
  yield* sql`ALTER TABLE rotated_keys RENAME TO keys`
})
