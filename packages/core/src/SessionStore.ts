/**
 * Where a session lives between its uses, and where it is shared.
 *
 * A store holds one record: a generation, and the session of that generation, or none after a sign-out. Every change
 * raises the generation, and is refused where the stored one is another than the writer last read. So a writer that was
 * overtaken finds out, nothing newer is lost, and a sign-out wins over an exchange in flight.
 *
 * Reading and writing are given up after ten seconds, so they must be interruptible; waiting for a lease is the store's to
 * bound.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Ref from "effect/Ref"
import * as Semaphore from "effect/Semaphore"
import type { AuthError } from "./AuthError.ts"
import type { Session } from "./Session.ts"

/**
 * @category models
 * @since 0.1.0
 */
export interface Stored {
  /** Zero in a store that was never written. */
  readonly generation: number
  readonly session: Option.Option<Session>
}

/**
 * @category services
 * @since 0.1.0
 */
export class SessionStore extends Context.Service<SessionStore, {
  readonly read: Effect.Effect<Stored, AuthError>
  /** Stores a session of a higher generation, if the stored one is still the expected. Tells whether it did. */
  readonly commit: (session: Session, expected: number) => Effect.Effect<boolean, AuthError>
  /** Forgets the session if it is of this generation, and raises the generation. Tells whether it did. */
  readonly clear: (generation: number) => Effect.Effect<boolean, AuthError>
  /** Runs the effect while nobody else who shares the store runs one. */
  readonly withLease: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E | AuthError, R>
}>()("@effect-tenovos/core/SessionStore") {}

/**
 * Keeps the session in memory: shared by what shares this store, and gone with the process.
 *
 * @category constructors
 * @since 0.1.0
 */
export const makeMemory: Effect.Effect<SessionStore["Service"]> = Effect.gen(function*() {
  const stored = yield* Ref.make<Stored>({ generation: 0, session: Option.none() })
  const lease = yield* Semaphore.make(1)

  return SessionStore.of({
    read: Ref.get(stored),
    commit: (session, expected) =>
      Ref.modify(stored, (current) =>
        expected === current.generation && session.generation > expected
          ? [true, { generation: session.generation, session: Option.some(session) }]
          : [false, current]),
    clear: (generation) =>
      Ref.modify(stored, (current) =>
        generation === current.generation
          ? [true, { generation: generation + 1, session: Option.none() }]
          : [false, current]),
    withLease: lease.withPermit
  })
})

/**
 * One store for all that this layer is provided to; `Layer.fresh` of it is another one.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerMemory: Layer.Layer<SessionStore> = Layer.effect(SessionStore, makeMemory)
