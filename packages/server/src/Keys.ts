/**
 * The keys of an authority: one kind signs id tokens, one access tokens, and one encrypts refresh tokens.
 *
 * They are made at first start, and kept in the database. Keys come in generations, each with one pair of every kind. A
 * new generation is published ten minutes before it is used, so that whoever checks tokens knows it by then, and the one
 * before is accepted for an hour after, or for the life of a token where that is longer. Then its private keys are
 * deleted.
 *
 * **Details**
 *
 * What is in use is a question of rows and time alone, so any number of processes on one database agree. Each reads the
 * rows again when it is asked for a key and a minute has passed, or, at most sixteen times a second, for a key that it
 * doesn't know. A database that can't be read leaves the keys as they were.
 *
 * @since 0.1.0
 */
import * as Arr from "effect/Array"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import { generateKeyPair, type KeyObject, randomBytes } from "node:crypto"
import { Audit } from "./Audit.ts"
import * as background from "./internal/background.ts"
import { commonMillis as currentMillis } from "./internal/commonClock.ts"
import {
  isLive,
  type Key,
  placeOf,
  read as readRow,
  type Ring,
  sealPlain,
  type UnreadableKeys
} from "./internal/keyRing.ts"
import * as keyRows from "./internal/keyRows.ts"
import * as MasterKey from "./MasterKey.ts"

/**
 * What a key is for: to sign an id token or an access token, or to encrypt a refresh token.
 *
 * @category models
 * @since 0.1.0
 */
export type Kind = "id" | "access" | "refresh"

const kinds = ["id", "access", "refresh"] as const

/**
 * The half of a key that may be known.
 *
 * @category models
 * @since 0.1.0
 */
export interface PublicKey {
  /** Names the key in a token's header: 32 random bytes in base64, as Cognito has it. */
  readonly kid: string
  readonly publicKey: KeyObject
}

/**
 * Both halves: what signs or decrypts is in it.
 *
 * @category models
 * @since 0.1.0
 */
export interface KeyPair extends PublicKey {
  readonly privateKey: KeyObject
}

/**
 * One pair of each kind.
 *
 * @category models
 * @since 0.1.0
 */
export type Generation = Readonly<Record<Kind, KeyPair>>

/**
 * A key that is accepted, and from when and until when it is.
 *
 * @category models
 * @since 0.1.0
 */
export interface PublishedKey extends PublicKey {
  readonly kind: Kind
  readonly createdAt: DateTime.Utc
  readonly useFrom: DateTime.Utc
  /** None as long as no key is to follow. */
  readonly retireAt: Option.Option<DateTime.Utc>
}

/**
 * How long keys are used, and what they have to outlive.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options {
  /** How long a generation is used before the next one follows by itself. Defaults to 90 days. */
  readonly keyLife?: Duration.Input | undefined
  /** How long an access token lasts: what a key has signed is accepted for at least that long. Defaults to 1 hour. */
  readonly accessTokenLife?: Duration.Input | undefined
  /** How long after the sign-in a refresh token can be used: old access tokens are recognised so long. Defaults to 30 days. */
  readonly refreshTokenLife?: Duration.Input | undefined
  /**
   * The first generation of a new database, from `Keys.generate`. For tests that start many authorities, since making
   * keys takes longest. By default new ones are made.
   */
  readonly keys?: Generation | undefined
}

/**
 * The keys of an installation, made at first start and rotated.
 *
 * @category services
 * @since 0.1.0
 */
export class Keys extends Context.Service<Keys, {
  /** The pair to sign or to encrypt with now. */
  readonly signing: (kind: Kind) => Effect.Effect<KeyPair>
  /** The key of this name, from when it is published until it has retired. */
  readonly find: (kind: Kind, kid: string) => Effect.Effect<Option.Option<PublicKey>>
  /** The same for a token whose age doesn't matter: an access key is remembered as long as a session of its time lives. */
  readonly recall: (kind: Kind, kid: string) => Effect.Effect<Option.Option<PublicKey>>
  /** The keys that are accepted now, the next ones included. */
  readonly published: Effect.Effect<ReadonlyArray<PublishedKey>>
  /**
   * Publishes the next generation, to be used in ten minutes, or `immediately`. When one is already published and not yet
   * used, it is that one. Says when it is used.
   */
  readonly rotate: (options?: { readonly immediately?: boolean | undefined }) => Effect.Effect<
    DateTime.Utc,
    SqlError | UnreadableKeys
  >
}>()("@effect-tenovos/server/Keys") {}

/**
 * Makes three new RSA-2048 pairs. This takes some tenths of a second, on other threads.
 *
 * @category constructors
 * @since 0.1.0
 */
