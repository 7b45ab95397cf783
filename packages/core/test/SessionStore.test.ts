import { SessionStore } from "@effect-tenovos/core"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

// What all stores promise is told, and tested of this one too, by the laws of the testing package.

describe("memory", () => {
  it.effect("is another one when its layer is fresh, and the same where it is shared", () =>
    Effect.gen(function*() {
      const build = (layer: Layer.Layer<SessionStore.SessionStore>) => Effect.provide(SessionStore.SessionStore, layer)

      assert.notStrictEqual(
        yield* build(Layer.fresh(SessionStore.layerMemory)),
        yield* build(Layer.fresh(SessionStore.layerMemory))
      )
    }))
})
