import { AuthorityServer, Database, Keys, MasterKey } from "@effect-tenovos/server"
import { assert, describe, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { SqlClient } from "effect/sql/SqlClient"
import * as fc from "fast-check"
import * as jose from "jose"
import { randomBytes } from "node:crypto"
import { readdirSync, readFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { inspect } from "node:util"
import * as fixtures from "./fixtures/authority.ts"
import { kind, shared } from "./support/databases.ts"

const bytes = Buffer.from("canary-master-key-of-32-bytes-!!")
const text = bytes.toString("base64")
const given = (masterKey: string, previousMasterKey?: string) => ({
  masterKey: Redacted.make(masterKey),
  ...(previousMasterKey === undefined ? {} : { previousMasterKey: Redacted.make(previousMasterKey) })
})

describe("MasterKey", () => {
  it.effect("takes 32 bytes in base64 or hex, and nothing else", () =>
    Effect.gen(function*() {
      const key = yield* MasterKey.make(Redacted.make(text))
      const binary = randomBytes(32)

      for (const same of [bytes.toString("base64url"), bytes.toString("hex"), bytes.toString("hex").toUpperCase()]) {
        assert.strictEqual((yield* MasterKey.make(Redacted.make(` ${same}\n`))).id, key.id)
      }
      assert.notStrictEqual((yield* MasterKey.make(Redacted.make(binary.toString("base64")))).id, key.id)
      for (
        const wrong of [
          "",
          " ",
          "secret",
          `${text}=`,
          `${text}A`,
          text.slice(4),
          `${text.slice(0, 20)} ${text.slice(20)}`,
          binary.toString("hex").slice(2),
          `${binary.toString("hex")}00`,
          `${binary.toString("hex").slice(1)}g`,
          randomBytes(31).toString("base64"),
          randomBytes(33).toString("base64")
        ]
      ) {
        const error = yield* Effect.flip(MasterKey.make(Redacted.make(wrong)))
        assert.strictEqual(error._tag, "MalformedMasterKey", wrong)
        assert.include(error.message, "32 bytes in base64 or hex")
      }
    }))

  it.effect("comes from the environment, with the one before", () =>
    Effect.gen(function*() {
      const read = (variables: Record<string, string>) =>
        Effect.provide(MasterKey.config, ConfigProvider.layer(ConfigProvider.fromEnvRecord(variables)))

      const none = yield* read({})
      const both = yield* read({ TENOVOS_MASTER_KEY: "one", TENOVOS_MASTER_KEY_PREVIOUS: "two" })

      assert.deepStrictEqual(none, { masterKey: undefined, previousMasterKey: undefined })
      assert.deepStrictEqual([both.masterKey, both.previousMasterKey].map((key) => key && Redacted.value(key)), [
        "one",
        "two"
      ])
    }))

  it.effect("seals as a JWE that jose opens, and shows itself nowhere", () =>
    Effect.gen(function*() {
      const key = yield* MasterKey.make(Redacted.make(text))

      const sealed = MasterKey.seal(key, "a/b", "grüße")

      const { plaintext, protectedHeader } = yield* Effect.promise(() => jose.compactDecrypt(sealed, bytes))
      assert.strictEqual(new TextDecoder().decode(plaintext), "grüße")
      assert.deepStrictEqual({ ...protectedHeader }, { alg: "dir", enc: "A256GCM", kid: key.id, place: "a/b" })
      assert.strictEqual(MasterKey.idOf(sealed), key.id)
      assert.notStrictEqual(MasterKey.seal(key, "a/b", "grüße"), sealed)
      const printed = inspect(key, { depth: 9, showHidden: true }) + JSON.stringify(key) + String(key)
      for (const form of [text, bytes.toString("hex"), bytes.toString()]) {
        assert.notInclude(printed, form)
      }
    }))

  it.effect("opens only what it sealed itself, for this place, unchanged", () =>
    Effect.gen(function*() {
      const key = yield* MasterKey.make(Redacted.make(text))
      const other = yield* MasterKey.make(Redacted.make(randomBytes(32).toString("hex")))
      const sealed = MasterKey.seal(key, "a/b", "plain")
      assert.deepStrictEqual(MasterKey.open(key, "a/b", sealed), Option.some("plain"))

      assert.deepStrictEqual(MasterKey.open(key, "a/c", sealed), Option.none())
      assert.deepStrictEqual(MasterKey.open({ ...other, id: key.id }, "a/b", sealed), Option.none())
      assert.deepStrictEqual(MasterKey.open(key, "a/b", MasterKey.seal(other, "a/b", "plain")), Option.none())
      fc.assert(
        fc.property(fc.nat(sealed.length - 1), fc.constantFrom(...".AQgw-_="), (at, character) => {
          fc.pre(sealed[at] !== character)
          const changed = sealed.slice(0, at) + character + sealed.slice(at + 1)
          const decoded = (token: string) =>
            token.split(".").map((part) => Buffer.from(part, "base64url").toString("hex"))
          // The last character of a part has bits that mean nothing.
          fc.pre(decoded(changed).join() !== decoded(sealed).join())
          assert.deepStrictEqual(MasterKey.open(key, "a/b", changed), Option.none())
        }),
        { seed: 1, numRuns: 500 }
      )
      for (const short of ["", ".", "....", sealed.slice(0, sealed.lastIndexOf(".") + 5)]) {
        assert.deepStrictEqual(MasterKey.open(key, "a/b", short), Option.none())
      }
    }))
})

describe("private keys at rest", () => {
  /** The files of SQLite, to the byte, or the table on PostgreSQL, and where that keeps it. */
  const contents = (database: string) =>
    kind === "postgres"
      ? SqlClient.use((sql) => sql`SELECT pg_relation_filenode('keys') AS file, keys.* FROM keys ORDER BY kid`).pipe(
        Effect.provide(Database.layer(database)),
        Effect.map((rows) => rows.map((row) => [String(row["file"]), JSON.stringify(row)] as const))
      )
      : Effect.sync(() =>
        readdirSync(dirname(database)).map((name) =>
          [name, readFileSync(join(dirname(database), name), "latin1")] as const
        )
      )
  const stored = SqlClient.use((sql) =>
    Effect.map(
      sql`SELECT private_key FROM keys ORDER BY kind, generation`,
      (rows) => rows.map((row) => String(row["private_key"]))
    )
  )
  const kids = Keys.Keys.use((keys) => Effect.map(keys.published, (all) => all.map(({ kid }) => kid)))

  const opened = <A, E>(
    database: string,
    options: MasterKey.Options | undefined,
    use: Effect.Effect<A, E, Keys.Keys | SqlClient>
  ) =>
    Effect.provide(
      use,
      AuthorityServer.layerAuthority({ keys: fixtures.keys, database, ...options })
    ).pipe(Effect.scoped)

  const problemOf = <A, E, R>(self: Effect.Effect<A, E, R>) =>
    Effect.map(Effect.flip(self), (error) => error instanceof Keys.UnreadableKeys ? error.problem : error)

  it.effect("are encrypted when a master key is given, the next ones too", () =>
    Effect.gen(function*() {
      const path = yield* shared
      yield* opened(
        path,
        given(text),
        Effect.gen(function*() {
          yield* (yield* Keys.Keys).rotate()
          const rows = yield* stored
          assert.strictEqual(rows.length, 6)
          for (const row of rows) {
            const { plaintext } = yield* Effect.promise(() => jose.compactDecrypt(row, bytes))
            assert.include(new TextDecoder().decode(plaintext), "BEGIN PRIVATE KEY")
          }
        })
      )
      const again = yield* opened(path, given(text), kids)

      assert.strictEqual(again.length, 6)
      for (const [, content] of yield* contents(path)) {
        for (const secret of ["PRIVATE KEY", text, bytes.toString("latin1"), bytes.toString("hex")]) {
          assert.notInclude(content, secret)
        }
      }
    }))

  it.effect("can't be used without the master key, or with another, and the database stays as it is", () =>
    Effect.gen(function*() {
      const path = yield* shared
      yield* opened(path, given(text), kids)
      const before = yield* contents(path)

      assert.strictEqual(yield* problemOf(opened(path, undefined, kids)), "Encrypted")
      assert.deepStrictEqual(yield* contents(path), before)
      const another = given(randomBytes(32).toString("hex"), randomBytes(32).toString("hex"))
      assert.strictEqual(yield* problemOf(opened(path, another, kids)), "OtherMasterKey")
      assert.deepStrictEqual(yield* contents(path), before)
      const malformed = yield* Effect.flip(opened(path, given("secret"), kids))
      assert.strictEqual(malformed instanceof MasterKey.MalformedMasterKey, true)
      assert.deepStrictEqual(yield* contents(path), before)
    }))

  it.effect("are encrypted at once when they were plain, and leave no trace", () =>
    Effect.gen(function*() {
      const path = yield* shared
      const before = yield* opened(path, undefined, Effect.andThen(Keys.Keys.use((keys) => keys.rotate()), kids))
      const plain = yield* contents(path)
      assert.isTrue(plain.some(([, content]) => content.includes("PRIVATE KEY")))
      const pem = fixtures.keys.access.privateKey.export({ type: "pkcs8", format: "pem" }).toString().split("\n")

      yield* opened(
        path,
        given(text),
        Effect.gen(function*() {
          for (const [name, content] of yield* contents(path)) {
            // What PostgreSQL overwrote stays in the file, so there is another.
            if (kind === "postgres") assert.notStrictEqual(name, plain[0]?.[0])
            for (const line of ["PRIVATE KEY", ...pem.slice(1, 20)]) assert.notInclude(content, line, name)
          }
        })
      )

      assert.deepStrictEqual(yield* opened(path, given(text), kids), before)
      assert.strictEqual(yield* problemOf(opened(path, undefined, kids)), "Encrypted")
    }))

  it.effect("change their master key in a start that has both", () =>
    Effect.gen(function*() {
      const path = yield* shared
      const next = randomBytes(32).toString("base64")
      const before = yield* opened(path, given(text), kids)

      yield* opened(path, given(next, text), kids)

      assert.deepStrictEqual(yield* opened(path, given(next), kids), before)
      assert.strictEqual(yield* problemOf(opened(path, given(text), kids)), "OtherMasterKey")
    }))

  it.effect("are refused when one was put in another's place", () =>
    Effect.gen(function*() {
      const path = yield* shared
      yield* opened(
        path,
        given(text),
        Effect.gen(function*() {
          const sql = yield* SqlClient
          yield* sql`UPDATE keys SET private_key = (SELECT private_key FROM keys WHERE kind = 'id') WHERE kind = 'access'`
        })
      )

      assert.strictEqual(yield* problemOf(opened(path, given(text), kids)), "Altered")
    }))
})
