import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { randomBytes } from "node:crypto"
import { currentMillis } from "./commonClock.ts"
import type * as rows from "./rows.ts"

/** The client and the user pool of this installation: made once, then kept. */
export const make = Effect.fnUntraced(function*(db: rows.Rows, region: string) {
  const found = yield* db.installation
  if (Option.isSome(found)) return found.value
  // Of two processes that start at once, the first one's stays.
  yield* db.insertInstallation({
    client_id: randomText(26, "abcdefghijklmnopqrstuvwxyz0123456789"),
    user_pool_id: `${region}_${randomText(9, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")}`,
    created_at: yield* currentMillis
  })
  return yield* Effect.orDie(Effect.fromOption(yield* db.installation))
})

const randomText = (length: number, alphabet: string): string =>
  Array.from(randomBytes(length), (byte) => alphabet.charAt(byte % alphabet.length)).join("")
