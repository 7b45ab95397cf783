import { AuthError, RefreshPolicy, Session, SessionStore, TenovosAuth } from "@effect-tenovos/core"
import { ScriptedAuthority } from "@effect-tenovos/testing"
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import { inspect } from "node:util"
import { healthy, kindOf, options, received, session, settled } from "./support/scripted.ts"

const refuse = (status: number, message = "Invalid Authentication Parameters") =>
  Effect.succeed(Response.json({ status: "error", message }, { status }))

const provideAuth = (script: ScriptedAuthority.Script = healthy) =>
  Effect.provide(TenovosAuth.layer(options).pipe(Layer.provideMerge(ScriptedAuthority.layer(script))))

const accessToken = Effect.map(TenovosAuth.TenovosAuth.use((auth) => auth.accessToken), Redacted.value)

const signOut = TenovosAuth.TenovosAuth.use((auth) => auth.signOut)

describe("session", () => {
  it.effect("asks nothing of the authority before somebody needs a session", () =>
    Effect.gen(function*() {
      yield* TestClock.adjust("1 day")

      assert.deepStrictEqual(yield* received, [])
    }).pipe(provideAuth()))

  it.effect("signs in once for 1,000 concurrent callers", () =>
    Effect.gen(function*() {
      const tokens = yield* Effect.replicateEffect(accessToken, 1000, { concurrency: "unbounded" })

      assert.deepStrictEqual(new Set(tokens), new Set(["access-0"]))
      assert.deepStrictEqual(yield* received, ["authorize"])
    }).pipe(provideAuth()))

  it.effect("serves the same session until it comes to its end, and refreshes then, once for all", () =>
    Effect.gen(function*() {
      yield* accessToken
      yield* TestClock.adjust("54 minutes")
      assert.strictEqual(yield* accessToken, "access-0")
      assert.deepStrictEqual(yield* received, ["authorize"])

      yield* TestClock.adjust("6 minutes")
      const tokens = yield* Effect.replicateEffect(accessToken, 100, { concurrency: "unbounded" })

      assert.deepStrictEqual(new Set(tokens), new Set(["access-1"]))
      assert.deepStrictEqual(yield* received, ["authorize", "refresh"])
    }).pipe(provideAuth()))

  it.effect("refreshes with the newest refresh token, and counts the generations", () =>
    Effect.gen(function*() {
      yield* session
      yield* TestClock.adjust("1 hour")
      yield* session
      yield* TestClock.adjust("1 hour")
      const { generation } = yield* session

      const all = yield* ScriptedAuthority.ScriptedAuthority.use((authority) => authority.received)
      assert.strictEqual(generation, 3)
      assert.include(all[1]?.body, "refresh-0")
      assert.include(all[2]?.body, "refresh-1")
    }).pipe(provideAuth()))

  it.effect("renews a token of a few seconds in the last fifth of its life", () =>
    Effect.gen(function*() {
      yield* accessToken
      yield* TestClock.adjust("2900 millis")
      assert.strictEqual(yield* accessToken, "access-0")
      yield* Effect.yieldNow
      assert.deepStrictEqual(yield* received, ["authorize"])
      yield* TestClock.adjust("500 millis")
      assert.strictEqual(yield* accessToken, "access-0")
      yield* settled

      assert.strictEqual(yield* accessToken, "access-1")
    }).pipe(provideAuth((_, index) =>
      Effect.map(Clock.currentTimeMillis, (now) =>
        Response.json({ session: { accessToken: `access-${index}`, refreshToken: "r", expireEpoch: now + 4000 } }))
    )))

  for (const status of [400, 401]) {
    it.effect(`signs in when the authority refuses the refresh token with ${status}`, () =>
      Effect.gen(function*() {
        yield* accessToken
        yield* TestClock.adjust("1 hour")

        assert.strictEqual(yield* accessToken, "access-2")
        assert.deepStrictEqual(yield* received, ["authorize", "refresh", "authorize"])
      }).pipe(
        provideAuth((request, index) => kindOf(request) === "refresh" ? refuse(status) : healthy(request, index))
      ))
  }

  it.effect("signs in, and sends no refresh token, when it is older than 30 days", () =>
    Effect.gen(function*() {
      yield* accessToken
      yield* TestClock.adjust("30 days")

      assert.strictEqual(yield* accessToken, "access-1")
      assert.deepStrictEqual(yield* received, ["authorize", "authorize"])
    }).pipe(provideAuth()))

  it.effect("does not spend the credentials when a refresh fails without a clear no", () =>
    Effect.gen(function*() {
      yield* accessToken
      yield* TestClock.adjust("1 hour")
      const waiter = yield* Effect.forkChild(accessToken, { startImmediately: true })
      yield* TestClock.adjust("1 second")

      assert.strictEqual(yield* Fiber.join(waiter), "access-2")
      assert.deepStrictEqual(yield* received, ["authorize", "refresh", "refresh"])
    }).pipe(provideAuth((request, index) =>
      index === 1 ? Effect.succeed(new Response("", { status: 503 })) : healthy(request, index)
    )))

  it.effect("tells all who wait why a sign-in was refused, and never sends those credentials again", () =>
    Effect.gen(function*() {
      const errors = yield* Effect.replicateEffect(Effect.flip(accessToken), 100, { concurrency: "unbounded" })
      const later = yield* Effect.flip(accessToken)

      assert.deepStrictEqual(new Set(errors.map((error) => error.reason._tag)), new Set(["Unauthorized"]))
      assert.deepInclude(later.reason, {
        _tag: "CredentialsRejected",
        message: "Invalid Authentication Parameters"
      })
      assert.deepStrictEqual(yield* received, ["authorize"])
    }).pipe(provideAuth(() => refuse(401))))

  it.effect("does not remember a failure that may pass", () =>
    Effect.gen(function*() {
      const waiter = yield* Effect.forkChild(accessToken, { startImmediately: true })
      yield* TestClock.adjust("1 second")

      assert.strictEqual(yield* Fiber.join(waiter), "access-1")
    }).pipe(provideAuth((request, index) =>
      index === 0 ? Effect.fail(new ScriptedAuthority.Dropped()) : healthy(request, index)
    )))
})

