import { type AuthError, SessionStore, SessionStoreRedis } from "@effect-tenovos/core"
import { SessionStoreLaws } from "@effect-tenovos/testing"
import * as NodeRedis from "@effect/platform-node/NodeRedis"
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as Redis from "effect/persistence/Redis"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import { randomUUID } from "node:crypto"
import { afterAll, beforeAll } from "vitest"
import * as servers from "../support/redis.ts"
import { canary, causeOf, isStored, race, session, type Store } from "../support/stores.ts"
import * as wire from "../support/wire.ts"

/** The server of tests that do nothing to it but use a key. */
let shared = servers.given ?? ""
const life = Scope.makeUnsafe()
beforeAll(async () => {
  if (servers.given !== undefined || servers.noneAtAll !== undefined) return
  shared = (await Effect.runPromise(Scope.provide(servers.started(), life))).url
})
afterAll(() => Effect.runPromise(Scope.close(life, Exit.void)))

const storeOf = (layer: Layer.Layer<SessionStore.SessionStore, Redis.RedisError>): Effect.Effect<
  Store,
  Redis.RedisError,
  Scope.Scope
> => Effect.map(Layer.build(layer), (context) => Context.get(context, SessionStore.SessionStore))

/** The client tells about each connection that it can't have. */
const connection = (url: string) => NodeRedis.layer({ url }).pipe(Layer.provide(Logger.layer([])))

/** A store on a connection of its own. */
const open = (url: string, options?: SessionStoreRedis.Options) =>
  storeOf(SessionStoreRedis.layer(options).pipe(Layer.provide(connection(url))))

/** One that comes up without a server. */
const openLazily = (url: string) => storeOf(SessionStoreRedis.layerLazy(connection(url)))

/** The reply to a command. */
const send = (url: string, command: string, ...args: ReadonlyArray<string>) =>
  Redis.Redis.use((redis) => redis.send(command, ...args)).pipe(Effect.provide(connection(url)))

const leaseOf = (store: Store) => Effect.flatMap(store.lease, Effect.fromOption)

const onOwnServer = it.live.skipIf(servers.missing !== undefined)

/** Gives up where a client would wait for its connection to come back. */
const bounded = <A, E>(operation: Effect.Effect<A, E>) => Effect.timeout(operation, "300 millis")

const eventually = <A, E>(operation: Effect.Effect<A, E>): Effect.Effect<A, unknown> =>
  Effect.retry(bounded(operation), { schedule: Schedule.spaced("50 millis"), times: 100 })

const operations = (store: Store): ReadonlyArray<Effect.Effect<void, AuthError.AuthError, Scope.Scope>> => [
  Effect.asVoid(store.read),
  Effect.asVoid(store.clear(0)),
  Effect.asVoid(store.commit(session(1), 0)),
  Effect.asVoid(store.lease)
]

describe("laws", () => {
  const place = Effect.sync(() => {
    const key = randomUUID()
    return { open: Effect.suspend(() => open(shared, { key, leaseLife: "1 second" })), leaseLife: "1 second" } as const
  })
  for (const law of [...SessionStoreLaws.laws, ...SessionStoreLaws.leaseLaws]) {
    it.live(law.name, () => Effect.flatMap(place, law.check))
  }
})

describe("lease", () => {
  it.live("is held by one of 16 connections at a time", () =>
    Effect.gen(function*() {
      const key = randomUUID()
      const stores = yield* Effect.replicateEffect(open(shared, { key }), 16)

      assert.deepStrictEqual(yield* race(stores, 20), { given: 320, most: 1 })
      assert.strictEqual((yield* stores[0]!.read).generation, 320)
    }))

  onOwnServer(
    "does not come again when the data is lost, and who had it can't commit any more",
    () =>
      Effect.gen(function*() {
        const { url } = yield* servers.started()
        const [store, other] = [yield* open(url), yield* open(url)]
        const lease = yield* leaseOf(store)
        yield* store.commit(session(1), 0, lease)
        yield* send(url, "FLUSHALL")

        assert.isFalse(yield* store.commit(session(2), 1, lease))
        assert.isFalse(yield* store.commit(session(2), 0, lease))
        const next = yield* leaseOf(other)
        assert.isAbove(next.fence, lease.fence)
        assert.isFalse(yield* store.commit(session(2), 0, lease))
        assert.isTrue(yield* other.commit(session(2), 0, next))
      })
  )
})

