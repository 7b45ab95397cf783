import { Credentials, Session, SessionBackend, SessionEncryption } from "@effect-tenovos/core"
import { assert, describe, it } from "@effect/vitest"
import { assertEquals } from "@effect/vitest/utils"
import * as Clock from "effect/Clock"
import * as ConfigProvider from "effect/ConfigProvider"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Base64 from "effect/encoding/Base64"
import * as Exit from "effect/Exit"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import { TestClock } from "effect/testing"
import { session } from "./support/sessions.ts"

/** A place in memory, whose text can be looked at and changed. */
const makePlace = () => {
  const row: SessionBackend.Row = { generation: 0, text: "" }
  const place = {
    row,
    aside: Array<SessionBackend.Row>(),
    fence: 0,
    leasedUntil: 0,
    isGap: false,
    reachable: true
  }
  const when = <A>(f: (now: number) => A) =>
    Effect.flatMap(
      Clock.currentTimeMillis,
      (now) => place.reachable ? Effect.sync(() => f(now)) : Effect.fail("unreachable")
    )
  const backend: SessionBackend.Backend = {
    place: "here",
    read: when(() => ({ ...place.row, fence: place.fence })),
    write: (row, { expected, fence }) =>
      when(() => {
        if (place.row.generation !== expected || fence !== undefined && fence !== place.fence) return false
        place.row = row
        place.isGap = false
        return true
      }),
    setAside: (row) => when(() => `place ${place.aside.push(row)}`),
    acquire: (life) =>
      when((now) => {
        if (now < place.leasedUntil) return Option.none()
        const { isGap } = place
        place.leasedUntil = now + Duration.toMillis(life)
        place.isGap = true
        return Option.some({ fence: ++place.fence, isGap })
      }),
    extend: (fence, life) =>
      when((now) => {
        if (fence !== place.fence) return false
        place.leasedUntil = now + Duration.toMillis(life)
        return true
      }),
    release: (fence, leavesGap) =>
      when(() => {
        if (fence !== place.fence) return
        place.leasedUntil = 0
        place.isGap &&= leavesGap
      }),
    listen: Effect.succeed(Effect.never)
  }
  return { place, backend }
}

const key = (byte: number) => Redacted.make(Base64.encode(new Uint8Array(32).fill(byte)))

const withKeys = (...keys: ReadonlyArray<Redacted.Redacted>) =>
  Effect.provide(SessionEncryption.layer(Effect.succeed(keys)))

describe("records", () => {
  it.effect("hold what was committed", () =>
    Effect.gen(function*() {
      const { backend } = makePlace()
      const store = yield* SessionBackend.make(backend)
      yield* store.commit(session(3), 0)

      assertEquals(yield* store.read, { generation: 3, fence: 0, session: Option.some(session(3)) })
    }))

  it.effect("are encrypted where there is a key, and encrypted anew with the first of several", () =>
    Effect.gen(function*() {
      const { backend, place } = makePlace()
      const old = yield* SessionBackend.make(backend).pipe(withKeys(key(1)))
      yield* old.commit(session(1), 0)
      assert.notInclude(place.row.text, "access-1")

      const changed = yield* SessionBackend.make(backend).pipe(withKeys(key(2), key(1)))
      assertEquals((yield* changed.read).session, Option.some(session(1)))
      yield* changed.commit(session(2), 1)

      const next = yield* SessionBackend.make(backend).pipe(withKeys(key(2)))
      assertEquals((yield* next.read).session, Option.some(session(2)))
      // That it can't be read is no reason to throw it away: somebody else has the key.
      const failed = yield* Effect.flip(old.read)
      assert.strictEqual(failed.reason._tag, "StoreFailure")
      assert.isEmpty(place.aside)
    }))

  it.effect("are set aside when any byte of them is another", () =>
    Effect.gen(function*() {
      for (const keys of [[], [key(1)]]) {
        const { backend, place } = makePlace()
        const store = yield* SessionBackend.make(backend).pipe(withKeys(...keys))
        yield* store.commit(session(1), 0)
        const { text } = place.row
        for (let i = 0; i < text.length; i++) {
          for (const flip of [1, 32]) {
            const changed = String.fromCharCode(text.charCodeAt(i) ^ flip)
            place.row = { generation: 1, text: text.slice(0, i) + changed + text.slice(i + 1) }
            const read = yield* Effect.exit(store.read)
            // A change of the version, or of the key's name, makes it somebody else's.
            const isForeign = Exit.isFailure(read)
            if (!isForeign) {
              assert.isTrue(Option.isNone(read.value.session), `${i}: ${JSON.stringify(changed)}`)
              assert.isDefined(read.value.unreadable)
            }
          }
        }
        assert.isAbove(place.aside.length, text.length)
      }
    }))

  it.effect("are not read from another generation or place, nor without a key where there should be one", () =>
    Effect.gen(function*() {
      const { backend, place } = makePlace()
      const store = yield* SessionBackend.make(backend).pipe(withKeys(key(1)))
      yield* store.commit(session(1), 0)
      const elsewhere = yield* SessionBackend.make({ ...backend, place: "there" }).pipe(withKeys(key(1)))
      assert.isDefined((yield* elsewhere.read).unreadable)
      place.row = { ...place.row, generation: 2 }
      assert.isDefined((yield* store.read).unreadable)

      const plain = yield* SessionBackend.make(backend)
      yield* plain.commit(session(3), 2)
      assert.isDefined((yield* store.read).unreadable)
    }))
})