describe("interruption", () => {
  /** An authority that answers when the gate opens. */
  const gated = Effect.map(Deferred.make<void>(), (gate) => ({
    open: Deferred.succeed(gate, undefined),
    script: (request: ScriptedAuthority.Received, index: number) =>
      Effect.andThen(Deferred.await(gate), healthy(request, index))
  }))

  it.effect("leaves the others served, by the same exchange, when the first caller gives up", () =>
    Effect.gen(function*() {
      const { open, script } = yield* gated
      yield* Effect.gen(function*() {
        const first = yield* Effect.forkChild(accessToken, { startImmediately: true })
        const others = yield* Effect.forkChild(
          Effect.replicateEffect(accessToken, 99, { concurrency: "unbounded" }),
          { startImmediately: true }
        )
        yield* Fiber.interrupt(first)
        yield* open

        assert.lengthOf(yield* Fiber.join(others), 99)
        assert.deepStrictEqual(yield* received, ["authorize"])
      }).pipe(provideAuth(script))
    }))

  it.effect("keeps the session of an exchange that nobody waited for", () =>
    Effect.gen(function*() {
      const { open, script } = yield* gated
      yield* Effect.gen(function*() {
        const only = yield* Effect.forkChild(accessToken, { startImmediately: true })
        yield* Fiber.interrupt(only)
        yield* open
        yield* Effect.yieldNow

        assert.strictEqual(yield* accessToken, "access-0")
        assert.deepStrictEqual(yield* received, ["authorize"])
      }).pipe(provideAuth(script))
    }))

  it.effect("ends the exchange and frees the waiters when the layer closes", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const started = yield* Deferred.make<void>()
      const interrupted = yield* Deferred.make<void>()
      const context = yield* TenovosAuth.layer(options).pipe(
        Layer.provideMerge(
          ScriptedAuthority.layer(() =>
            Deferred.succeed(started, undefined).pipe(
              Effect.andThen(Effect.never),
              Effect.onInterrupt(() => Deferred.succeed(interrupted, undefined))
            )
          )
        ),
        Layer.buildWithScope(scope)
      )
      const waiter = yield* accessToken.pipe(
        Effect.provideContext(context),
        Effect.forkChild({ startImmediately: true })
      )
      yield* Deferred.await(started)
      yield* Scope.close(scope, Exit.void)

      yield* Deferred.await(interrupted)
      assert.strictEqual((yield* Effect.flip(Fiber.join(waiter))).reason._tag, "SessionExpired")
    }))
})

it.effect("does not let a caller hang that comes after the layer has closed", () =>
  Effect.gen(function*() {
    const scope = yield* Scope.make()
    const context = yield* TenovosAuth.layer(options).pipe(
      Layer.provideMerge(ScriptedAuthority.layer(healthy)),
      Layer.buildWithScope(scope)
    )
    yield* Scope.close(scope, Exit.void)

    const late = yield* Effect.forkChild(Effect.provideContext(accessToken, context), { startImmediately: true })
    const error = yield* Effect.flip(Fiber.join(late))
    assert.strictEqual(error.reason._tag, "SessionExpired")
    const uses: ReadonlyArray<Effect.Effect<unknown, AuthError.AuthError, TenovosAuth.TenovosAuth>> = [
      accessToken,
      signOut,
      accessToken,
      signOut
    ]
    for (const use of uses) {
      const later = yield* Effect.flip(Effect.provideContext(use, context))
      assert.strictEqual(later.reason._tag, "SessionExpired")
    }
  }))