describe("a server that goes away", () => {
  onOwnServer("has all that it was given when it comes back with an append-only file", () =>
    Effect.gen(function*() {
      const server = yield* servers.started("--appendonly", "yes", "--appendfsync", "always")
      const store = yield* open(server.url)
      const lease = yield* leaseOf(store)
      yield* store.commit(session(1), 0, lease)
      yield* server.kill
      assert.isTrue(Exit.isFailure(yield* Effect.exit(bounded(store.read))))
      yield* server.start

      assert.isTrue(isStored(yield* eventually(store.read), session(1)))
      assert.isTrue(yield* store.commit(session(2), 1, lease))
    }))

  onOwnServer("is empty when it comes back without, and stores the session again", () =>
    Effect.gen(function*() {
      const server = yield* servers.started()
      const [store, other] = [yield* open(server.url), yield* open(server.url)]
      const lease = yield* leaseOf(store)
      yield* store.commit(session(5), 0, lease)
      yield* server.kill
      yield* server.start

      assert.strictEqual((yield* eventually(store.read)).generation, 0)
      assert.isFalse(yield* store.commit(session(6), 5, lease))
      assert.isAbove((yield* leaseOf(other)).fence, lease.fence)
      assert.isTrue(yield* store.commit(session(6), 0))
    }))

  onOwnServer("does not keep a program from coming up, nor a store from coming back", () =>
    Effect.gen(function*() {
      const server = yield* servers.make()
      const failed = yield* Effect.flip(open(server.url))
      assert.strictEqual(failed._tag, "RedisError")
      const store = yield* openLazily(server.url)
      for (const operation of operations(store)) {
        assert.include(yield* causeOf(operation), "ECONNREFUSED")
      }
      const changed = yield* store.listen
      yield* server.start

      assert.isTrue(yield* store.commit(session(1), 0))
      assert.strictEqual((yield* store.read).generation, 1)
      yield* changed
    }))
})

describe("a network that is cut for some seconds", () => {
  onOwnServer("delays what was asked for, and loses nothing", () =>
    Effect.gen(function*() {
      const { port, url } = yield* servers.started()
      const path = yield* wire.to(port)
      const key = randomUUID()
      const store = yield* open(`redis://127.0.0.1:${path.port}`, { key })
      const other = yield* open(url, { key })
      yield* store.commit(session(1), 0)
      yield* path.stall
      assert.isTrue(Exit.isFailure(yield* Effect.exit(bounded(store.read))))
      yield* other.commit(session(2), 1)
      yield* path.mend

      assert.strictEqual((yield* store.read).generation, 2)
      assert.isTrue(yield* store.commit(session(3), 2))
    }))

  onOwnServer(
    "delivers late what nobody waits for any more, and what was overtaken is refused then",
    () =>
      Effect.gen(function*() {
        const { port, url } = yield* servers.started()
        const path = yield* wire.to(port)
        const key = randomUUID()
        const store = yield* open(`redis://127.0.0.1:${path.port}`, { key, leaseLife: "500 millis" })
        const other = yield* open(url, { key })
        const scope = yield* Scope.make()
        const lease = yield* Scope.provide(leaseOf(store), scope)
        yield* path.stall
        yield* Effect.exit(bounded(store.commit(session(9), 0, lease)))
        yield* Effect.sleep("600 millis")
        const next = yield* leaseOf(other)
        assert.isTrue(yield* other.commit(session(1), 0, next))
        yield* path.mend
        yield* store.read
        yield* Scope.close(scope, Exit.void)

        assert.isTrue(isStored(yield* other.read, session(1)))
        assert.isTrue(Option.isNone(yield* Effect.scoped(store.lease)))
      })
  )

  onOwnServer("may lose messages, but nobody who waits for one", () =>
    Effect.gen(function*() {
      const { port, url } = yield* servers.started()
      const path = yield* wire.to(port)
      const key = randomUUID()
      const store = yield* open(`redis://127.0.0.1:${path.port}`, { key })
      const other = yield* open(url, { key })
      const changed = yield* store.listen
      const awaken = Effect.gen(function*() {
        const waiter = yield* Effect.forkChild(Effect.timed(changed), { startImmediately: true })
        yield* other.clear((yield* other.read).generation)
        const [after] = yield* Fiber.join(waiter)
        return Duration.toMillis(after)
      })
      yield* eventually(Effect.filterOrFail(awaken, (after) => after < 250))
      yield* path.cut
      yield* path.mend

      assert.isBelow(yield* awaken, 1500)
      // The subscription has come back.
      yield* eventually(Effect.filterOrFail(awaken, (after) => after < 250))
    }))
})