export const generate: Effect.Effect<Generation> = Effect.suspend(() =>
  Effect.all({ id: generatePair, access: generatePair, refresh: generatePair }, { concurrency: "unbounded" })
)

const generatePair: Effect.Effect<KeyPair> = Effect.callback((resume) => {
  generateKeyPair("rsa", { modulusLength: 2048 }, (error, publicKey, privateKey) => {
    resume(
      error === null
        ? Effect.succeed({ kid: randomBytes(32).toString("base64"), privateKey, publicKey })
        : Effect.die(error)
    )
  })
})

/**
 * Reads the keys of this database, and makes the first ones when it has none. With a master key, private keys that are
 * still plain, or encrypted with the previous master key, are encrypted before anything else.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(
  function*(
    options?: Options
  ): Effect.fn.Return<Keys["Service"], SqlError | UnreadableKeys, SqlClient.SqlClient | Audit | Scope.Scope> {
    const sql = yield* SqlClient.SqlClient
    const audit = yield* Audit
    const masterKeys = yield* MasterKey.MasterKeys
    const inBackground = yield* background.make
    const caretaker = yield* Semaphore.make(1)
    const db = keyRows.make(sql)
    const life = Duration.toMillis(options?.keyLife ?? Duration.days(90))
    const kept = Math.max(leastKept, Duration.toMillis(options?.accessTokenLife ?? leastKept))
    const remembered = Duration.toMillis(options?.refreshTokenLife ?? Duration.days(30))

    let ring: Ring = { keys: [], byKid: new Map(), newest: 0, nextUse: 0, readAt: 0 }
    let checkedAt = 0
    /** How often the rows have been read for unknown keys within a second. */
    let sought = { since: 0, times: 0 }

    const read = Effect.gen(function*() {
      const readAt = yield* currentMillis
      const keys = yield* Effect.forEach(yield* db.all, (row) => readRow(row, ring.byKid.get(row.kid), masterKeys))
      const last = keys.at(-1)
      if (last === undefined) return yield* Effect.die(new Error("The database has lost its keys"))
      checkedAt = readAt
      ring = {
        keys,
        byKid: new Map(keys.map((key) => [key.kid, key])),
        newest: last.generation,
        nextUse: last.useFrom,
        readAt
      }
    })

    const insert = Effect.fnUntraced(
      function*(generation: Generation, number: number, times: { readonly now: number; readonly useFrom: number }) {
        return yield* db.insert(Arr.map(kinds, (kind) => {
          const { private_key, ...row } = keyRows.fields(kind, generation[kind])
          return {
            ...row,
            private_key: Arr.match(masterKeys, {
              onEmpty: () => private_key,
              onNonEmpty: ([masterKey]) => MasterKey.seal(masterKey, placeOf(row), private_key)
            }),
            generation: number,
            created_at: times.now,
            use_from: times.useFrom
          }
        }))
      }
    )

    if ((yield* db.all).length === 0) {
      const first = options?.keys ?? (yield* generate)
      const now = yield* currentMillis
      // Of two processes that start at once on a new database, the first one's keys stay.
      yield* insert(first, 1, { now, useFrom: now })
    }
    yield* read
    yield* sealPlain(sql, db, masterKeys)

    const follow = Effect.fnUntraced(function*(reason: "age" | "command", delay: number) {
      const number = ring.newest + 1
      const made = yield* generate
      const now = yield* currentMillis
      const useFrom = reason === "age" ? Math.max(now + delay, ring.nextUse + life) : now + delay
      yield* sql.withTransaction(
        Effect.flatMap(
          insert(made, number, { now, useFrom }),
          (isOurs) => isOurs ? audit.record(rotated(reason)) : Effect.void
        )
      )
      yield* read
    })

    /** Writes down when generations retire, and lets go of those that have. */
    const retire = Effect.gen(function*() {
      const now = yield* currentMillis
      // Of each generation the access key stays longest: an hour from when the next one is used, or from when that is first
      // known here, as the next one may have been long on its way into the database.
      const access = ring.keys.filter(({ kind }) => kind === "access")
      const before = Arr.zipWith(access, access.slice(1), (key, next) => ({
        key,
        at: Math.max(key.retireAt ?? now + kept, next.useFrom + kept)
      }))
      const untold = before.filter(({ at, key }) => key.retireAt !== at)
      const isOver = before.some(({ at, key }) => at <= now && key.pair !== undefined)
      const isForgotten = before.some(({ at }) => at <= now - remembered)
      yield* Effect.forEach(untold, ({ at, key }) => db.retireAt(key.generation, at), { discard: true })
      if (isOver) yield* sql.withTransaction(db.deletePrivate(now))
      if (isForgotten) yield* db.forget(now - remembered)
      if (untold.length > 0 || isOver || isForgotten) yield* read
    })

    const takeCare = Effect.gen(function*() {
      yield* retire
      if ((yield* currentMillis) >= ring.nextUse + life - lead) yield* follow("age", lead)
    }).pipe(
      caretaker.withPermitsIfAvailable(1),
      Effect.catch((error) => Effect.logWarning(`The keys could not be taken care of: ${error.message}`))
    )

    const readAgain = Effect.fnUntraced(function*(now: number) {
      checkedAt = now
      yield* Effect.catch(read, (error) => Effect.logWarning(`The keys could not be read again: ${error.message}`))
      yield* inBackground(takeCare)
    })

    // Who comes while the rows are being read goes on with the keys at hand, unless those are old. Nobody waits for
    // somebody else's reading: that one may itself wait for the transaction that they are in.
    const now = Effect.tap(
      currentMillis,
      (now) =>
        isWithin(minute, now, checkedAt) && isWithin(lead / 2, now, ring.readAt)
          ? Effect.void
          : readAgain(now)
    )

    const signing: Keys["Service"]["signing"] = Effect.fnUntraced(function*(kind) {
      const at = yield* now
      const usable = ring.keys.filter((key) => key.kind === kind && key.pair !== undefined)
      // A clock that was set back finds only keys of the future.
      const key = usable.findLast(({ useFrom }) => useFrom <= at) ?? usable[0]
      return key?.pair ?? (yield* Effect.die(new Error(`The database has lost its ${kind} key`)))
    })

    // Another process may have made the key a moment ago, and several requests may show it at once; a forger is to cost
    // the database little.
    const maySeek = (at: number): boolean => {
      if (!isWithin(second, at, sought.since)) sought = { since: at, times: 0 }
      return sought.times++ < mostSought
    }

    const lookUp = (isAcceptable: (key: Key, at: number) => boolean): Keys["Service"]["find"] =>
      Effect.fnUntraced(function*(kind, kid) {
        const at = yield* now
        if (!ring.byKid.has(kid) && maySeek(at)) yield* readAgain(at)
        const key = ring.byKid.get(kid)
        return key !== undefined && key.kind === kind && isAcceptable(key, at) ? Option.some(key) : Option.none()
      })

    const rotate: Keys["Service"]["rotate"] = Effect.fn("Keys.rotate")(
      function*(options) {
        const isImmediate = options?.immediately === true
        yield* read
        const at = yield* currentMillis
        if (ring.nextUse <= at) {
          yield* follow("command", isImmediate ? 0 : lead)
        } else if (isImmediate) {
          yield* sql.withTransaction(
            Effect.flatMap(
              db.begin(ring.newest, at),
              (isOurs) => isOurs ? audit.record(rotated("command")) : Effect.void
            )
          )
          yield* read
        }
        yield* retire
        return DateTime.makeUnsafe(ring.nextUse)
      }
    )

    return Keys.of({
      signing,
      find: lookUp(isLive),
      recall: lookUp(() => true),
      published: Effect.map(now, (at) => ring.keys.filter((key) => isLive(key, at)).map(toPublished)),
      rotate
    })
  }
)