describe("signOut", () => {
  it.effect("ends the session at the authority and forgets it", () =>
    Effect.gen(function*() {
      yield* accessToken
      const outcome = yield* signOut

      assert.strictEqual(outcome._tag, "Expired")
      assert.deepStrictEqual(yield* received, ["authorize", "expire"])
      assert.strictEqual(yield* accessToken, "access-2")
    }).pipe(provideAuth()))

  it.effect("says so when the authority did not confirm it", () =>
    Effect.gen(function*() {
      yield* accessToken
      const outcome = yield* signOut

      assert.strictEqual(outcome._tag, "Forgotten")
      assert.strictEqual(outcome._tag === "Forgotten" && outcome.error.reason._tag, "Unavailable")
      assert.strictEqual(yield* accessToken, "access-2")
    }).pipe(provideAuth((request, index) =>
      kindOf(request) === "expire" ? Effect.succeed(new Response("", { status: 502 })) : healthy(request, index)
    )))

  it.effect("says so when there is nothing to end", () =>
    Effect.gen(function*() {
      assert.strictEqual((yield* signOut)._tag, "NoSession")
      assert.deepStrictEqual(yield* received, [])
    }).pipe(provideAuth()))

  it.effect("keeps refused credentials refused", () =>
    Effect.gen(function*() {
      yield* Effect.flip(accessToken)
      yield* signOut

      assert.strictEqual((yield* Effect.flip(accessToken)).reason._tag, "CredentialsRejected")
    }).pipe(provideAuth(() => refuse(401))))

  it.effect("wins over an exchange in flight, whose session is ended and never seen", () =>
    Effect.gen(function*() {
      const gate = yield* Deferred.make<void>()
      const script: ScriptedAuthority.Script = (request, index) =>
        index === 0 ? Effect.andThen(Deferred.await(gate), healthy(request, index)) : healthy(request, index)
      yield* Effect.gen(function*() {
        const waiter = yield* Effect.forkChild(Effect.flip(accessToken), { startImmediately: true })
        const ending = yield* Effect.forkChild(signOut, { startImmediately: true })
        assert.strictEqual((yield* Fiber.join(waiter)).reason._tag, "SessionExpired")
        yield* Deferred.succeed(gate, undefined)

        assert.strictEqual((yield* Fiber.join(ending))._tag, "Expired")
        assert.strictEqual(yield* accessToken, "access-2")
        const all = yield* ScriptedAuthority.ScriptedAuthority.use((authority) => authority.received)
        assert.deepStrictEqual(all.map(kindOf), ["authorize", "expire", "authorize"])
        assert.strictEqual(all[1]?.headers["accesstoken"], "access-0")
      }).pipe(provideAuth(script))
    }))

  it.effect("has no credentials given for a refresh that is refused after it", () =>
    Effect.gen(function*() {
      const [asked, answered] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
      const script: ScriptedAuthority.Script = (request, index) =>
        kindOf(request) === "refresh"
          ? Deferred.succeed(asked, undefined).pipe(
            Effect.andThen(Deferred.await(answered)),
            Effect.andThen(refuse(401))
          )
          : healthy(request, index)
      yield* Effect.gen(function*() {
        yield* session
        yield* TestClock.adjust("1 hour")
        yield* Effect.forkChild(Effect.exit(session), { startImmediately: true })
        yield* Deferred.await(asked)
        const ending = yield* Effect.forkChild(signOut, { startImmediately: true })
        yield* Deferred.succeed(answered, undefined)
        yield* Fiber.join(ending)

        assert.deepStrictEqual(yield* received, ["authorize", "refresh", "expire"])
      }).pipe(provideAuth(script))
    }))
})

