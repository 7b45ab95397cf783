// One process of a fleet: calls the API when it is told to, with the session that it shares with the others.
import * as Credentials from "@effect-tenovos/core/Credentials"
import * as SessionStore from "@effect-tenovos/core/SessionStore"
import * as SessionStoreFile from "@effect-tenovos/core/SessionStoreFile"
import * as SessionStoreRedis from "@effect-tenovos/core/SessionStoreRedis"
import * as TenovosAuth from "@effect-tenovos/core/TenovosAuth"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodePath from "@effect/platform-node/NodePath"
import * as NodeRedis from "@effect/platform-node/NodeRedis"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { openSync } from "node:fs"
import type { Command, Order, Reply, Setup, Step } from "./messages.ts"

const setup: Setup = JSON.parse(process.argv[2] ?? "")
let ahead = setup.offset
let order: Order | undefined

const tell = (reply: Reply) => process.send?.(reply)

/** Dies or sleeps here, if that was ordered and nobody was faster. */
const pass = (step: Step) =>
  Effect.sync(() => {
    if (order?.step !== step) return
    const { action, claim } = order
    order = undefined
    try {
      openSync(claim, "wx")
    } catch {
      return
    }
    process.kill(process.pid, action === "die" ? "SIGKILL" : "SIGSTOP")
  })

const clock = Effect.map(Clock.Clock, (real): Clock.Clock => {
  const now = () => real.currentTimeMillisUnsafe() + ahead
  const nanos = () => real.currentTimeNanosUnsafe() + BigInt(ahead) * 1_000_000n
  return {
    currentTimeMillisUnsafe: now,
    currentTimeMillis: Effect.sync(now),
    currentTimeNanosUnsafe: nanos,
    currentTimeNanos: Effect.sync(nanos),
    monotonicTimeNanosUnsafe: () => real.monotonicTimeNanosUnsafe(),
    monotonicTimeNanos: real.monotonicTimeNanos,
    sleep: (duration) => real.sleep(duration)
  }
})

const leaseLife = "3 seconds"
const Place = setup.store._tag === "redis"
  ? SessionStoreRedis.layer({ leaseLife }).pipe(Layer.provide(NodeRedis.layer({ url: setup.store.url })))
  : SessionStoreFile.layer({ folder: setup.store.folder, leaseLife }).pipe(
    Layer.provide([NodeFileSystem.layer, NodePath.layer]),
    Layer.provide(Logger.layer([]))
  )

const Store = Layer.effect(
  SessionStore.SessionStore,
  Effect.map(SessionStore.SessionStore, (store) => ({
    ...store,
    lease: Effect.tap(store.lease, (lease) => Option.isSome(lease) ? pass("leased") : Effect.void),
    commit: (...args) => Effect.tap(store.commit(...args), () => pass("committed"))
  }))
).pipe(Layer.provide(Place))

const Http = Layer.effect(
  HttpClient.HttpClient,
  Effect.map(
    HttpClient.HttpClient,
    HttpClient.transform((response, { method, url }) =>
      method === "POST" && url.endsWith("/auth/token")
        ? pass("sending").pipe(Effect.andThen(response), Effect.tap(() => pass("answered")))
        : response
    )
  )
).pipe(Layer.provide(FetchHttpClient.layer))

const runtime = ManagedRuntime.make(
  TenovosAuth.layer(
    Credentials.make({
      endpointUrl: setup.endpointUrl,
      apiKey: Redacted.make(setup.apiKey),
      username: setup.username,
      password: Redacted.make(setup.password)
    }),
    Store
  ).pipe(
    Layer.provideMerge(Http),
    Layer.provideMerge(Layer.effect(Clock.Clock, clock))
  )
)

const call = (id: number) =>
  Effect.gen(function*() {
    const startedAt = performance.now()
    const { headers, session } = yield* TenovosAuth.TenovosAuth.use((auth) => auth.serve())
    const milliseconds = performance.now() - startedAt
    const { status } = yield* HttpClient.get(`${session.endpointUrl}/security/template`, { headers })
    return { _tag: "called", id, status, generation: session.generation, milliseconds } as const
  }).pipe(
    Effect.catch((error) =>
      Effect.succeed({ _tag: "called", id, status: 0, generation: 0, milliseconds: 0, problem: String(error) } as const)
    )
  )

process.on("message", (command: Command) => {
  switch (command._tag) {
    case "advance":
      ahead += command.milliseconds
      break
    case "order":
      order = command.order
      break
    case "call":
      runtime.runPromise(call(command.id)).then(tell)
  }
})
process.on("disconnect", () => process.exit())

runtime.runPromise(Effect.void).then(() => tell({ _tag: "ready" }))
