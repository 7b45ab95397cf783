import { AuthorityServer, Seed } from "@effect-tenovos/server"
import { AuthorityControl } from "@effect-tenovos/testing"
import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Effect, Layer, Redacted } from "effect"
import { FetchHttpClient } from "effect/http"
import { vi } from "vitest"
import { missing, started } from "../../../packages/testing/test/support/redis.ts"
import { batch, Live } from "../nightly-batch.ts"
import { run } from "./support/run.ts"

/** An authority, a Redis, and the environment of a program that uses both. */
const world = Effect.gen(function*() {
  const { endpointUrl, origin } = yield* AuthorityServer.AuthorityServer
  const { apiKey, password, username } = yield* Effect.flatMap(Seed.firstStart, Effect.fromOption)
  const { url } = yield* started()
  const control = yield* AuthorityControl.make({ origin })
  return {
    control,
    counts: Effect.map(control.journal.counts(), ({ authorize, refresh }) => ({
      signIns: authorize.requests,
      refreshes: refresh.requests
    })),
    env: {
      TENOVOS_ENDPOINT_URL: endpointUrl,
      TENOVOS_API_KEY: Redacted.value(apiKey),
      TENOVOS_USERNAME: username,
      TENOVOS_PASSWORD: Redacted.value(password),
      REDIS_URL: url
    }
  }
})

const World = AuthorityServer.layerNode({ port: 0, dev: true }).pipe(Layer.provideMerge(FetchHttpClient.layer))

describe.skipIf(missing !== undefined && process.env["CI"] === undefined)(
  `with a session in Redis${missing === undefined ? "" : `, skipped: ${missing}`}`,
  () => {
    it.live("nightly-batch.ts signs in once for all its processes, and the next night not at all", () =>
      Effect.gen(function*() {
        const { control, counts, env } = yield* world

        const first = yield* Effect.forEach(["0", "1"], (worker) =>
          Effect.map(
            run("nightly-batch.ts", { ...env, WORKER: worker, WORKERS: "2" }),
            ({ code, stderr, stdout }) => {
              assert.strictEqual(code, 0, stderr)
              return JSON.parse(stdout)
            }
          ), { concurrency: "unbounded" })

        assert.deepStrictEqual(first.map(({ looked }) => looked), [634, 600])
        assert.deepStrictEqual(first.map(({ session }) => session).sort(), ["Adopted", "SignedIn"])
        assert.deepStrictEqual(yield* counts, { signIns: 1, refreshes: 0 })

        yield* control.clock.advance({ payload: { advance: 24 * 3_600_000 } })
        const second = yield* batch({ worker: 0, workers: 1 }).pipe(
          Effect.provide(Layer.provide(Live, ConfigProvider.layer(ConfigProvider.fromEnvRecord(env))))
        )

        assert.strictEqual(second.looked, 1234)
        assert.deepStrictEqual(yield* counts, { signIns: 1, refreshes: 1 })
      }).pipe(Effect.scoped, Effect.provide(World)))

    it.live("serverless.ts signs in at the first cold start, and exchanges nothing at later ones and while warm", () =>
      Effect.gen(function*() {
        const { counts, env } = yield* world
        yield* Effect.acquireRelease(
          Effect.sync(() => Object.entries(env).forEach(([name, value]) => vi.stubEnv(name, value))),
          () => Effect.sync(() => vi.unstubAllEnvs())
        )
        const coldStart = Effect.acquireRelease(
          Effect.promise(() => {
            vi.resetModules()
            return import("../serverless.ts")
          }),
          ({ runtime }) => Effect.promise(() => runtime.dispose())
        )
        const call = ({ handler }: { readonly handler: (event: { readonly assetId: string }) => Promise<unknown> }) =>
          Effect.promise(() => handler({ assetId: "7c1d9a52-0a86-4f3d-8c9e-6b1f5a3f0007" }))
        const answer = { filename: "autumn-0007.jpg" }

        const first = yield* coldStart
        const atOnce = yield* Effect.replicateEffect(call(first), 10, { concurrency: "unbounded" })
        assert.deepStrictEqual(atOnce, Array.from({ length: 10 }, () => answer))
        assert.deepStrictEqual(yield* call(first), answer)
        assert.deepStrictEqual(yield* counts, { signIns: 1, refreshes: 0 })

        const second = yield* coldStart
        assert.deepStrictEqual(yield* call(second), answer)
        assert.deepStrictEqual(yield* counts, { signIns: 1, refreshes: 0 })
      }).pipe(Effect.scoped, Effect.provide(World)))
  }
)