describe("store", () => {
  /** Two keepers of one session, as in two parts of a program. */
  const shared = <A, E>(
    use: (
      one: TenovosAuth.TenovosAuth["Service"],
      other: TenovosAuth.TenovosAuth["Service"]
    ) => Effect.Effect<A, E, ScriptedAuthority.ScriptedAuthority>,
    script = healthy
  ) =>
    Effect.gen(function*() {
      const store = yield* Layer.build(SessionStore.layerMemory)
      const keeper = Effect.map(
        Layer.build(Layer.fresh(TenovosAuth.layer(options, Layer.succeedContext(store)))),
        (context) => TenovosAuth.TenovosAuth.pipe(Effect.provideContext(context))
      )
      return yield* use(yield* Effect.flatten(keeper), yield* Effect.flatten(keeper))
    }).pipe(Effect.provide(ScriptedAuthority.layer(script)))

  const generations = Effect.map((sessions: ReadonlyArray<Session.Session>) =>
    sessions.map((session) => session.generation)
  )

  it.effect("makes one exchange for all who share it", () =>
    shared((one, other) =>
      Effect.gen(function*() {
        assert.deepStrictEqual(
          yield* Effect.all([one.session, other.session], { concurrency: "unbounded" }).pipe(generations),
          [1, 1]
        )
        yield* TestClock.adjust("1 hour")
        assert.deepStrictEqual(
          yield* Effect.all([one.session, other.session], { concurrency: "unbounded" }).pipe(generations),
          [2, 2]
        )
        assert.deepStrictEqual(yield* received, ["authorize", "refresh"])
      })
    ))

  it.effect("lets nobody refresh a session that another has signed out of", () =>
    shared((one, other) =>
      Effect.gen(function*() {
        yield* one.session
        yield* other.session
        yield* one.signOut
        yield* TestClock.adjust("1 hour")
        yield* other.session

        assert.deepStrictEqual(yield* received, ["authorize", "expire", "authorize"])
      })
    ))

  it.effect("is told of refused credentials, which nobody who shares it sends again", () =>
    shared(
      (one, other) =>
        Effect.gen(function*() {
          assert.strictEqual((yield* Effect.flip(one.session)).reason._tag, "Unauthorized")
          assert.strictEqual((yield* Effect.flip(other.session)).reason._tag, "Unauthorized")
          assert.strictEqual((yield* Effect.flip(other.session)).reason._tag, "CredentialsRejected")
          assert.strictEqual((yield* other.state)._tag, "Rejected")

          assert.deepStrictEqual(yield* received, ["authorize"])
          // Who was told looks again: when the note is an hour old, they are sent once more.
          yield* TestClock.adjust("30 minutes")
          assert.strictEqual((yield* Effect.flip(other.session)).reason._tag, "Unauthorized")
          assert.deepStrictEqual(yield* received, ["authorize"])
          yield* TestClock.adjust("31 minutes")
          assert.strictEqual((yield* Effect.flip(other.session)).reason._tag, "Unauthorized")
          assert.deepStrictEqual(yield* received, ["authorize", "authorize"])
        }),
      () => refuse(401)
    ))

  it.effect("stops nobody when it is out of reach", () =>
    Effect.gen(function*() {
      const broken = (operation: "read" | "commit" | "clear") =>
        Effect.fail(new AuthError.AuthError({ reason: new AuthError.StoreFailure({ operation }) }))
      const store = Layer.succeed(
        SessionStore.SessionStore,
        SessionStore.SessionStore.of({
          read: broken("read"),
          commit: () => broken("commit"),
          clear: () => broken("clear"),
          lease: Effect.succeedSome({ fence: 1, isGap: false, leaveGap: Effect.void }),
          listen: Effect.succeed(Effect.never),
          refusal: () => Effect.succeedNone,
          refuse: () => broken("commit")
        })
      )
      yield* Effect.gen(function*() {
        yield* session
        yield* TestClock.adjust("1 hour")

        assert.strictEqual((yield* session).generation, 2)
        // It was never written, so nobody else has the refresh token.
        assert.deepStrictEqual(yield* received, ["authorize", "refresh"])
        // The authority has ended it all the same; but that the store forgot it is not sure.
        const outcome = yield* signOut
        assert.strictEqual(outcome._tag === "Forgotten" && outcome.error.reason._tag, "StoreFailure")
        assert.deepStrictEqual(yield* received, ["authorize", "refresh", "expire"])
      }).pipe(Effect.provide(
        TenovosAuth.layer(options, store).pipe(Layer.provideMerge(ScriptedAuthority.layer(healthy)))
      ))
    }))
})