const second = 1000
const minute = 60 * second
const mostSought = 16
const leastKept = 60 * minute
/** How long the next keys are published before they are used. */
const lead = 10 * minute

const isWithin = (span: number, a: number, b: number): boolean => Math.abs(a - b) < span

const rotated = (reason: "age" | "command") => ({ event: "rotate", outcome: "accepted", reason } as const)

const toPublished = ({ createdAt, kid, kind, publicKey, retireAt, useFrom }: Key): PublishedKey => ({
  kid,
  kind,
  publicKey,
  createdAt: DateTime.makeUnsafe(createdAt),
  useFrom: DateTime.makeUnsafe(useFrom),
  retireAt: Option.map(Option.fromNullOr(retireAt), DateTime.makeUnsafe)
})

/**
 * Provides the keys in a database: see {@link make}.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (
  options?: Options
): Layer.Layer<Keys, SqlError | UnreadableKeys, SqlClient.SqlClient | Audit> => Layer.effect(Keys, make(options))

/**
 * What anyone needs to check the signatures: the public halves of the signing keys, as a JSON Web Key Set.
 *
 * @category combinators
 * @since 0.1.0
 */
export const toJwks = (keys: ReadonlyArray<PublishedKey>) => ({
  keys: keys.filter(({ kind }) => kind !== "refresh").map(({ kid, publicKey }) => {
    const { e, kty, n } = publicKey.export({ format: "jwk" })
    return { alg: "RS256", e, kid, kty, n, use: "sig" }
  })
})

export { UnreadableKeys } from "./internal/keyRing.ts"
