import * as Effect from "effect/Effect"
import * as SqlClient from "effect/sql/SqlClient"

/** Migration 7. The ids are in the order of time, so the one index serves reading and sweeping too. */
export const migration = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient

  yield* sql`CREATE TABLE audit (
    id text PRIMARY KEY,
    at bigint NOT NULL,
    event text NOT NULL,
    outcome text NOT NULL CHECK (outcome IN ('accepted', 'refused')),
    reason text,
    tenant text,
    subject text,
    username text,
    fingerprint text,
    address text,
    session text
  )`
})