describe("a store that fails for a while, or is slow", () => {
  /** The memory store behind a switch and a delay. */
  const makeFlaky = Effect.gen(function*() {
    const memory = yield* SessionStore.makeMemory
    const control = { broken: false, delay: 0, hangs: false }
    const behind = <A>(operation: "read" | "commit" | "clear", effect: Effect.Effect<A, AuthError.AuthError>) =>
      Effect.suspend(() =>
        control.broken
          ? Effect.fail(new AuthError.AuthError({ reason: new AuthError.StoreFailure({ operation }) }))
          : control.hangs
          ? Effect.never
          : control.delay === 0
          ? effect
          : Effect.delay(effect, control.delay)
      )
    const store = SessionStore.SessionStore.of({
      read: behind("read", memory.read),
      commit: (...args) => behind("commit", memory.commit(...args)),
      clear: (generation) => behind("clear", memory.clear(generation)),
      lease: memory.lease,
      listen: memory.listen,
      refusal: (credentials) => behind("read", memory.refusal(credentials)),
      refuse: (...args) => behind("commit", memory.refuse(...args))
    })
    return { control, layer: Layer.succeed(SessionStore.SessionStore, store), memory }
  })

  const provideWith = (store: Layer.Layer<SessionStore.SessionStore>) =>
    Effect.provide(TenovosAuth.layer(options, store).pipe(Layer.provideMerge(ScriptedAuthority.layer(healthy))))

  it.effect("is written again once it is back", () =>
    Effect.gen(function*() {
      const flaky = yield* makeFlaky
      yield* Effect.gen(function*() {
        yield* session
        for (flaky.control.broken of [true, true, false, false]) {
          yield* TestClock.adjust("1 hour")
          yield* session
        }

        // Others may have spent the refresh token of a session that can't be read again.
        assert.deepStrictEqual(yield* received, ["authorize", "authorize", "refresh", "refresh", "refresh"])
        assert.strictEqual((yield* flaky.memory.read).generation, (yield* session).generation)
      }).pipe(provideWith(flaky.layer))
    }))

  it.effect("is written again in the background, until it takes the session", () =>
    Effect.gen(function*() {
      const flaky = yield* makeFlaky
      yield* Effect.gen(function*() {
        flaky.control.broken = true
        const current = yield* session
        yield* TestClock.adjust("10 seconds")
        assert.strictEqual((yield* flaky.memory.read).generation, 0)

        flaky.control.broken = false
        yield* TestClock.adjust("10 seconds")
        const { session: stored } = yield* flaky.memory.read
        assert.deepStrictEqual(Option.map(stored, ({ accessToken }) => accessToken), Option.some(current.accessToken))
        assert.deepStrictEqual(yield* received, ["authorize"])
      }).pipe(provideWith(flaky.layer))
    }))

  it.effect("is not given a session that has been signed out of meanwhile, nor one that is older than its own", () =>
    Effect.gen(function*() {
      const flaky = yield* makeFlaky
      yield* Effect.gen(function*() {
        flaky.control.broken = true
        const unsaved = yield* session
        yield* signOut
        flaky.control.broken = false
        yield* TestClock.adjust("10 minutes")
        assert.deepStrictEqual(yield* flaky.memory.read, { generation: 0, fence: 0, session: Option.none() })

        flaky.control.broken = true
        yield* session
        flaky.control.broken = false
        const other = new Session.Session({ ...unsaved, generation: 7 })
        assert.isTrue(yield* flaky.memory.commit(other, 0))
        yield* TestClock.adjust("10 minutes")
        assert.strictEqual((yield* flaky.memory.read).generation, 7)
      }).pipe(provideWith(flaky.layer))
    }))

  it.effect("has failed when it does not answer for ten seconds", () =>
    Effect.gen(function*() {
      const flaky = yield* makeFlaky
      yield* Effect.gen(function*() {
        flaky.control.hangs = true
        const caller = yield* Effect.forkChild(session, { startImmediately: true })
        yield* TestClock.adjust("20 seconds")
        assert.isTrue(Exit.isSuccess(yield* Fiber.await(caller)))

        const ending = yield* Effect.forkChild(signOut, { startImmediately: true })
        yield* TestClock.adjust("30 seconds")
        const outcome = yield* Fiber.join(ending)
        assert.strictEqual(outcome._tag === "Forgotten" && outcome.error.reason._tag, "StoreFailure")
        assert.deepStrictEqual(yield* received, ["authorize", "expire"])
      }).pipe(provideWith(flaky.layer))
    }))

  it.effect("does not bring a session back that is being signed out of", () =>
    Effect.gen(function*() {
      const flaky = yield* makeFlaky
      yield* Effect.gen(function*() {
        yield* session
        flaky.control.delay = 5
        const ending = yield* Effect.forkChild(signOut, { startImmediately: true })
        const caller = yield* Effect.forkChild(accessToken, { startImmediately: true })
        for (let i = 0; i < 20; i++) yield* TestClock.adjust(5)

        assert.strictEqual((yield* Fiber.join(ending))._tag, "Expired")
        assert.strictEqual(yield* Fiber.join(caller), "access-2")
        assert.deepStrictEqual(yield* received, ["authorize", "expire", "authorize"])
      }).pipe(provideWith(flaky.layer))
    }))

  it.effect("does not keep the authority from ending the session", () =>
    Effect.gen(function*() {
      const flaky = yield* makeFlaky
      yield* Effect.gen(function*() {
        yield* session
        flaky.control.broken = true

        assert.strictEqual((yield* signOut)._tag, "Forgotten")
        assert.deepStrictEqual(yield* received, ["authorize", "expire"])
      }).pipe(provideWith(flaky.layer))
    }))
})

