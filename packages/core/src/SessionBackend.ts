/**
 * What a place has to offer for a session to be kept there, and the store that is made of it.
 *
 * A place keeps one text under a generation, and gives a lease. All else is done here once for all of them: texts that
 * notice when they are damaged, encryption, leases that are kept alive while they are used, refused credentials.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Digest from "effect/crypto/Digest"
import * as Kdf from "effect/crypto/Kdf"
import * as SecureRandom from "effect/crypto/SecureRandom"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Base64Url from "effect/encoding/Base64Url"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { AuthError, StoreFailure } from "./AuthError.ts"
import type { Credentials } from "./Credentials.ts"
import * as record from "./internal/record.ts"
import { remaining, Session } from "./Session.ts"
import * as SessionEncryption from "./SessionEncryption.ts"
import { type Lease, refusalLife, SessionStore, type Stored } from "./SessionStore.ts"

/**
 * What a place keeps: a text, under its generation.
 *
 * @category models
 * @since 0.1.0
 */
export interface Row {
  /** Zero where nothing was ever written, and `text` is empty, or where it could not be read. */
  readonly generation: number
  readonly text: string
}

/**
 * A row as it is read.
 *
 * @category models
 * @since 0.1.0
 */
export interface Found extends Row {
  /** That of the latest lease; zero before the first. */
  readonly fence: number
  /**
   * Milliseconds since it was written, by one clock of the place. With it, those who read a session know what is left of
   * its life whatever their own clocks say. Absent where the place has no clock but that of who reads.
   */
  readonly age?: number
}

/**
 * A lease that a place has given.
 *
 * @category models
 * @since 0.1.0
 */
export interface Acquired {
  /** Higher than that of every lease before. */
  readonly fence: number
  /** Whether the gap was open before. */
  readonly isGap: boolean
}

/**
 * Operations may fail with whatever they like; it becomes the cause of a `StoreFailure`. They are interrupted when they
 * take too long.
 *
 * @category models
 * @since 0.1.0
 */
export interface Backend {
  /** Names the place among those that share a key: an encrypted text that was copied from another is not read. */
  readonly place: string
  readonly read: Effect.Effect<Found, unknown>
  /**
   * One atomic write, which is on durable storage when it returns: only if the stored generation is the expected, and, where
   * a fence is given, no higher one was given out. It closes the gap. Tells whether it was done.
   */
  readonly write: (
    row: Row,
    condition: { readonly expected: number; readonly fence: number | undefined }
  ) => Effect.Effect<boolean, unknown>
  /** Keeps a copy of a row that can't be read, the same for the same row. Says where, for people. */
  readonly setAside: (row: Row) => Effect.Effect<string, unknown>
  /** Gives the lease for so long, and opens the gap; none while somebody else has it. It writes. */
  readonly acquire: (life: Duration.Duration) => Effect.Effect<Option.Option<Acquired>, unknown>
  /** Makes the lease last so long from now. Tells whether it is still there. */
  readonly extend: (fence: number, life: Duration.Duration) => Effect.Effect<boolean, unknown>
  /** Ends the lease if it is the latest, and closes the gap then, unless that is to stay. */
  readonly release: (fence: number, leavesGap: boolean) => Effect.Effect<void, unknown>
  /** As in `SessionStore`: what waits for a change since it was listened, or since it last returned. It may return early. */
  readonly listen: Effect.Effect<Effect.Effect<void>, unknown, Scope.Scope>
}

/**
 * What all stores that are made of a place can be told.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options {
  /**
   * How long a lease lasts whose holder is gone. It is extended thrice in that time while its holder lives. Defaults to 10
   * seconds.
   */
  readonly leaseLife?: Duration.Input | undefined
}

