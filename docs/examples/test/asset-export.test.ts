import { TenovosAuth, TenovosClient } from "@effect-tenovos/core"
import { AuthorityServer, Seed } from "@effect-tenovos/server"
import { TestTenovos } from "@effect-tenovos/testing"
import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, FileSystem, Latch, Layer, Redacted } from "effect"
import { FetchHttpClient, type HttpClientRequest } from "effect/http"
import { exportAssets } from "../asset-export.ts"
import { preload } from "./support/preload.ts"
import { run } from "./support/run.ts"
import * as wire from "./support/wire.ts"

/** Before the authority gets a search, `onSearch` is told which page it is for. */
const layer = (onSearch: (from: number) => Effect.Effect<void>) =>
  TenovosClient.layer.pipe(
    Layer.provide(TenovosAuth.layer(TestTenovos.credentials)),
    Layer.provide(
      wire.tap((request) => request.url.endsWith("/search/keyword") ? onSearch(fromOf(request)) : Effect.void)
    )
  )

const World = Layer.merge(TestTenovos.layer(), NodeServices.layer)

const fromOf = ({ body }: HttpClientRequest.HttpClientRequest): number =>
  body._tag === "Uint8Array" ? JSON.parse(new TextDecoder().decode(body.body)).from : Number.NaN

/** Every line of every file of an export. */
const contents = Effect.fnUntraced(function*(folder: string) {
  const fs = yield* FileSystem.FileSystem
  const files = (yield* fs.readDirectory(folder)).filter((name) => name.endsWith(".jsonl")).sort()
  const texts = yield* Effect.forEach(files, (name) => fs.readFileString(`${folder}/${name}`))
  const lines = texts.join("").split("\n").filter((line) => line !== "")
  return lines.map((line): string => JSON.parse(line).filename)
})

const assertComplete = (filenames: ReadonlyArray<string>) => {
  assert.strictEqual(filenames.length, 1234)
  assert.strictEqual(new Set(filenames).size, 1234)
}

const folder = Effect.flatMap(FileSystem.FileSystem, (fs) => fs.makeTempDirectoryScoped())

describe("asset-export.ts", () => {
  it.effect("brings every asset once, with eight searches under way at a time", () =>
    Effect.gen(function*() {
      const eight = yield* Latch.make(false)
      let underWay = 0
      let most = 0
      const onSearch = () =>
        Effect.sync(() => {
          most = Math.max(most, ++underWay)
          return underWay === 8
        }).pipe(
          Effect.tap((isFull) => isFull ? eight.open : Effect.void),
          Effect.andThen(eight.await),
          Effect.andThen(Effect.yieldNow),
          Effect.ensuring(Effect.sync(() => underWay--))
        )
      const into = yield* folder

      const count = yield* exportAssets(into).pipe(Effect.provide(layer(onSearch)))

      assert.strictEqual(count, 1234)
      assertComplete(yield* contents(into))
      assert.strictEqual(most, 8)
    }).pipe(Effect.provide(World)))

  it.effect("goes on where it was ended, wherever that was", () =>
    Effect.gen(function*() {
      for (const last of [0, 500, 1200]) {
        const into = yield* folder
        const reached = yield* Deferred.make<void>()
        const isBeyond = (from: number) => from > last
        const first = yield* exportAssets(into).pipe(
          Effect.provide(layer((from) =>
            isBeyond(from) ? Effect.andThen(Deferred.succeed(reached, undefined), Effect.never) : Effect.void
          )),
          Effect.forkChild
        )
        yield* Effect.raceFirst(Deferred.await(reached), Fiber.await(first))
        yield* Fiber.interrupt(first)
        const fs = yield* FileSystem.FileSystem
        const before = (yield* fs.readDirectory(into)).filter((name) =>
          name.endsWith(".jsonl")
        )
        const searches: Array<number> = []

        const count = yield* exportAssets(into).pipe(
          Effect.provide(layer((from) => Effect.sync(() => void searches.push(from))))
        )

        assert.strictEqual(count, 1234)
        assertComplete(yield* contents(into))
        const again = searches.map((from) => `${String(from).padStart(4, "0")}.jsonl`)
        assert.deepStrictEqual(again.filter((name) => before.includes(name) && name !== "1200.jsonl"), [])
      }
    }).pipe(Effect.provide(World)))

  it.live("goes on when its process was killed between a file and its name", () =>
    Effect.gen(function*() {
      const { endpointUrl } = yield* AuthorityServer.AuthorityServer
      const { apiKey, password, username } = yield* Effect.flatMap(Seed.firstStart, Effect.fromOption)
      const into = yield* folder
      const flags = yield* preload(`
        import fs from "node:fs"
        import { syncBuiltinESMExports } from "node:module"
        const rename = fs.rename
        let renames = 0
        fs.rename = (...args) => ++renames === 6 ? process.kill(process.pid, "SIGKILL") : rename(...args)
        syncBuiltinESMExports()
      `)
      const Again = TenovosClient.layer.pipe(
        Layer.provide(TenovosAuth.layer({ endpointUrl, apiKey, password, username }))
      )
      const env = {
        TENOVOS_ENDPOINT_URL: endpointUrl,
        TENOVOS_API_KEY: Redacted.value(apiKey),
        TENOVOS_USERNAME: username,
        TENOVOS_PASSWORD: Redacted.value(password),
        EXPORT_FOLDER: into
      }

      const { code, stdout } = yield* run("asset-export.ts", env, ...flags)
      assert.deepStrictEqual([code, stdout], [null, ""])
      const files = yield* FileSystem.FileSystem.use((fs) => fs.readDirectory(into))
      assert.isTrue(files.some((name) => name.endsWith(".part")))

      assert.strictEqual(yield* exportAssets(into).pipe(Effect.provide(Again)), 1234)
      assertComplete(yield* contents(into))
    }).pipe(
      Effect.scoped,
      Effect.provide([AuthorityServer.layerNode({ port: 0 }), FetchHttpClient.layer, NodeServices.layer])
    ))
})