describe("accounts", () => {
  it.effect("in one program see their own sessions only", () =>
    Effect.gen(function*() {
      const other = Effect.provide(accessToken, TenovosAuth.layer({ ...options, username: "bob" }))
      const tokens = [yield* accessToken, yield* other, yield* Effect.provide(other, TenovosAuth.layer(options))]

      assert.strictEqual(new Set(tokens).size, 3)
      assert.deepStrictEqual(yield* received, ["authorize", "authorize", "authorize"])
    }).pipe(provideAuth()))

  it.effect("that can't be sent are refused before anything is", () =>
    Effect.gen(function*() {
      for (
        const [what, wrong] of [
          ["API key", { apiKey: Redacted.make("key\ncanary") }],
          ["API key", { apiKey: Redacted.make("") }],
          ["API key", { apiKey: Redacted.make("schlüssel✓canary") }],
          ["endpoint URL", { endpointUrl: "canary.example/v1" }],
          ["endpoint URL", { endpointUrl: "file:///canary" }]
        ] as const
      ) {
        const error = yield* Effect.flip(Effect.provide(accessToken, TenovosAuth.layer({ ...options, ...wrong })))

        assert.strictEqual(error.reason._tag, "CredentialsRejected")
        assert.include(error.message, what)
        assert.notInclude(inspect(error), "canary")
      }
      assert.deepStrictEqual(yield* received, [])
    }).pipe(provideAuth()))
})

describe("signing out while others act", () => {
  it.effect("goes on when whoever asked for it gives up, and a second one joins it", () =>
    Effect.gen(function*() {
      const gate = yield* Deferred.make<void>()
      const script: ScriptedAuthority.Script = (request, index) =>
        kindOf(request) === "expire"
          ? Effect.andThen(Deferred.await(gate), healthy(request, index))
          : healthy(request, index)
      yield* Effect.gen(function*() {
        yield* session
        const first = yield* Effect.forkChild(signOut, { startImmediately: true })
        yield* Fiber.interrupt(first)
        const second = yield* Effect.forkChild(signOut, { startImmediately: true })
        yield* Deferred.succeed(gate, undefined)

        assert.strictEqual((yield* Fiber.join(second))._tag, "Expired")
        assert.deepStrictEqual(yield* received, ["authorize", "expire"])
      }).pipe(provideAuth(script))
    }))

  it.effect("does not send credentials again that were refused meanwhile", () =>
    Effect.gen(function*() {
      const gate = yield* Deferred.make<void>()
      yield* Effect.gen(function*() {
        const first = yield* Effect.forkChild(Effect.flip(accessToken), { startImmediately: true })
        const ending = yield* Effect.forkChild(signOut, { startImmediately: true })
        const second = yield* Effect.forkChild(Effect.flip(accessToken), { startImmediately: true })
        yield* Deferred.succeed(gate, undefined)

        yield* Fiber.join(ending)
        assert.strictEqual((yield* Fiber.join(first)).reason._tag, "SessionExpired")
        assert.strictEqual((yield* Fiber.join(second)).reason._tag, "CredentialsRejected")
        assert.deepStrictEqual(yield* received, ["authorize"])
      }).pipe(provideAuth(() => Effect.andThen(Deferred.await(gate), refuse(401))))
    }))

  it.effect("calls off an exchange that rests between attempts", () =>
    Effect.gen(function*() {
      const waiter = yield* Effect.forkChild(Effect.flip(accessToken), { startImmediately: true })
      yield* settled
      const ending = yield* Effect.forkChild(signOut, { startImmediately: true })
      yield* settled

      assert.strictEqual((yield* Fiber.join(ending))._tag, "NoSession")
      assert.strictEqual((yield* Fiber.join(waiter)).reason._tag, "SessionExpired")
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(yield* received, ["authorize"])
    }).pipe(provideAuth(() => Effect.succeed(new Response("", { status: 503 })))))

  it.effect("is not confirmed by a page of somebody else", () =>
    Effect.gen(function*() {
      yield* session
      const outcome = yield* signOut

      assert.strictEqual(outcome._tag === "Forgotten" && outcome.error.reason._tag, "InvalidResponse")
    }).pipe(provideAuth((request, index) =>
      kindOf(request) === "expire" ? Effect.succeed(new Response("<html>ok</html>")) : healthy(request, index)
    )))
})

