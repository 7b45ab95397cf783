/**
 * Where a session lives between its uses, and where it is shared.
 *
 * A store holds one record: a generation, and the session of that generation, or none after a sign-out. Every change is one
 * atomic write: it raises the generation, and is refused where the stored one is another than the writer last read. So a
 * writer that was overtaken finds out, nothing newer is lost, and a sign-out wins over an exchange in flight.
 *
 * Whoever exchanges with the authority holds the store's lease. It ends by itself when its holder is gone, so a holder may
 * lose it without noticing; leases are numbered, and a commit under one that another has followed is refused. Until a lease is
 * given back, or a session is committed, the stored refresh token may be spent: whoever has the next lease is told of that gap.
 *
 * Every operation is given up after ten seconds, so it must be interruptible.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Ref from "effect/Ref"
import type * as Scope from "effect/Scope"
import type { AuthError } from "./AuthError.ts"
import type { Credentials } from "./Credentials.ts"
import * as signal from "./internal/signal.ts"
import type { Session } from "./Session.ts"

/**
 * What a store holds: a generation, and its session; none before the first sign-in, and after a sign-out.
 *
 * @category models
 * @since 0.1.0
 */
export interface Stored {
  /** Zero in a store that was never written. */
  readonly generation: number
  readonly session: Option.Option<Session>
  /** Why there is no session, where the record could not be read and was set aside. */
  readonly unreadable?: AuthError
  /** That of the latest lease, by which its holder sees that it has not been followed; zero before the first. */
  readonly fence: number
}

/**
 * The right to exchange with the authority, for as long as nobody else has been given it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Lease {
  /** Higher than that of every lease before. */
  readonly fence: number
  /**
   * Whether the stored refresh token may be spent: a lease before this one ended without being given back, or was given
   * back with the gap left open, and nothing has been written since.
   */
  readonly isGap: boolean
  /**
   * Leaves the gap open when this lease is given back, where it would be closed otherwise: the refresh token is spent, and
   * what came of it not stored yet. A write closes it all the same.
   */
  readonly leaveGap: Effect.Effect<void>
}

/**
 * A place for one session, which those who are provided with the same store share.
 *
 * @category services
 * @since 0.1.0
 */
export class SessionStore extends Context.Service<SessionStore, {
  readonly read: Effect.Effect<Stored, AuthError>
  /**
   * Stores a session of a higher generation, if the stored one is still the expected, and no lease has followed this one.
   * Tells whether it did.
   */
  readonly commit: (
    session: Session,
    expected: number,
    lease?: Pick<Lease, "fence">
  ) => Effect.Effect<boolean, AuthError>
  /** Forgets the session if it is of this generation, and raises the generation. Tells whether it did. */
  readonly clear: (generation: number) => Effect.Effect<boolean, AuthError>
  /**
   * The lease, until the scope closes; none while somebody else holds it. To be given it proves that the store can be
   * written.
   */
  readonly lease: Effect.Effect<Option.Option<Lease>, AuthError, Scope.Scope>
  /**
   * Listens until the scope closes. The effect in it waits until the record may have changed, or the lease may be free,
   * since the scope was opened or it last returned; it may return early.
   */
  readonly listen: Effect.Effect<Effect.Effect<void>, AuthError, Scope.Scope>
  /** What the authority said when it refused these credentials to somebody who shares the store, in the last hour. */
  readonly refusal: (credentials: Credentials) => Effect.Effect<Option.Option<string>, AuthError>
  /** Remembers that the authority refused these credentials, and forgets the session, under the lease. */
  readonly refuse: (
    credentials: Credentials,
    message: string,
    lease: Pick<Lease, "fence">
  ) => Effect.Effect<void, AuthError>
}>()("@effect-tenovos/core/SessionStore") {}

/**
 * For how long refused credentials are not sent again by those who share a store: a program that is started over and over
 * must not lock an account, and one whose account was unlocked must not be told no for ever.
 *
 * @category models
 * @since 0.1.0
 */
export const refusalLife: Duration.Duration = Duration.hours(1)

interface Memory extends Stored {
  readonly isLeased: boolean
  readonly isGap: boolean
  readonly refused: { readonly credentials: Credentials; readonly message: string; readonly at: number } | undefined
}

/**
 * Keeps the session in memory: shared by what shares this store, and gone with the process.
 *
 * @category constructors
 * @since 0.1.0
 */
export const makeMemory: Effect.Effect<SessionStore["Service"]> = Effect.gen(function*() {
  const memory = yield* Ref.make<Memory>({
    generation: 0,
    session: Option.none(),
    fence: 0,
    isLeased: false,
    isGap: false,
    refused: undefined
  })
  const changes = signal.make<void>()

  /** Changes what is remembered, unless `f` refuses to. Tells whether it did. */
  const change = (f: (memory: Memory) => Partial<Memory> | undefined): Effect.Effect<boolean> =>
    Effect.tap(
      Ref.modify(memory, (before) => {
        const changed = f(before)
        return [changed !== undefined, { ...before, ...changed }]
      }),
      (changed) => Effect.sync(() => changed && changes.send())
    )

  return SessionStore.of({
    read: Effect.map(Ref.get(memory), ({ fence, generation, session }) => ({ fence, generation, session })),
    commit: (session, expected, lease) =>
      change(({ fence, generation }) =>
        expected === generation && session.generation > expected && (lease?.fence ?? fence) === fence
          ? { generation: session.generation, session: Option.some(session), isGap: false }
          : undefined
      ),
    clear: (expected) =>
      change(({ generation }) =>
        expected === generation ? { generation: generation + 1, session: Option.none(), isGap: false } : undefined
      ),
    lease: Effect.suspend(() => {
      let leavesGap = false
      return Effect.acquireRelease(
        Ref.modify(memory, (before) => {
          if (before.isLeased) return [Option.none<Lease>(), before]
          const { isGap } = before
          const fence = before.fence + 1
          leavesGap = isGap
          return [
            Option.some({ fence, isGap, leaveGap: Effect.sync(() => void (leavesGap = true)) }),
            { ...before, fence, isLeased: true, isGap: true }
          ]
        }),
        Option.match({
          onNone: () => Effect.void,
          onSome: () => change(({ isGap }) => ({ isLeased: false, isGap: isGap && leavesGap }))
        })
      )
    }),
    listen: signal.hear(changes),
    refusal: (credentials) =>
      Effect.map(
        Effect.zip(Ref.get(memory), Clock.currentTimeMillis),
        ([{ refused }, now]) =>
          refused !== undefined && Equal.equals(refused.credentials, credentials) &&
            now < refused.at + Duration.toMillis(refusalLife)
            ? Option.some(refused.message)
            : Option.none()
      ),
    refuse: (credentials, message, lease) =>
      Effect.flatMap(Clock.currentTimeMillis, (at) =>
        change(({ fence, generation }) =>
          lease.fence === fence
            ? {
              generation: generation + 1,
              session: Option.none(),
              isGap: false,
              refused: { credentials, message, at }
            }
            : undefined
        ))
  })
})

/**
 * One store for all that this layer is provided to; `Layer.fresh` of it is another one.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerMemory: Layer.Layer<SessionStore> = Layer.effect(SessionStore, makeMemory)