describe("a server that refuses", () => {
  it.live("what is of another type is left as it is", () =>
    Effect.gen(function*() {
      const key = randomUUID()
      yield* send(shared, "SET", key, canary)
      const store = yield* open(shared, { key })

      for (const operation of operations(store)) {
        assert.include(yield* causeOf(operation), "WRONGTYPE")
      }
      assert.strictEqual(yield* send(shared, "GET", key), canary)
    }))

  it.live("what is no number is not read as one", () =>
    Effect.gen(function*() {
      const key = randomUUID()
      yield* send(shared, "HSET", key, "generation", canary, "text", canary)
      const store = yield* open(shared, { key })

      assert.include(yield* causeOf(store.read), "something else")
    }))

  onOwnServer("gives no lease, and so spends no refresh token, when it is read-only", () =>
    Effect.gen(function*() {
      const primary = yield* servers.started("--repl-diskless-sync-delay", "0")
      yield* Effect.flatMap(open(primary.url), (store) => store.commit(session(1), 0))
      const replica = yield* servers.started("--replicaof", "127.0.0.1", String(primary.port))
      const store = yield* open(replica.url)
      const replicated = Effect.filterOrFail(store.read, ({ generation }) => generation === 1)

      assert.isTrue(isStored(yield* eventually(replicated), session(1)))
      assert.include(yield* causeOf(store.lease), "READONLY You can't write against a read only replica")
      assert.include(yield* causeOf(store.clear(1)), "READONLY")
    }))

  onOwnServer("a wrong password is said to be one, and not what it was", () =>
    Effect.gen(function*() {
      const server = yield* servers.started("--requirepass", "right")
      const wrong = yield* openLazily(server.url.replace("//", `//:${canary}@`))
      const none = yield* openLazily(server.url)
      const right = yield* openLazily(server.url.replace("//", "//:right@"))

      assert.include(yield* causeOf(wrong.read), "WRONGPASS")
      assert.include(yield* causeOf(none.read), "NOAUTH")
      assert.isTrue(yield* right.commit(session(1), 0))
    }))

  onOwnServer("quotes what it does not know, which no error repeats", () =>
    Effect.gen(function*() {
      const server = yield* servers.started("--rename-command", "EVALSHA", "", "--rename-command", "HMGET", "")
      const store = yield* open(server.url, { key: canary })
      const quoted = yield* Effect.flip(send(server.url, "HMGET", canary))
      assert.include(String(quoted.cause), canary)

      assert.strictEqual(yield* causeOf(store.read), "Redis says: ERR unknown command")
      assert.strictEqual(yield* causeOf(store.commit(session(1), 0)), "Redis says: ERR unknown command")
    }))

  it.live("is believed where it does not let who may write publish", () =>
    Effect.gen(function*() {
      const key = randomUUID()
      const user = key.slice(0, 8)
      yield* send(shared, "ACL", "SETUSER", user, "on", ">p", "+@all", `~${key}*`, "resetchannels")
      const store = yield* open(shared.replace("//", `//${user}:p@`), { key })

      assert.isTrue(yield* store.commit(session(1), 0))
      yield* send(shared, "ACL", "DELUSER", user)
    }))
})

it.live("clients that put the command into their errors don't put it into those of the store", () =>
  Effect.gen(function*() {
    const refuse = (command: string, ...args: ReadonlyArray<string>) => {
      const cause = Object.assign(new Error(`${command} ${args.join(" ")} failed`), {
        command: { args },
        code: "ETIMEDOUT"
      })
      return Effect.fail(new Redis.RedisError({ cause }))
    }
    const redis = yield* Redis.make({
      // oxlint-disable-next-line typescript/consistent-type-assertions -- who sends a command says what its answer is
      send: (command, ...args) => command === "SCRIPT" ? Effect.succeed("sha" as never) : refuse(command, ...args),
      subscribe: () => refuse("SUBSCRIBE"),
      connect: refuse("HELLO")
    })
    const store = yield* storeOf(
      SessionStoreRedis.layer({ key: canary }).pipe(
        Layer.provide(Layer.succeed(Redis.Redis, redis))
      )
    )

    assert.strictEqual(yield* causeOf(store.commit(session(1), 0)), "Redis can't be reached: Error ETIMEDOUT")
    assert.strictEqual(yield* causeOf(store.read), "Redis can't be reached: Error ETIMEDOUT")
  }))

it.live("an unreadable record is copied to a hash beside it", () =>
  Effect.gen(function*() {
    const key = randomUUID()
    const store = yield* open(shared, { key })
    yield* send(shared, "HSET", key, "generation", "7", "text", `tenovos-session 1 plain ${canary}\n{}`)

    const { generation, unreadable } = yield* store.read
    assert.strictEqual(generation, 7)
    assert.include(yield* causeOf(Effect.fail(unreadable!)), `${key}:unreadable`)
    assert.strictEqual(yield* send(shared, "HGET", `${key}:unreadable`, "7"), `tenovos-session 1 plain ${canary}\n{}`)
    assert.isTrue(yield* store.commit(session(8), 7))
  }))
