/**
 * Keeps the session in Redis, for a fleet.
 *
 * One hash holds the record, its generation and the lease, so they are lost together or not at all, and Redis Cluster keeps
 * them on one node. It never expires, so a Redis that evicts what does (`volatile-lru`) leaves it alone. Every change is
 * one script. Leases run on the clock of the server. Changes are published on the channel that is named as the key.
 *
 * **Gotchas**
 *
 * - A change is as durable as the server makes it: with `appendonly yes` and `appendfsync always` it is on disk when it
 *   is answered. When the server loses it, the session is stored again by whoever holds it.
 * - A client that queues commands while it has no connection may send them later than anybody waits for them. They are
 *   refused then where the record has moved on.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redis from "effect/persistence/Redis"
import * as Predicate from "effect/Predicate"
import * as Queue from "effect/Queue"
import * as RcRef from "effect/RcRef"
import * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import { PlaceFailure, toInteger } from "./internal/place.ts"
import * as signal from "./internal/signal.ts"
import * as SessionBackend from "./SessionBackend.ts"
import { SessionStore } from "./SessionStore.ts"

/**
 * Under which key the session is.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options extends SessionBackend.Options {
  /** The key of the hash, and the name of the channel. Defaults to `tenovos:session`. */
  readonly key?: string | undefined
}

/**
 * The store in a Redis, and what it listens by until the scope closes.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function*(
  options?: Options
): Effect.fn.Return<SessionStore["Service"], never, Redis.Redis | Scope.Scope> {
  const redis = yield* Redis.Redis
  const key = options?.key ?? "tenovos:session"
  const unreadable = `${key}:unreadable`

  const changes = signal.make<void>()
  /** One subscription for all who listen, begun anew when it is lost. */
  const subscription = yield* RcRef.make({
    acquire: Effect.flatMap(
      redis.subscribe(key),
      (messages) => Effect.forever(Effect.andThen(Queue.take(messages), Effect.sync(() => changes.send())))
    ).pipe(
      Effect.scoped,
      Effect.ignore,
      Effect.andThen(Effect.sleep(patience)),
      Effect.forever,
      Effect.forkScoped
    ),
    idleTimeToLive: "1 minute"
  })

  return yield* SessionBackend.make({
    place: key,
    read: Effect.gen(function*() {
      const [generation, text, age, fence] = yield* secretly(redis.eval(read)(key))
      return {
        generation: yield* toInteger(generation),
        text,
        age: yield* toInteger(age),
        fence: yield* toInteger(fence)
      }
    }),
    write: ({ generation, text }, { expected, fence }) =>
      Effect.map(secretly(redis.eval(write)(key, expected, fence, generation, text)), (done) => done === 1),
    setAside: ({ generation, text }) =>
      Effect.as(secretly(redis.send("HSET", unreadable, String(generation), text)), `the hash ${unreadable}`),
    acquire: (life) =>
      Effect.flatMap(
        secretly(redis.eval(acquire)(key, life)),
        (acquired) =>
          acquired === null
            ? Effect.succeedNone
            : Effect.map(toInteger(acquired[0]), (fence) => Option.some({ fence, isGap: acquired[1] === 1 }))
      ),
    extend: (fence, life) => Effect.map(secretly(redis.eval(extend)(key, fence, life)), (done) => done === 1),
    release: (fence, leavesGap) => secretly(redis.eval(release)(key, fence, leavesGap)),
    listen: Effect.andThen(
      RcRef.get(subscription),
      Effect.map(signal.hear(changes), (changed) => Effect.asVoid(Effect.timeoutOption(changed, patience)))
    )
  }, options)
})

/** Messages may be lost, and so whoever waits for one looks by himself so often. */
const patience = Duration.seconds(1)

// Numbers are compared as the texts they came as: Lua would round those of more than 14 digits when it prints them.

const read = Redis.script((key: string) => [key], {
  numberOfKeys: 1,
  lua: `
local row = redis.call('HMGET', KEYS[1], 'generation', 'text', 'written', 'fence')
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
return { row[1] or '0', row[2] or '', string.format('%.0f', math.max(0, now - (tonumber(row[3]) or now))), row[4] or '0' }`
}).withReturnType<readonly [generation: string, text: string, age: string, fence: string]>()

const write = Redis.script(
  (key: string, expected: number, fence: number | undefined, generation: number, text: string) => [
    key,
    expected,
    fence ?? "",
    generation,
    text
  ],
  {
    numberOfKeys: 1,
    lua: `
if (redis.call('HGET', KEYS[1], 'generation') or '0') ~= ARGV[1] then return 0 end
if ARGV[2] ~= '' and redis.call('HGET', KEYS[1], 'fence') ~= ARGV[2] then return 0 end
local time = redis.call('TIME')
redis.call('HSET', KEYS[1], 'generation', ARGV[3], 'text', ARGV[4], 'written', string.format('%.0f', time[1] * 1000 + time[2] / 1000))
redis.call('HDEL', KEYS[1], 'gap')
redis.pcall('PUBLISH', KEYS[1], 'written')
return 1`
  }
).withReturnType<number>()

