import { TenovosAuth, TenovosClient } from "@effect-tenovos/core"
import { TestTenovos } from "@effect-tenovos/testing"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { TestClock } from "effect/testing"

describe("TestTenovos", () => {
  it.effect("lets thirty days pass: refreshes on the way, and a new sign-in at the end", () =>
    Effect.gen(function*() {
      const auth = yield* TenovosAuth.TenovosAuth
      const client = yield* TenovosClient.TenovosClient
      const first = yield* auth.session

      for (let day = 1; day < 30; day++) {
        yield* TestClock.adjust("1 day")
        assert.strictEqual((yield* client.get("/security/template")).status, 200)
      }
      const last = yield* auth.session
      assert.strictEqual(last.generation, 30)
      assert.deepStrictEqual(last.authenticatedAt, first.authenticatedAt)

      yield* TestClock.adjust("1 day")
      assert.strictEqual((yield* client.get("/security/template")).status, 200)
      assert.notDeepEqual((yield* auth.session).authenticatedAt, first.authenticatedAt)
    }).pipe(Effect.provide(
      TenovosClient.layer.pipe(
        Layer.provideMerge(TenovosAuth.layer(TestTenovos.credentials)),
        Layer.provide(TestTenovos.layer())
      )
    )))
})
