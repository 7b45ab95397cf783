import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as SqlClient from "effect/sql/SqlClient"
import { createPrivateKey, createPublicKey, type KeyObject } from "node:crypto"
import type { KeyPair, Kind, PublicKey } from "../Keys.ts"
import * as MasterKey from "../MasterKey.ts"
import type * as keyRows from "./keyRows.ts"

// What the rows say, as keys that can be used: private keys opened with the master key, and key objects made once.

export interface Key extends PublicKey {
  readonly kind: Kind
  readonly generation: number
  readonly createdAt: number
  readonly useFrom: number
  readonly retireAt: number | null
  /** Nothing once the private half is deleted. */
  readonly pair: KeyPair | undefined
}

/** The keys at hand, made once from the rows, in the order of their generations. */
export interface Ring {
  readonly keys: ReadonlyArray<Key>
  readonly byKid: ReadonlyMap<string, Key>
  readonly newest: number
  /** When the newest generation is, or was, used first. */
  readonly nextUse: number
  readonly readAt: number
}

export const isLive = ({ retireAt }: Key, at: number): boolean => retireAt === null || at < retireAt

/** The key of a row. What is known of it already isn't made again. */
export const read = Effect.fnUntraced(
  function*(row: keyRows.Key, known: Key | undefined, masterKeys: ReadonlyArray<MasterKey.MasterKey>) {
    const { created_at, generation, kid, kind, private_key, public_key, retire_at, use_from } = row
    const times = { kid, kind, generation, createdAt: created_at, useFrom: use_from, retireAt: retire_at }
    if (private_key === null) {
      return { ...times, publicKey: known?.publicKey ?? (yield* parse(createPublicKey, public_key)), pair: undefined }
    }
    if (known?.pair !== undefined) return { ...times, publicKey: known.publicKey, pair: known.pair }
    // What it says of its public half is not believed: only the private half is protected from change.
    const privateKey = yield* parse(createPrivateKey, yield* unseal(row, private_key, masterKeys))
    const publicKey = createPublicKey(privateKey)
    return { ...times, publicKey, pair: { kid, privateKey, publicKey } }
  }
)

const parse = (make: (pem: string) => KeyObject, pem: string) =>
  Effect.try({ try: () => make(pem), catch: () => new UnreadableKeys({ problem: "Altered" }) })

const isPlain = (text: string): boolean => text.startsWith("-----BEGIN")

/** Where a private key is kept: it can be opened nowhere else. */
export const placeOf = ({ kid, kind }: Pick<keyRows.Key, "kid" | "kind">): string => `keys/${kind}/${kid}`

const unseal = (
  row: keyRows.Key,
  text: string,
  masterKeys: ReadonlyArray<MasterKey.MasterKey>
): Effect.Effect<string, UnreadableKeys> => {
  if (isPlain(text)) return Effect.succeed(text)
  const masterKey = masterKeys.find(({ id }) => id === MasterKey.idOf(text))
  if (masterKey === undefined) {
    return Effect.fail(new UnreadableKeys({ problem: masterKeys.length === 0 ? "Encrypted" : "OtherMasterKey" }))
  }
  return Effect.fromOption(MasterKey.open(masterKey, placeOf(row), text)).pipe(
    Effect.mapError(() => new UnreadableKeys({ problem: "Altered" }))
  )
}

/** Encrypts what isn't, or is with another than the first master key. By now all of it has been opened. */
export const sealPlain = Effect.fnUntraced(
  function*(sql: SqlClient.SqlClient, db: keyRows.Rows, masterKeys: ReadonlyArray<MasterKey.MasterKey>) {
    const [masterKey] = masterKeys
    if (masterKey === undefined) return
    const replaced = (yield* db.all).flatMap((row) =>
      row.private_key === null || MasterKey.idOf(row.private_key) === masterKey.id
        ? []
        : [{ row, before: row.private_key }]
    )
    if (replaced.length === 0) return
    yield* Effect.forEach(
      replaced,
      ({ before, row }) =>
        Effect.flatMap(
          unseal(row, before, masterKeys),
          (plain) => db.replacePrivate(row.kid, before, MasterKey.seal(masterKey, placeOf(row), plain))
        )
    ).pipe(sql.withTransaction)
    yield* Effect.catch(
      wipe(sql),
      (error) =>
        Effect.logWarning(`The keys are encrypted, but the database may hold what they were before: ${error.message}`)
    )
  }
)

/** Takes what was overwritten out of the files too. */
const wipe = (sql: SqlClient.SqlClient) =>
  sql.onDialectOrElse({
    pg: () => sql`VACUUM FULL keys`,
    orElse: () => Effect.andThen(sql`VACUUM`, sql`PRAGMA wal_checkpoint(TRUNCATE)`)
  })

const problems = {
  Encrypted: "The keys in the database are encrypted: give the master key",
  OtherMasterKey: "The keys in the database are encrypted with another master key",
  Altered: "A key in the database has been altered: use a backup"
}

/**
 * The private keys in the database can't be read. Nothing in it has been changed.
 *
 * @category errors
 * @since 0.1.0
 */
export class UnreadableKeys extends Schema.TaggedError<UnreadableKeys>("@effect-tenovos/server/Keys/UnreadableKeys")(
  "UnreadableKeys",
  { problem: Schema.Literals(["Encrypted", "OtherMasterKey", "Altered"]) }
) {
  override get message(): string {
    return problems[this.problem]
  }
}
