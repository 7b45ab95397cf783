import { TenovosAuth } from "@effect-tenovos/core"
import { ScriptedAuthority } from "@effect-tenovos/testing"
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { TestClock } from "effect/testing"
import * as Tracer from "effect/Tracer"
import { healthy, kindOf, options, settled } from "./support/scripted.ts"

const callers = TenovosAuth.TenovosAuth.use((auth) =>
  Effect.replicateEffect(Effect.exit(Effect.withSpan(auth.session, "caller")), 3, { concurrency: "unbounded" })
)

const refused: ScriptedAuthority.Script = () => Effect.succeed(Response.json({ message: "No" }, { status: 401 }))

/** The spans of a program that has the layer inside a span of its own. */
const spansOf = (
  program: Effect.Effect<unknown, unknown, TenovosAuth.TenovosAuth>,
  script: ScriptedAuthority.Script
) =>
  Effect.gen(function*() {
    const spans: Array<Tracer.NativeSpan> = []
    const tracer = Tracer.make({
      span: (options) => {
        const span = new Tracer.NativeSpan(options)
        spans.push(span)
        return span
      }
    })
    yield* program.pipe(
      Effect.provide(TenovosAuth.layer(options).pipe(Layer.provideMerge(ScriptedAuthority.layer(script)))),
      Effect.withSpan("program"),
      Effect.provideService(Tracer.Tracer, tracer)
    )
    return (name: string) => spans.filter((span) => span.name === name)
  })

describe("spans", () => {
  it.effect("are of each call by itself, nobody's child, and linked to those who wait", () =>
    Effect.gen(function*() {
      const named = yield* spansOf(callers, healthy)

      const [exchange, ...others] = named("TenovosAuth.authorize")
      const waiting = named("TenovosAuth.session")
      assert.isDefined(exchange)
      assert.deepStrictEqual(others, [])
      assert.strictEqual(exchange.parent._tag, "None")
      assert.strictEqual(exchange.attributes.get("tenovos.auth.outcome"), "success")
      assert.lengthOf(waiting, 3)
      assert.sameMembers(exchange.links.map((link) => link.span), waiting)
      assert.deepStrictEqual(waiting.map((span) => span.attributes.get("tenovos.auth.served")), [
        "SignedIn",
        "SignedIn",
        "SignedIn"
      ])
    }))

  it.effect("link the second call of an exchange to those who wait since the first", () =>
    Effect.gen(function*() {
      const named = yield* spansOf(
        Effect.andThen(callers, Effect.andThen(TestClock.adjust("1 hour"), callers)),
        (request, index) => kindOf(request) === "refresh" ? refused(request, index) : healthy(request, index)
      )

      const [refresh] = named("TenovosAuth.refresh")
      const authorize = named("TenovosAuth.authorize")[1]
      const waiting = named("TenovosAuth.session").slice(3)
      assert.strictEqual(refresh?.attributes.get("tenovos.auth.outcome"), "Unauthorized")
      assert.lengthOf(waiting, 3)
      assert.sameMembers(authorize?.links.map((link) => link.span) ?? [], waiting)
      assert.deepStrictEqual(authorize?.links.map(({ attributes }) => attributes), [{}, {}, {}])
    }))

  it.effect("tell that a call was interrupted", () =>
    Effect.gen(function*() {
      const isAsked = yield* Deferred.make<void>()
      const named = yield* spansOf(
        Effect.andThen(Effect.forkChild(callers), Deferred.await(isAsked)),
        () => Effect.andThen(Deferred.succeed(isAsked, undefined), Effect.never)
      )
      yield* settled

      const [exchange] = named("TenovosAuth.authorize")
      assert.strictEqual(exchange?.attributes.get("tenovos.auth.outcome"), "interrupted")
    }))

  it.effect("link an expiry to nobody", () =>
    Effect.gen(function*() {
      const named = yield* spansOf(
        TenovosAuth.TenovosAuth.use((auth) => Effect.andThen(auth.session, auth.signOut)),
        healthy
      )

      const [expiry] = named("TenovosAuth.expire")
      assert.strictEqual(expiry?.parent._tag, "None")
      assert.deepStrictEqual(expiry?.links, [])
    }))
})
