import { TenovosAuth, TenovosClient } from "@effect-tenovos/core"
import { TestTenovos } from "@effect-tenovos/testing"
import { assert, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { TestClock } from "effect/testing"

const Program = TenovosClient.layer.pipe(Layer.provide(TenovosAuth.layer(TestTenovos.credentials)))

it.effect("outlives its tokens, and an authority that is away", () =>
  Effect.gen(function*() {
    const tenovos = yield* TestTenovos.TestTenovos
    const client = yield* TenovosClient.TenovosClient
    yield* client.get("/security/template")
    yield* tenovos.fail(503, { operations: ["refresh"] })
    yield* TestClock.adjust("58 minutes")
    assert.strictEqual((yield* client.get("/security/template")).status, 200)
    yield* tenovos.heal
    yield* TestClock.adjust("29 days")
    assert.strictEqual((yield* client.get("/security/template")).status, 200)
    assert.strictEqual((yield* tenovos.counts).signIns, 1)
  }).pipe(Effect.provide(Layer.provideMerge(Program, TestTenovos.layer()))))