describe("windows", () => {
  it.effect("renew in the background first, and make callers wait only at the end", () =>
    Effect.gen(function*() {
      const auth = yield* TenovosAuth.TenovosAuth
      yield* auth.session
      yield* TestClock.adjust("56 minutes")
      const early = yield* auth.serve()
      yield* settled
      const next = yield* auth.serve()

      assert.deepStrictEqual([early.reason, early.session.generation], ["Cached", 1])
      assert.deepStrictEqual([next.reason, next.session.generation], ["Cached", 2])

      yield* TestClock.adjust("1 hour")
      const late = yield* auth.serve()
      assert.deepStrictEqual([late.reason, late.session.generation], ["Refreshed", 3])
    }).pipe(provideAuth()))

  it.effect("serve the current token for as long as it lives while its renewal fails, and say so", () =>
    Effect.gen(function*() {
      const auth = yield* TenovosAuth.TenovosAuth
      yield* auth.session
      yield* TestClock.adjust("56 minutes")
      yield* auth.session
      const reasons: Array<string> = []
      for (let minute = 56; minute < 60; minute++) {
        reasons.push((yield* auth.serve()).reason)
        yield* TestClock.adjust("59 seconds")
      }
      assert.deepStrictEqual([reasons[0], new Set(reasons).has("Stale")], ["Renewing", true])

      yield* TestClock.adjust("1 minute")
      const waiter = yield* Effect.forkChild(Effect.flip(auth.session), { startImmediately: true })
      yield* TestClock.adjust("3 minutes")
      assert.strictEqual((yield* Fiber.join(waiter)).reason._tag, "Unavailable")
    }).pipe(
      provideAuth((request, index) =>
        kindOf(request) === "authorize" ? healthy(request, index) : Effect.succeed(new Response("", { status: 503 }))
      )
    ))

  it.effect("can be had otherwise: a minimum life, or a renewal at once", () =>
    Effect.gen(function*() {
      const auth = yield* TenovosAuth.TenovosAuth
      yield* auth.session
      yield* TestClock.adjust("20 minutes")

      assert.strictEqual((yield* auth.sessionWith({ minimumLife: "40 minutes" })).generation, 1)
      assert.strictEqual((yield* auth.sessionWith({ minimumLife: "41 minutes" })).generation, 2)
      // More than a new token has: three quarters of its life will do, or there would be no end.
      assert.strictEqual((yield* auth.sessionWith({ minimumLife: "2 hours" })).generation, 2)
      assert.strictEqual((yield* auth.sessionWith({ forceRefresh: true })).generation, 3)
    }).pipe(provideAuth()))

  it.effect("are kept without anybody asking, by a policy that keeps fresh", () =>
    Effect.gen(function*() {
      const auth = yield* TenovosAuth.TenovosAuth
      yield* TestClock.adjust("1 day")
      assert.deepStrictEqual(yield* received, [])

      yield* auth.session
      for (let hour = 0; hour < 24; hour++) yield* TestClock.adjust("1 hour")
      const served = yield* auth.serve()

      assert.include(["Cached", "Renewing"], served.reason)
      assert.isAtLeast(served.session.generation, 24)
      assert.isAtMost(served.session.generation, 28)
    }).pipe(Effect.provide(
      TenovosAuth.layer({ ...options, policy: RefreshPolicy.batch }).pipe(
        Layer.provideMerge(ScriptedAuthority.layer(healthy))
      )
    )))
})

it.effect("the session at hand can be read without an effect, unless there is a renewal to start", () =>
  Effect.gen(function*() {
    const auth = yield* TenovosAuth.TenovosAuth
    assert.isUndefined(auth.current())
    const session = yield* auth.session
    assert.strictEqual(auth.current(), session)

    yield* TestClock.adjust("56 minutes")
    assert.isUndefined(auth.current())
    yield* auth.session
    assert.strictEqual(auth.current(), session)
    yield* settled
    assert.strictEqual(auth.current()?.generation, 2)

    yield* auth.invalidate(session)
    assert.isDefined(auth.current())
    yield* auth.invalidate(yield* auth.session)
    assert.isUndefined(auth.current())
    yield* auth.session
    assert.strictEqual(auth.current()?.generation, 3)
    yield* auth.signOut
    assert.isUndefined(auth.current())
  }).pipe(provideAuth()))

