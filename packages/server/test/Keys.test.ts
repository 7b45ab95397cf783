import { Keys, Migrations, Sqlite } from "@effect-tenovos/server"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { SqlClient } from "effect/sql/SqlClient"
import { inspect } from "node:util"

const memory = Migrations.layer.pipe(Layer.provideMerge(Sqlite.layer({ filename: ":memory:" })))

const thumbprints = (keys: Keys.Keys["Service"]) =>
  [keys.id, keys.access, keys.refresh].map(({ kid, publicKey }) => `${kid} ${publicKey.export({ format: "jwk" }).n}`)

describe("Keys", () => {
  it.effect("makes three pairs of RSA-2048, and reads the same ones afterwards", () =>
    Effect.gen(function*() {
      const first = yield* Keys.make
      const second = yield* Keys.make

      assert.strictEqual(new Set(thumbprints(first)).size, 3)
      assert.deepStrictEqual(thumbprints(second), thumbprints(first))
      for (const { kid, publicKey } of [first.id, first.access, first.refresh]) {
        assert.match(kid, /^[A-Za-z0-9+/]{43}=$/)
        assert.strictEqual(publicKey.asymmetricKeyDetails?.modulusLength, 2048)
      }
    }).pipe(Effect.provide(memory)))

  it.effect("gives two that start at once on a new database the same keys", () =>
    Effect.gen(function*() {
      const [first, second] = yield* Effect.all([Keys.make, Keys.make], { concurrency: 2 })

      assert.deepStrictEqual(thumbprints(second), thumbprints(first))
    }).pipe(Effect.provide(memory)))

  it.effect("shows no private key when it is printed", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient
      const keys = yield* Keys.make
      const stored = yield* sql`SELECT private_key FROM keys`

      const printed = inspect(keys, { depth: 9, showHidden: true }) + JSON.stringify(keys)

      assert.isTrue(stored.every((row) => String(row["private_key"]).includes("PRIVATE KEY")))
      assert.notInclude(printed, "PRIVATE KEY")
      assert.notMatch(printed, /"[dpq]":/)
    }).pipe(Effect.provide(memory)))
})