describe("a place with a clock", () => {
  it.effect("tells those whose clocks are wrong what is left of a session", () =>
    Effect.gen(function*() {
      const { backend, place } = makePlace()
      // An hour is left for who writes, and a minute passes.
      const store = yield* SessionBackend.make({
        ...backend,
        read: Effect.map(backend.read, (row) => ({ ...row, age: 60_000 }))
      })
      yield* store.commit(new Session.Session({ ...session(1), clockOffset: Duration.zero }), 0)
      assert.include(place.row.text, "3600000")

      for (const ahead of ["5 minutes", "1 hour", "3 days"] as const) {
        yield* TestClock.adjust(ahead)
        const read = Option.getOrThrow((yield* store.read).session)
        const left = Session.remaining(read, yield* DateTime.now)
        assert.strictEqual(Duration.toMillis(left), 3_540_000)
      }
    }))
})

describe("lease", () => {
  it.effect("is kept while it is used, and ends some time after its holder", () =>
    Effect.gen(function*() {
      const { backend } = makePlace()
      const store = yield* SessionBackend.make(backend)
      const other = yield* SessionBackend.make(backend)
      const scope = yield* Scope.make()
      assert.isTrue(Option.isSome(yield* Scope.provide(store.lease, scope)))
      yield* TestClock.adjust("1 minute")
      assert.isTrue(Option.isNone(yield* other.lease))

      yield* Scope.close(scope, Exit.void)
      assert.isTrue(Option.isSome(yield* other.lease))
    }))

  it.effect("is lost by who could not extend it, and so is what that one brings", () =>
    Effect.gen(function*() {
      const { backend, place } = makePlace()
      const store = yield* SessionBackend.make(backend)
      const lease = Option.getOrThrow(yield* store.lease)
      place.reachable = false
      yield* TestClock.adjust("11 seconds")
      place.reachable = true
      const other = yield* SessionBackend.make(backend)
      const next = Option.getOrThrow(yield* other.lease)
      yield* TestClock.adjust("1 minute")

      assert.isFalse(yield* store.commit(session(1), 0, lease))
      assert.isTrue(yield* other.commit(session(1), 0, next))
    }))
})

describe("refused credentials", () => {
  const ada = Credentials.make({
    apiKey: Redacted.make("key"),
    username: "ada",
    password: Redacted.make("pass-canary")
  })

  it.effect("are known to all for an hour, and can't be read from the record", () =>
    Effect.gen(function*() {
      const { backend, place } = makePlace()
      const store = yield* SessionBackend.make(backend)
      const lease = Option.getOrThrow(yield* store.lease)
      yield* store.refuse(ada, "Incorrect username or password.", lease)
      const other = yield* SessionBackend.make(backend)

      assert.deepStrictEqual(yield* other.refusal(ada), Option.some("Incorrect username or password."))
      assert.deepStrictEqual(yield* other.refusal({ ...ada, username: "grace" }), Option.none())
      assert.notInclude(place.row.text, "pass-canary")
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(yield* other.refusal(ada), Option.none())
    }))
})

describe("keys", () => {
  const count = Effect.map(SessionEncryption.Keys, (keys) => keys.length)
  const text = Redacted.value(key(1))
  const fileOf = (content: string) =>
    SessionEncryption.layerFile("keys").pipe(
      Layer.provide(FileSystem.layerNoop({ readFileString: () => Effect.succeed(content) }))
    )
  const environment = (variables: Record<string, string>) =>
    SessionEncryption.layerConfig.pipe(Layer.provide(ConfigProvider.layer(ConfigProvider.fromUnknown(variables))))

  it.effect("come from a file, which has at least one", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* Effect.provide(count, fileOf(`${text}\n\n${text}\n`)), 2)
      for (const content of ["", "\n", "short"]) {
        const { _tag } = yield* Effect.flip(Effect.provide(count, fileOf(content)))
        assert.strictEqual(_tag, "MalformedKey")
      }
    }))

  it.effect("come from the environment, where the one before is only to read with", () =>
    Effect.gen(function*() {
      const now = { TENOVOS_STORE_KEY: text }
      const before = { TENOVOS_STORE_KEY_PREVIOUS: text }
      assert.strictEqual(yield* Effect.provide(count, environment({ ...now, ...before })), 2)
      assert.strictEqual(yield* Effect.provide(count, environment(now)), 1)
      assert.strictEqual(yield* Effect.provide(count, environment(before)), 0)
    }))
})
