/**
 * Keeps a session under a key of any `KeyValueStore`, for a program that has one, as in a browser.
 *
 * A `KeyValueStore` can't compare before it writes. So among those in a process that were made with the same
 * `KeyValueStore`, all that a session store promises holds. Among processes that share a place it does not: of two that write
 * at the same time both think that they did, and the later one stays, so a lease may be held twice, and a sign-out may be undone. What
 * it costs is a sign-in where a refresh token can be used only once, and a session that was signed out of. Processes share a
 * session through a file, Redis or SQL.
 *
 * A write is as atomic as the place makes it. One in files, as of `KeyValueStore.layerFileSystem`, leaves a damaged record
 * when its process is killed; `SessionStoreFile` leaves the old one.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as KeyValueStore from "effect/persistence/KeyValueStore"
import * as PlatformError from "effect/PlatformError"
import * as Semaphore from "effect/Semaphore"
import * as Ledger from "./internal/ledger.ts"
import { PlaceFailure } from "./internal/place.ts"
import * as SessionBackend from "./SessionBackend.ts"
import { SessionStore } from "./SessionStore.ts"

/**
 * Under which key the session is.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options extends SessionBackend.Options {
  /** Of the session. Defaults to `tenovos-session`. */
  readonly key?: string | undefined
}

/**
 * The store in a `KeyValueStore`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function*(
  options?: Options
): Effect.fn.Return<SessionStore["Service"], never, KeyValueStore.KeyValueStore> {
  const values = yield* KeyValueStore.KeyValueStore
  const key = options?.key ?? "tenovos-session"
  const inTurn = turnsOf(values).withPermit

  const read = Effect.gen(function*() {
    const text = yield* values.get(key)
    if (text === undefined) return Ledger.empty
    // Fences count up by one, so none that was ever given is higher than the time.
    return yield* Ledger.decode(text, { generation: 0, fence: yield* Clock.currentTimeMillis })
  }).pipe(Effect.catchTag("KeyValueStoreError", told))

  const backend = Ledger.make({
    owner: "somebody",
    place: `key ${key}`,
    read: inTurn(read),
    update: (f) =>
      inTurn(Effect.gen(function*() {
        const before = yield* read
        const changed = f(before)
        if (changed === undefined) return false
        yield* values.set(key, yield* Ledger.encode({ ...before, ...changed }))
        return true
      })).pipe(Effect.catchTag("KeyValueStoreError", told)),
    setAside: ({ generation, text }) => {
      const copy = `${key}-unreadable-${generation}`
      return Effect.as(Effect.catch(values.set(copy, text), told), `the key ${copy}`)
    }
  })
  return yield* SessionBackend.make(backend, options)
})

/**
 * Held by the `KeyValueStore` and not by a layer, so that two layers on one place take turns. It is gone with it.
 */
const turns = new WeakMap<KeyValueStore.KeyValueStore, Semaphore.Semaphore>()

const turnsOf = (values: KeyValueStore.KeyValueStore): Semaphore.Semaphore => {
  const found = turns.get(values) ?? Semaphore.makeUnsafe(1)
  turns.set(values, found)
  return found
}

/** Without its cause, which may repeat what was to be written, as that of a database does. */
const told = ({ cause, key, method }: KeyValueStore.KeyValueStoreError): Effect.Effect<never, PlaceFailure> =>
  Effect.fail(
    new PlaceFailure({
      message: `The key-value store failed to ${method} ${key ?? ""}${
        PlatformError.isPlatformError(cause) ? `: ${cause.message}` : ""
      }`
    })
  )

/**
 * Provides the store in a `KeyValueStore`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options?: Options): Layer.Layer<SessionStore, never, KeyValueStore.KeyValueStore> =>
  Layer.effect(SessionStore, make(options))
