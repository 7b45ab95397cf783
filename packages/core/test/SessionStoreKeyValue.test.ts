import { SessionStoreKeyValue } from "@effect-tenovos/core"
import { SessionStoreLaws } from "@effect-tenovos/testing"
import { assert, describe, it } from "@effect/vitest"
import { assertEquals } from "@effect/vitest/utils"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as KeyValueStore from "effect/persistence/KeyValueStore"
import type * as Scope from "effect/Scope"
import { TestClock } from "effect/testing"
import { createHash } from "node:crypto"
import { inspect } from "node:util"
import { real } from "./support/files.ts"
import { session } from "./support/sessions.ts"

const places: Record<string, Effect.Effect<KeyValueStore.KeyValueStore, unknown, Scope.Scope>> = {
  memory: Effect.provide(KeyValueStore.KeyValueStore, Layer.fresh(KeyValueStore.layerMemory)),
  "a file system": Effect.gen(function*() {
    const folder = yield* FileSystem.FileSystem.use((fs) => fs.makeTempDirectoryScoped({ prefix: "tenovos-" }))
    return yield* Effect.provide(KeyValueStore.KeyValueStore, Layer.fresh(KeyValueStore.layerFileSystem(folder)))
  }).pipe(Effect.provide(real))
}

const open = (values: KeyValueStore.KeyValueStore, options?: SessionStoreKeyValue.Options) =>
  Effect.provideService(SessionStoreKeyValue.make(options), KeyValueStore.KeyValueStore, values)

for (const [name, make] of Object.entries(places)) {
  describe(name, () => {
    for (const law of SessionStoreLaws.laws) {
      it.live(law.name, () => Effect.flatMap(make, (values) => law.check({ open: open(values) })))
    }
    for (const law of SessionStoreLaws.leaseLaws) {
      it.live(
        law.name,
        () =>
          Effect.flatMap(
            make,
            (values) => law.check({ open: open(values, { leaseLife: "2 seconds" }), leaseLife: "2 seconds" })
          )
      )
    }
  })
}

const memory = Effect.orDie(Effect.scoped(places["memory"]!))

describe("a key", () => {
  it.effect("holds the session, apart from those of others", () =>
    Effect.gen(function*() {
      const values = yield* memory
      const [store, other] = [yield* open(values), yield* open(values, { key: "other" })]
      yield* store.commit(session(1), 0)
      yield* other.commit(session(2), 0)

      assertEquals((yield* store.read).session, Option.some(session(1)))
      assert.sameMembers([...(yield* values.keys)], ["tenovos-session", "other"])
    }))

  it.effect("whose value is damaged is set aside, and followed by leases with higher fences", () =>
    Effect.gen(function*() {
      const values = yield* memory
      const store = yield* open(values)
      const before = Option.getOrThrow(yield* Effect.scoped(store.lease))
      yield* store.commit(session(1), 0, before)
      const text = (yield* values.get("tenovos-session")) ?? ""
      for (let i = 0; i < text.length; i++) {
        yield* values.set(
          "tenovos-session",
          text.slice(0, i) + String.fromCharCode(text.charCodeAt(i) ^ 1) + text.slice(i + 1)
        )
        const read = yield* Effect.option(store.read)
        assert.isTrue(Option.isNone(read) || Option.isNone(read.value.session), `${i}`)
      }
      yield* values.set("tenovos-session", text.slice(1))
      const after = Option.getOrThrow(yield* Effect.scoped(store.lease))
      const { generation } = yield* store.read

      assert.isAbove(after.fence, before.fence)
      assert.isFalse(yield* store.commit(session(2), generation, before))
      assert.isTrue(yield* store.commit(session(2), generation, after))
      assert.include(yield* values.get("tenovos-session-unreadable-0"), text.slice(1))
    }).pipe((test) => Effect.andThen(TestClock.setTime(1_700_000_000_000), test)))

  it.effect("that an earlier version has written, which knew of no gap, is read", () =>
    Effect.gen(function*() {
      const values = yield* memory
      const store = yield* open(values)
      yield* store.commit(session(1), 0)
      const [, head = "", ...rest] = ((yield* values.get("tenovos-session")) ?? "").split("\n")
      const earlier = head.replace(/,"isGap":false|"isGap":false,/, "")
      assert.notStrictEqual(earlier, head)
      const mark = `tenovos-store ${createHash("sha256").update(earlier).digest("base64url")}`
      yield* values.set("tenovos-session", [mark, earlier, ...rest].join("\n"))

      assertEquals((yield* store.read).session, Option.some(session(1)))
      assert.isFalse(Option.getOrThrow(yield* Effect.scoped(store.lease)).isGap)
    }))

  it.effect("that can't be written or read is a failure that repeats nothing of it", () =>
    Effect.gen(function*() {
      const values = yield* memory
      const failing = (method: string, text: string) =>
        Effect.fail(
          new KeyValueStore.KeyValueStoreError({ method, key: "k", message: text, cause: new Error(`INSERT ${text}`) })
        )
      const store = yield* open({
        ...values,
        get: () => failing("get", "access-1"),
        set: (_, value) => failing("set", String(value))
      })
      const unwritable = yield* open({ ...values, set: (_, value) => failing("set", String(value)) })
      const errors = [
        yield* Effect.flip(store.read),
        yield* Effect.flip(unwritable.commit(session(1), 0))
      ]

      for (const error of errors) {
        assert.strictEqual(error.reason._tag, "StoreFailure")
        assert.include(inspect(error, { depth: Infinity }), "The key-value store failed to")
        assert.notInclude(inspect(error, { depth: Infinity }), "access-1")
      }
    }))
})