// Fences begin at the clock's microseconds, so that none comes again after the hash was lost.
const acquire = Redis.script((key: string, life: Duration.Duration) => [key, Duration.toMillis(life)], {
  numberOfKeys: 1,
  lua: `
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local ends = tonumber(redis.call('HGET', KEYS[1], 'lease') or '0')
if now < ends then return false end
local last = tonumber(redis.call('HGET', KEYS[1], 'fence') or '0')
local fence = string.format('%.0f', math.max(last + 1, now))
redis.call('HSET', KEYS[1], 'fence', fence, 'lease', string.format('%.0f', now + ARGV[1] * 1000))
return { fence, 1 - redis.call('HSETNX', KEYS[1], 'gap', fence) }`
}).withReturnType<readonly [fence: string, isGap: number] | null>()

const extend = Redis.script(
  (key: string, fence: number, life: Duration.Duration) => [key, fence, Duration.toMillis(life)],
  {
    numberOfKeys: 1,
    lua: `
if redis.call('HGET', KEYS[1], 'fence') ~= ARGV[1] then return 0 end
if redis.call('HEXISTS', KEYS[1], 'lease') == 0 then return 0 end
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
redis.call('HSET', KEYS[1], 'lease', string.format('%.0f', now + ARGV[2] * 1000))
return 1`
  }
).withReturnType<number>()

const release = Redis.script(
  (key: string, fence: number, leavesGap: boolean) => [key, fence, leavesGap ? "gap" : ""],
  {
    numberOfKeys: 1,
    lua: `
if redis.call('HGET', KEYS[1], 'fence') ~= ARGV[1] then return end
redis.call('HDEL', KEYS[1], 'lease')
if ARGV[2] == '' then redis.call('HDEL', KEYS[1], 'gap') end
redis.pcall('PUBLISH', KEYS[1], 'released')`
  }
)

const secretly = <A, R>(effect: Effect.Effect<A, Redis.RedisError, R>): Effect.Effect<A, PlaceFailure, R> =>
  Effect.mapError(effect, ({ cause }) => new PlaceFailure({ message: describe(cause) }))

/**
 * In words that repeat nothing of what was sent: clients put the command that failed into their errors, and Redis quotes one
 * that it does not know. What else it replies are sentences of its own.
 */
const describe = (cause: unknown): string => {
  if (Predicate.isTagged(cause, "RedisError") && "cause" in cause) return describe(cause.cause)
  if (!Predicate.isError(cause)) return "Redis failed"
  const [reply] = sentence.exec(cause.message) ?? []
  if (reply !== undefined) return `Redis says: ${reply.trim()}`
  // What made the client of `NodeRedis` give up.
  if (Predicate.hasProperty(cause, "originalError")) return describe(cause.originalError)
  const code = Predicate.hasProperty(cause, "code") && Predicate.isString(cause.code) ? ` ${cause.code}` : ""
  return `Redis can't be reached: ${cause.constructor.name}${code}`
}

/** Up to the first quotation. */
const sentence = new RegExp(
  "^(?:ERR|WRONGTYPE|READONLY|NOAUTH|WRONGPASS|NOPERM|OOM|MISCONF|LOADING|BUSY|CLUSTERDOWN|MASTERDOWN|NOREPLICAS|MOVED) " +
    "(?:[^'`\"\n]|(?<=\\w)'(?=\\w))*"
)

/**
 * Provides the store in the program's own Redis. {@link layerLazy} is for one that may be down when the program
 * starts.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options?: Options): Layer.Layer<SessionStore, never, Redis.Redis> =>
  Layer.effect(SessionStore, make(options))

/**
 * The store in a Redis that is connected when it is first needed, and again if that failed.
 *
 * **When to use**
 *
 * The layers of the usual clients fail when their server is down, or wait for it. With this one the program comes up all the
 * same, and operations of the store fail until there is a server.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerLazy = <E, R>(
  redis: Layer.Layer<Redis.Redis, E, R>,
  options?: Options
): Layer.Layer<SessionStore, never, R> => layer(options).pipe(Layer.provide(Layer.effect(Redis.Redis, makeLazy(redis))))

const makeLazy = Effect.fnUntraced(function*<E, R>(
  layer: Layer.Layer<Redis.Redis, E, R>
): Effect.fn.Return<Redis.Redis["Service"], never, R | Scope.Scope> {
  const context = yield* Effect.context<R>()
  const scope = yield* Effect.scope
  const oneAtATime = yield* Semaphore.make(1)
  let connected: Redis.Redis["Service"] | undefined

  const connection = Effect.suspend(() => connected === undefined ? connect : Effect.succeed(connected)).pipe(
    oneAtATime.withPermits(1)
  )

  const connect = Effect.gen(function*() {
    const attempt = yield* Scope.fork(scope)
    return yield* Layer.buildWithScope(Layer.fresh(layer), attempt).pipe(
      Effect.provideContext(context),
      Effect.onError((cause) => Scope.close(attempt, Exit.failCause(cause)))
    )
  }).pipe(
    Effect.map((built) => connected = Context.get(built, Redis.Redis)),
    Effect.mapError((cause) => new Redis.RedisError({ cause }))
  )

  return Redis.Redis.of({
    send: (...command) => Effect.flatMap(connection, (redis) => redis.send(...command)),
    eval: (script) => (...params) => Effect.flatMap(connection, (redis) => redis.eval(script)(...params)),
    reserve: Effect.flatMap(connection, (redis) => redis.reserve),
    subscribe: (channel) =>
      Effect.matchEffect(connection, {
        onFailure: (error) => Effect.tap(Queue.unbounded<Redis.RedisMessage, Redis.RedisError>(), Queue.fail(error)),
        onSuccess: (redis) => redis.subscribe(channel)
      })
  })
})
