import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"

/** Tells those who listen. A `PubSub` would do more, and add a tenth to the size of a program that nobody watches. */
export interface Signal<A> {
  readonly send: (value: A) => void
  /** Listens until the returned function is called. */
  readonly listen: (listener: (value: A) => void) => () => void
}

export const make = <A>(): Signal<A> => {
  const listeners = new Set<(value: A) => void>()
  return {
    send: (value) => listeners.forEach((listener) => listener(value)),
    listen: (listener) => {
      listeners.add(listener)
      return () => listeners.delete(listener)
    }
  }
}

/** What is sent from now on, after `first`. A consumer that is slow misses the oldest. */
export const toStream = <A>(signal: Signal<A>, first?: () => A): Stream.Stream<A> =>
  Stream.callback((queue) =>
    Effect.acquireRelease(
      Effect.sync(() => {
        if (first !== undefined) Queue.offerUnsafe(queue, first())
        return signal.listen((value) => Queue.offerUnsafe(queue, value))
      }),
      (ignore) => Effect.sync(ignore)
    ), { bufferSize: 256, strategy: "sliding" })

/** Listens until the scope closes. The effect in it waits for what has been sent since, or since it last returned. */
export const hear = <A>(signal: Signal<A>): Effect.Effect<Effect.Effect<void>, never, Scope.Scope> =>
  Effect.suspend(() => {
    const latch = Latch.makeUnsafe(false)
    return Effect.acquireRelease(
      Effect.sync(() => signal.listen(() => latch.openUnsafe())),
      (ignore) => Effect.sync(ignore)
    ).pipe(Effect.as(Effect.andThen(latch.await, Effect.sync(() => latch.closeUnsafe()))))
  })

/** Waits for what is sent next; not for what has been sent already. */
export const next = <A>(signal: Signal<A>, isSent: () => boolean): Effect.Effect<void> =>
  Effect.callback((resume) => {
    if (isSent()) return resume(Effect.void)
    const ignore = signal.listen(() => {
      ignore()
      resume(Effect.void)
    })
    return Effect.sync(ignore)
  })
