import * as Clock from "effect/Clock"
import * as Digest from "effect/crypto/Digest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Base64Url from "effect/encoding/Base64Url"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { Acquired, Backend, Row } from "../SessionBackend.ts"
import { PlaceFailure } from "./place.ts"

// What a place keeps that has no database: the row and the lease in one text, so that one write changes both, and a commit
// can't come between a lease and the next. A place needs no more than to replace the text that was read by another.

const Lease = Schema.Struct({
  /** For people. */
  owner: Schema.String,
  /** In milliseconds. */
  life: Schema.Finite,
  /** Counts how often it was extended. */
  beats: Schema.Int,
  /** By the clock of its holder. */
  expiresAt: Schema.Finite
})

const fields = {
  generation: Schema.Int,
  /** That of the last lease that was given. */
  fence: Schema.Int,
  lease: Schema.NullOr(Lease),
  /** As in `Backend`. Earlier texts have none. */
  isGap: Schema.Boolean.pipe(Schema.withDecodingDefaultKey(Effect.succeed(false))),
  /** Names the last writes, the newest first. */
  writes: Schema.Array(Schema.String)
}

export interface Ledger extends Schema.Struct.Type<typeof fields> {
  readonly text: string
}

export const empty: Ledger = { generation: 0, text: "", fence: 0, lease: null, isGap: false, writes: [] }

const Head = Schema.fromJsonString(Schema.Struct({ ...fields, version: Schema.Literal(1), length: Schema.Int }))

const utf8 = new TextEncoder()

const mark = (head: string) =>
  Digest.Digest.use((digest) => digest.digest(Digest.sha256, utf8.encode(head))).pipe(
    Effect.map((hash) => `tenovos-store ${Base64Url.encode(hash)}`),
    Effect.provide(Digest.layerWebCrypto),
    Effect.orDie
  )

export const encode = Effect.fnUntraced(function*({ text, ...rest }: Ledger) {
  const head = yield* Effect.orDie(Schema.encodeEffect(Head)({ ...rest, version: 1, length: text.length }))
  return `${yield* mark(head)}\n${head}\n${text}`
})

/**
 * Spaces may follow a text. One that is damaged comes back as the text of a record that can't be read, with the generation
 * and the fence that are known otherwise.
 */
export const decode = Effect.fnUntraced(function*(text: string, known: { generation: number; fence: number }) {
  const [first, head = ""] = text.split("\n", 2)
  const damaged: Ledger = {
    ...empty,
    ...known,
    // An empty one would say that nothing was ever written.
    text: text.trimEnd() || "nothing"
  }
  if (first !== (yield* mark(head))) return damaged
  const { length, version: _, ...rest } = yield* Schema.decodeEffect(Head)(head).pipe(
    Effect.mapError(() => new PlaceFailure({ message: "The store was written by a later version of this library" }))
  )
  const body = text.slice(first.length + head.length + 2)
  return /[^ ]/.test(body.slice(length)) || body.length < length
    ? { ...rest, text: damaged.text }
    : { ...rest, text: body.slice(0, length) }
})

export const make = ({ owner, place, read, setAside, update }: {
  readonly owner: string
  readonly place: string
  readonly read: Effect.Effect<Ledger, unknown>
  /** Replaces the ledger by what `f` makes of it, if anything, in one atomic write. Tells whether it did. */
  readonly update: (f: (ledger: Ledger) => Partial<Ledger> | undefined) => Effect.Effect<boolean, unknown>
  readonly setAside: (row: Row) => Effect.Effect<string, unknown>
}): Backend => {
  /** The beat of a lease that was seen last, and when it was seen first, in monotonic milliseconds. */
  let seen = { beat: "", since: 0 }

  /**
   * A lease is over when it was not extended for as long as it lasts, as waited for here: that trusts no clock but the own.
   * Who comes later need not wait where the holder's clock and the own one agree to within a life of the lease.
   */
  const isOver = (clock: Clock.Clock, { fence, lease }: Ledger): boolean => {
    if (lease === null) return true
    const now = Number(clock.monotonicTimeNanosUnsafe()) / 1e6
    const beat = `${fence} ${lease.beats}`
    if (seen.beat !== beat) seen = { beat, since: now }
    return now - seen.since >= lease.life || clock.currentTimeMillisUnsafe() >= lease.expiresAt + lease.life
  }

  return {
    place,
    setAside,
    read: Effect.map(read, ({ fence, generation, text }) => ({ fence, generation, text })),
    write: (row, { expected, fence = Infinity }) =>
      update((ledger) =>
        ledger.generation === expected && ledger.fence <= fence ? { ...row, isGap: false } : undefined
      ),
    acquire: (life) =>
      Clock.clockWith((clock) => {
        let acquired: Acquired | undefined
        return Effect.map(
          update((ledger) => {
            acquired = undefined
            if (!isOver(clock, ledger)) return undefined
            const fence = ledger.fence + 1
            acquired = { fence, isGap: ledger.isGap }
            const expiresAt = clock.currentTimeMillisUnsafe() + Duration.toMillis(life)
            return { fence, isGap: true, lease: { owner, life: Duration.toMillis(life), beats: 0, expiresAt } }
          }),
          (isGiven) => isGiven ? Option.fromUndefinedOr(acquired) : Option.none()
        )
      }),
    extend: (fence, life) =>
      Clock.clockWith((clock) =>
        update((ledger) => {
          if (ledger.fence !== fence || ledger.lease === null) return undefined
          const expiresAt = clock.currentTimeMillisUnsafe() + Duration.toMillis(life)
          return { lease: { ...ledger.lease, beats: ledger.lease.beats + 1, expiresAt } }
        })
      ),
    release: (fence, leavesGap) =>
      Effect.asVoid(
        update((ledger) =>
          ledger.fence === fence && ledger.lease !== null
            ? { lease: null, isGap: ledger.isGap && leavesGap }
            : undefined
        )
      ),
    listen: Effect.map(read, (first) => {
      let last = first
      return Clock.clockWith((clock) =>
        Effect.gen(function*() {
          for (;;) {
            const ledger = yield* read
            const isOther = !isSame(ledger, last)
            last = ledger
            if (isOther || ledger.lease !== null && isOver(clock, ledger)) return
            yield* Effect.sleep(interval)
          }
        })
        // What is wrong is found out by who reads next.
      ).pipe(Effect.catch(() => Effect.sleep(interval)))
    })
  }
}

const interval = Duration.millis(100)

const isSame = (one: Ledger, other: Ledger): boolean =>
  one.generation === other.generation && one.text === other.text && one.fence === other.fence &&
  (one.lease === null) === (other.lease === null)