describe("what can be watched", () => {
  it.effect("events tell what happened, and why", () =>
    Effect.gen(function*() {
      const auth = yield* TenovosAuth.TenovosAuth
      const events: Array<string> = []
      yield* auth.events.pipe(
        Stream.runForEach((event) => Effect.sync(() => events.push(event._tag))),
        Effect.forkScoped({ startImmediately: true })
      )
      yield* settled
      const first = yield* auth.session
      yield* TestClock.adjust("28 days")
      yield* auth.session
      yield* auth.invalidate(first)
      yield* auth.invalidate(yield* auth.session)
      yield* auth.session
      yield* auth.signOut
      yield* settled

      assert.deepStrictEqual(events, [
        "SignedIn",
        "Refreshed",
        "RefreshTokenExpiring",
        "Invalidated",
        "Refreshed",
        "SignedOut"
      ])
    }).pipe(provideAuth()))

  it.effect("events tell of failures, and of credentials that are refused", () =>
    Effect.gen(function*() {
      const auth = yield* TenovosAuth.TenovosAuth
      const events: Array<string> = []
      yield* auth.events.pipe(
        Stream.runForEach((event) => Effect.sync(() => events.push(event._tag))),
        Effect.forkScoped({ startImmediately: true })
      )
      yield* settled
      const waiter = yield* Effect.forkChild(Effect.flip(auth.session), { startImmediately: true })
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(waiter)
      yield* settled

      assert.deepStrictEqual(events, ["RefreshFailed", "CredentialsRejected"])
      assert.strictEqual((yield* auth.state)._tag, "Rejected")
    }).pipe(provideAuth((_, index) => index === 0 ? Effect.fail(new ScriptedAuthority.Dropped()) : refuse(401))))

  it.effect("the state, now and as it changes", () =>
    Effect.gen(function*() {
      const auth = yield* TenovosAuth.TenovosAuth
      const states: Array<string> = []
      yield* auth.changes.pipe(
        Stream.runForEach((state) => Effect.sync(() => states.push(state._tag))),
        Effect.forkScoped({ startImmediately: true })
      )
      yield* settled
      assert.strictEqual((yield* auth.state)._tag, "SignedOut")
      yield* auth.session
      assert.strictEqual((yield* auth.state)._tag, "Active")
      yield* auth.signOut
      yield* settled

      assert.deepStrictEqual(states, ["SignedOut", "Renewing", "Active", "SignedOut", "SignedOut"])
    }).pipe(provideAuth()))

  it.effect("metrics count exchanges by kind and outcome", () =>
    Effect.gen(function*() {
      yield* session
      yield* TestClock.adjust("1 hour")
      yield* session
      yield* signOut
      const counters = (yield* Metric.snapshot).filter((metric) => metric.id === "tenovos_auth_exchanges_total")

      assert.deepStrictEqual(
        new Set(counters.map(({ attributes }) => `${attributes?.["kind"]} ${attributes?.["outcome"]}`)),
        new Set(["authorize success", "refresh success", "expire success"])
      )
    }).pipe(provideAuth(), Effect.provideService(Metric.MetricRegistry, new Map())))
})

describe("headers", () => {
  it.effect("are the three, where there is an id token", () =>
    Effect.gen(function*() {
      const headers = yield* TenovosAuth.TenovosAuth.use((auth) => auth.headers)

      assert.deepStrictEqual({ ...headers }, {
        "x-api-key": "key",
        accesstoken: "access",
        authorization: "identity"
      })
    }).pipe(
      provideAuth(() =>
        Effect.succeed(Response.json({ session: { accessToken: "access", authorization: "identity" } }))
      )
    ))
})

describe("layerConfig", () => {
  const fromEnvironment = (env: Record<string, string>) =>
    Effect.provide(
      TenovosAuth.layerConfig().pipe(
        Layer.provideMerge(ScriptedAuthority.layer(healthy)),
        Layer.provide(ConfigProvider.layer(ConfigProvider.fromEnvRecord(env)))
      )
    )

  const environment = { TENOVOS_API_KEY: "key", TENOVOS_USERNAME: "ada", TENOVOS_PASSWORD: "secret" }

  it.effect("reads the four variables", () =>
    Effect.gen(function*() {
      yield* accessToken
      const [request] = yield* ScriptedAuthority.ScriptedAuthority.use((authority) => authority.received)

      assert.strictEqual(request?.url.href, "https://api.uat.tenovos.io/v1/auth/token")
      assert.strictEqual(request?.headers["x-api-key"], "key")
      assert.deepStrictEqual(JSON.parse(request?.body ?? ""), { username: "ada", password: "secret" })
    }).pipe(fromEnvironment({ ...environment, TENOVOS_ENDPOINT_URL: "https://api.uat.tenovos.io/v1" })))

  it.effect("takes the production endpoint by default", () =>
    Effect.gen(function*() {
      yield* accessToken
      const [request] = yield* ScriptedAuthority.ScriptedAuthority.use((authority) => authority.received)

      assert.strictEqual(request?.url.href, "https://api.tenovos.io/v1/auth/token")
    }).pipe(fromEnvironment(environment)))

  for (
    const [name, env] of [
      ["a missing API key", { TENOVOS_USERNAME: "ada", TENOVOS_PASSWORD: "p-canary" }],
      ["an empty password", { ...environment, TENOVOS_PASSWORD: "" }],
      ["an endpoint that is no URL", { ...environment, TENOVOS_ENDPOINT_URL: "canary" }],
      ["an endpoint of another protocol", { ...environment, TENOVOS_ENDPOINT_URL: "ftp://canary/v1" }]
    ] as const
  ) {
    it.effect(`fails with a ConfigError for ${name}`, () =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(fromEnvironment(env)(accessToken))

        assert.strictEqual(error._tag, "ConfigError")
        assert.notInclude(String(error), "canary")
      }))
  }
})
