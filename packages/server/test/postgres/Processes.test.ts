import { assert, describe, layer } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { fresh } from "../support/databases.ts"
import * as processes from "../support/processes.ts"

const { expire, refresh, signIn, start, use } = processes

class Servers extends Context.Service<Servers, readonly [processes.ServerProcess, processes.ServerProcess]>()(
  "test/Servers"
) {}

/** They start at once on an empty database. */
const Live = Layer.effect(
  Servers,
  Effect.flatMap(fresh, (database) => Effect.all([start(database), start(database)], { concurrency: "unbounded" }))
)

const accepted = (answer: processes.Answer | undefined): processes.Body => {
  assert.strictEqual(answer?.status, 200)
  return answer?.body ?? assert.fail("No answer")
}

describe("two server processes on one PostgreSQL", () => {
  layer(Live, { excludeTestServices: true, timeout: "1 minute" })((it) => {
    it.effect("are one authority", () =>
      Effect.gen(function*() {
        const [a, b] = yield* Servers

        const first = accepted(yield* signIn(a.url))
        const second = accepted(yield* refresh(b.url, first))
        assert.strictEqual((yield* use(a.url, second))?.status, 200)
        assert.strictEqual((yield* use(b.url, first))?.status, 200)

        accepted(yield* expire(a.url, second))

        assert.strictEqual((yield* use(b.url, second))?.status, 401)
        assert.strictEqual((yield* use(b.url, first))?.status, 401)
        assert.strictEqual((yield* refresh(b.url, second))?.status, 401)
        assert.strictEqual((yield* expire(b.url, second))?.status, 401)
      }))

    it.effect("let one of them end a session that both are asked to end, and nobody refresh it after", () =>
      Effect.gen(function*() {
        const servers = yield* Servers
        const session = accepted(yield* signIn(servers[0].url))

        const ends = yield* Effect.forEach(
          Array.from({ length: 16 }, (_, i) => servers[i % 2 === 0 ? 0 : 1]),
          ({ url }) => expire(url, session),
          { concurrency: "unbounded" }
        )
        const late = yield* Effect.forEach(servers, ({ url }) => refresh(url, session))

        assert.strictEqual(ends.filter((answer) => answer?.status === 200).length, 1)
        assert.deepStrictEqual(late.map((answer) => answer?.status), [401, 401])
      }))

    it.effect("keep what one of them had acknowledged when it was killed", () =>
      Effect.gen(function*() {
        const [a, b] = yield* Servers
        const live = accepted(yield* signIn(a.url))
        const ended = accepted(yield* signIn(a.url))
        accepted(yield* expire(a.url, ended))

        yield* a.kill

        accepted(yield* refresh(b.url, live))
        assert.strictEqual((yield* refresh(b.url, ended))?.status, 401)
      }))
  })
})