/**
 * The store of a place. Texts are encrypted where there are {@link SessionEncryption.Keys}.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function*(
  backend: Backend,
  options?: Options
): Effect.fn.Return<SessionStore["Service"]> {
  const life = Duration.fromInputUnsafe(options?.leaseLife ?? "10 seconds")
  const beat = Duration.divideUnsafe(life, 3)
  const records = yield* record.make(yield* SessionEncryption.Keys)

  /** The record, and what is kept in it beside the session. */
  const readContent = Effect.gen(function*(): Effect.fn.Return<
    readonly [stored: Stored, refused: record.Content["refused"]],
    unknown
  > {
    const row = yield* backend.read
    const { fence, generation } = row
    if (row.text === "") return [{ generation, fence, session: Option.none() }, undefined]
    return yield* records.decode(row.text, { place: backend.place, generation }).pipe(
      Effect.zipWith(DateTime.now, ({ life, refused, session }, now) => {
        const left = row.age === undefined || life === undefined ? undefined : life - row.age
        return [
          {
            generation,
            fence,
            session: Option.map(
              Option.fromNullOr(session),
              (session) => left === undefined ? session : setClock(session, now, left)
            )
          },
          refused
        ] as const
      }),
      Effect.catchIf(
        ({ isForeign }) => !isForeign,
        ({ message }) =>
          Effect.map(backend.setAside(row), (where) => {
            const cause = new Error(`The record can't be read: ${message}. A copy is kept in ${where}`)
            const unreadable = failure("read", cause)
            return [{ generation, fence, session: Option.none(), unreadable }, undefined] as const
          })
      )
    )
  }).pipe(failing("read"))

  const write = (
    content: record.Content,
    generation: number,
    condition: { readonly expected: number; readonly fence: number | undefined }
  ) =>
    Effect.flatMap(
      records.encode(content, { place: backend.place, generation }),
      (text) => backend.write({ generation, text }, condition)
    )

  const lease: SessionStore["Service"]["lease"] = Effect.gen(function*() {
    let leavesGap = false
    const acquired = yield* Effect.acquireRelease(
      failing("lease")(backend.acquire(life)),
      Option.match({
        onNone: () => Effect.void,
        onSome: ({ fence, isGap }) =>
          Effect.ignore(
            Effect.timeout(Effect.interruptible(backend.release(fence, isGap || leavesGap)), "5 seconds")
          )
      }),
      { interruptible: true }
    )
    if (Option.isSome(acquired)) {
      // One that fails may do so because the place is out of reach for a while.
      yield* backend.extend(acquired.value.fence, life).pipe(
        Effect.timeout(beat),
        Effect.orElseSucceed(() => true),
        Effect.delay(beat),
        Effect.repeat({ while: (isHeld) => isHeld }),
        Effect.forkScoped
      )
    }
    return Option.map(
      acquired,
      ({ fence, isGap }): Lease => ({ fence, isGap, leaveGap: Effect.sync(() => void (leavesGap = true)) })
    )
  })

  return SessionStore.of({
    read: Effect.map(readContent, ([stored]) => stored),
    commit: (session, expected, lease) =>
      session.generation <= expected
        ? Effect.succeed(false)
        : Effect.flatMap(DateTime.now, (now) => {
          const life = Math.round(Duration.toMillis(remaining(session, now)))
          return write({ session, life }, session.generation, { expected, fence: lease?.fence })
        }).pipe(failing("commit")),
    clear: (expected) =>
      // Who signs out has not got better credentials by that.
      Effect.flatMap(readContent, ([, refused]) =>
        write({ session: null, ...(refused && { refused }) }, expected + 1, { expected, fence: undefined })).pipe(
          failing("clear")
        ),
    lease,
    listen: failing("lease")(backend.listen),
    refusal: (credentials) =>
      Effect.gen(function*() {
        const [, refused] = yield* readContent
        if (refused === undefined || (yield* Clock.currentTimeMillis) >= refused.until) return Option.none()
        return (yield* hashOf(credentials, refused.salt)) === refused.hash
          ? Option.some(refused.message)
          : Option.none()
      }),
    refuse: (credentials, message, lease) =>
      Effect.gen(function*() {
        const { generation } = yield* backend.read
        const salt = Base64Url.encode(SecureRandom.randomBytesUnsafe(16))
        const refused = {
          salt,
          hash: yield* hashOf(credentials, salt),
          message,
          until: (yield* Clock.currentTimeMillis) + Duration.toMillis(refusalLife)
        }
        yield* write({ session: null, refused }, generation + 1, { expected: generation, fence: lease.fence })
      }).pipe(failing("commit"))
  })
})

/** The session for a local clock by which so many milliseconds are left of its life. */
const setClock = (session: Session, now: DateTime.Utc, left: number): Session =>
  new Session({
    ...session,
    clockOffset: Duration.millis(DateTime.toEpochMillis(session.expiresAt) - DateTime.toEpochMillis(now) - left)
  })

const failure = (operation: StoreFailure["operation"], cause: unknown): AuthError =>
  new AuthError({ reason: new StoreFailure({ operation }), cause })

const isAuthError = Schema.is(AuthError)

const failing =
  (operation: StoreFailure["operation"]) =>
  <A, R>(effect: Effect.Effect<A, unknown, R>): Effect.Effect<A, AuthError, R> =>
    Effect.mapError(effect, (cause) => isAuthError(cause) ? cause : failure(operation, cause))

/** Slow, as a password is in it. */
const pbkdf2 = Kdf.pbkdf2({ hash: Digest.sha256, iterations: 600_000 })

const hashOf = (credentials: Credentials, salt: string): Effect.Effect<string> =>
  Kdf.Kdf.use((kdf) => {
    const utf8 = new TextEncoder()
    const text = JSON.stringify([
      credentials.endpointUrl,
      Redacted.value(credentials.apiKey),
      credentials.username,
      Redacted.value(credentials.password)
    ])
    return kdf.derive(pbkdf2, utf8.encode(text), { salt: utf8.encode(salt), length: 32 })
  }).pipe(
    Effect.map(Base64Url.encode),
    Effect.provide(Kdf.layerWebCrypto),
    // The parameters are constants, and good ones.
    Effect.orDie
  )
