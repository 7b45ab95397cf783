import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import * as SqlSchema from "effect/sql/SqlSchema"
import { skipLocked } from "./skipLocked.ts"

// Every statement of the authority. What is read is typed by a schema here, and nowhere else. A database that fails, or
// that holds what this package didn't write, is a defect.

const User = Schema.Struct({
  sub: Schema.String,
  username: Schema.String,
  email: Schema.NullOr(Schema.String)
})

const UserWithPassword = Schema.Struct({ ...User.fields, passwordHash: Schema.String }).pipe(
  Schema.encodeKeys({ passwordHash: "password_hash" })
)

const Candidate = Schema.Struct({
  sub: Schema.NullOr(Schema.String),
  username: Schema.NullOr(Schema.String),
  email: Schema.NullOr(Schema.String),
  passwordHash: Schema.NullOr(Schema.String),
  disabled: Schema.NullOr(Schema.Int)
}).pipe(Schema.encodeKeys({ passwordHash: "password_hash" }))

const Session = Schema.Struct({ id: Schema.String, user_sub: Schema.String, auth_time: Schema.Int })

/** What a refresh is guarded by: the token is the current one of this live session. */
const Refresh = Schema.Struct({
  tenant: Schema.String,
  id: Schema.String,
  hash: Schema.String,
  now: Schema.Int
})

const RefreshToken = Schema.Struct({ tenant: Schema.String, hash: Schema.String })

const Installation = Schema.Struct({ clientId: Schema.String, userPoolId: Schema.String }).pipe(
  Schema.encodeKeys({ clientId: "client_id", userPoolId: "user_pool_id" })
)

const ApiKey = Schema.Struct({ tenant: Schema.String })

const UserName = Schema.Struct({ tenant: Schema.String, username: Schema.String })

const UserRow = Schema.Struct({
  sub: Schema.String,
  tenant: Schema.String,
  username: Schema.String,
  email: Schema.NullOr(Schema.String),
  password_hash: Schema.String,
  created_at: Schema.Int
})

const Count = Schema.Struct({ users: Schema.Int, apiKeys: Schema.Int })

export const make = (sql: SqlClient.SqlClient) => {
  const installation = query(SqlSchema.findOneOption({
    Request: Schema.Void,
    Result: Installation,
    execute: () => sql`SELECT client_id, user_pool_id FROM installation`
  }))

  // PostgreSQL refuses a text with a NUL in it, so nobody has such a name.
  const named = ({ tenant, username }: typeof UserName.Type) =>
    sql`tenant = ${tenant} AND username = ${username.includes("\0") ? null : username}`

  const userByName = query(SqlSchema.findOneOption({
    Request: UserName,
    Result: UserWithPassword,
    execute: (name) => sql`SELECT sub, username, email, password_hash FROM users WHERE ${named(name)}`
  }))

  // One row, whether or not there is such a user: how long it takes to read it doesn't tell.
  const candidate = query(SqlSchema.findOne({
    Request: UserName,
    Result: Candidate,
    execute: (name) =>
      sql`SELECT sub, username, email, password_hash, disabled FROM (SELECT 1 AS one) AS row
        LEFT JOIN users ON ${named(name)}`
  }))

  const setDisabled = query(SqlSchema.findAll({
    Request: Schema.Struct({ ...UserName.fields, disabled: Schema.Int }),
    Result: Schema.Struct({ sub: Schema.String }),
    execute: ({ disabled, ...name }) => sql`UPDATE users SET disabled = ${disabled} WHERE ${named(name)} RETURNING sub`
  }))

  const userBySub = query(SqlSchema.findOneOption({
    Request: Schema.String,
    Result: Schema.Struct({ ...User.fields, disabled: Schema.Int }),
    execute: (sub) => sql`SELECT sub, username, email, disabled FROM users WHERE sub = ${sub}`
  }))

  // One statement finds, judges and marks, so no other can come in between.
  const touchSession = query(SqlSchema.findOneOption({
    Request: Refresh,
    Result: Session,
    execute: ({ hash, id, now, tenant }) =>
      sql`UPDATE sessions SET refreshed_at = ${now}
        WHERE refresh_token_hash = ${hash} AND id = ${id} AND tenant = ${tenant}
          AND revoked_at IS NULL AND expires_at > ${now}
        RETURNING id, user_sub, auth_time`
  }))

  const sessionByRefreshToken = query(SqlSchema.findOneOption({
    Request: RefreshToken,
    Result: Schema.Struct({ expires_at: Schema.Int, revoked_at: Schema.NullOr(Schema.Int) }),
    execute: ({ hash, tenant }) =>
      sql`SELECT expires_at, revoked_at FROM sessions WHERE refresh_token_hash = ${hash} AND tenant = ${tenant}`
  }))

  const sessionToRotate = query(SqlSchema.findOneOption({
    Request: Refresh,
    Result: Schema.Struct({ user_sub: Schema.String, auth_time: Schema.Int, expires_at: Schema.Int }),
    execute: ({ hash, id, now, tenant }) =>
      sql`SELECT user_sub, auth_time, expires_at FROM sessions
        WHERE refresh_token_hash = ${hash} AND id = ${id} AND tenant = ${tenant}
          AND revoked_at IS NULL AND expires_at > ${now}`
  }))

  const rotateSession = query(SqlSchema.findOneOption({
    Request: Schema.Struct({ ...Refresh.fields, child: Schema.String, sealed: Schema.String }),
    Result: Session,
    execute: ({ child, hash, id, now, sealed, tenant }) =>
      sql`UPDATE sessions SET refreshed_at = ${now}, refresh_token_hash = ${child}, parent_token_hash = ${hash},
          child_token = ${sealed}, rotated_at = ${now}
        WHERE refresh_token_hash = ${hash} AND id = ${id} AND tenant = ${tenant}
          AND revoked_at IS NULL AND expires_at > ${now}
        RETURNING id, user_sub, auth_time`
  }))

  const repeatRotation = query(SqlSchema.findOneOption({
    Request: Schema.Struct({ ...Refresh.fields, since: Schema.Int }),
    Result: Schema.Struct({ ...Session.fields, child_token: Schema.String }),
    execute: ({ hash, id, now, since, tenant }) =>
      sql`UPDATE sessions SET refreshed_at = ${now}
        WHERE id = ${id} AND parent_token_hash = ${hash} AND rotated_at > ${since} AND tenant = ${tenant}
          AND revoked_at IS NULL AND expires_at > ${now}
        RETURNING id, user_sub, auth_time, child_token`
  }))

  const sessionOfRetiredToken = query(SqlSchema.findOneOption({
    Request: RefreshToken,
    Result: Schema.Struct({ id: Schema.String, revoked_at: Schema.NullOr(Schema.Int) }),
    execute: ({ hash, tenant }) =>
      sql`SELECT id, revoked_at FROM retired_tokens JOIN sessions ON sessions.id = retired_tokens.session_id
        WHERE hash = ${hash} AND tenant = ${tenant}`
  }))

  // For a token that isn't the current one, as it would be again after a restore. It isn't reused while it may be repeated.
  const revokeReused = query(SqlSchema.findAll({
    Request: Schema.Struct({ ...Refresh.fields, since: Schema.Int }),
    Result: Schema.Struct({ id: Schema.String }),
    execute: ({ hash, id, now, since, tenant }) =>
      sql`UPDATE sessions SET revoked_at = ${now}
        WHERE id = ${id} AND tenant = ${tenant} AND revoked_at IS NULL AND refresh_token_hash <> ${hash}
          AND (parent_token_hash <> ${hash} OR rotated_at <= ${since})
        RETURNING id`
  }))

  const deny = query(SqlSchema.findAll({
    Request: Schema.Struct({
      tenant: Schema.String,
      id: Schema.String,
      eventId: Schema.String,
      expiresAt: Schema.Int
    }),
    Result: Schema.Struct({ event_id: Schema.String }),
    execute: ({ eventId, expiresAt, id, tenant }) =>
      sql`INSERT INTO denied_tokens (event_id, tenant, expires_at) SELECT ${eventId}, tenant, ${expiresAt} FROM sessions
        WHERE id = ${id} AND tenant = ${tenant} AND revoked_at IS NULL
        ON CONFLICT DO NOTHING RETURNING event_id`
  }))

  const revoke = query(SqlSchema.findAll({
    Request: Schema.Struct({ tenant: Schema.String, id: Schema.String, now: Schema.Int }),
    Result: Schema.Struct({ id: Schema.String }),
    execute: ({ id, now, tenant }) =>
      sql`UPDATE sessions SET revoked_at = ${now}
        WHERE id = ${id} AND tenant = ${tenant} AND revoked_at IS NULL RETURNING id`
  }))

  const userOfLiveSession = query(SqlSchema.findOneOption({
    Request: Schema.Struct({ tenant: Schema.String, id: Schema.String, eventIds: Schema.Array(Schema.String) }),
    Result: User,
    execute: ({ eventIds, id, tenant }) =>
      sql`SELECT sub, username, email FROM sessions JOIN users ON users.sub = sessions.user_sub
        WHERE sessions.id = ${id} AND sessions.tenant = ${tenant} AND revoked_at IS NULL
          AND disabled = 0 AND NOT EXISTS (SELECT 1 FROM denied_tokens WHERE ${sql.in("event_id", eventIds)})`
  }))

  // Between the check of a password and this its user may be deleted.
  const keepUser = sql.onDialectOrElse({
    pg: () => sql.literal("FOR KEY SHARE"),
    orElse: () => sql.literal("")
  })

  const insertSession = query(SqlSchema.findAll({
    Request: Schema.Struct({
      id: Schema.String,
      tenant: Schema.String,
      user_sub: Schema.String,
      client_id: Schema.String,
      refresh_token_hash: Schema.String,
      auth_time: Schema.Int,
      expires_at: Schema.Int
    }),
    Result: Schema.Struct({ id: Schema.String }),
    execute: (row) =>
      sql`INSERT INTO sessions (id, tenant, user_sub, client_id, refresh_token_hash, auth_time, expires_at)
        SELECT ${row.id}, ${row.tenant}, sub, ${row.client_id}, ${row.refresh_token_hash}, ${row.auth_time},
          ${row.expires_at}
        FROM users WHERE sub = ${row.user_sub} ${keepUser}
        RETURNING id`
  }))

  const apiKey = query(SqlSchema.findOneOption({
    Request: Schema.String,
    Result: ApiKey,
    execute: (hash) => sql`SELECT tenant FROM api_keys WHERE hash = ${hash}`
  }))

  const count = query(SqlSchema.findOne({
    Request: Schema.Void,
    Result: Count,
    execute: () =>
      sql`SELECT (SELECT count(*) FROM users) AS users, (SELECT count(*) FROM api_keys) AS ${sql("apiKeys")}`
  }))(undefined)

  /** Whether that changes anything. */
  const upsertApiKey = (row: { readonly hash: string; readonly tenant: string; readonly created_at: number }) =>
    sql`INSERT INTO api_keys ${sql.insert(row)}
      ON CONFLICT (hash) DO UPDATE SET tenant = excluded.tenant WHERE api_keys.tenant <> excluded.tenant
      RETURNING hash`.pipe(Effect.map((changed) => changed.length === 1), Effect.orDie)

  const upsertUser = query(SqlSchema.findOneOption({
    Request: UserRow,
    Result: Schema.Struct({ sub: Schema.String }),
    execute: (row) =>
      sql`INSERT INTO users ${sql.insert(row)}
        ON CONFLICT (tenant, username) DO UPDATE SET email = excluded.email, password_hash = excluded.password_hash
        WHERE users.email IS DISTINCT FROM excluded.email OR users.password_hash <> excluded.password_hash
        RETURNING sub`
  }))

  const insertFirst = Effect.fnUntraced(
    function*(apiKey: Parameters<typeof upsertApiKey>[0], user: typeof UserRow.Type) {
      // Transactions of SQLite keep each other out by themselves.
      yield* sql.onDialectOrElse({
        pg: () => sql`LOCK TABLE api_keys, users IN SHARE ROW EXCLUSIVE MODE`,
        orElse: () => Effect.void
      })
      const { apiKeys, users } = yield* count
      if (apiKeys > 0 && users > 0) return Option.none<string>()
      const isTaken = Option.isSome(yield* userByName(user))
      const username = isTaken ? `${user.username}-${user.sub}` : user.username
      yield* upsertApiKey(apiKey)
      yield* Effect.orDie(sql`INSERT INTO users ${sql.insert({ ...user, username })}`)
      return Option.some(username)
    },
    sql.withTransaction,
    Effect.orDie
  )

  return {
    insertInstallation: (row: {
      readonly client_id: string
      readonly user_pool_id: string
      readonly created_at: number
    }) => Effect.orDie(sql`INSERT INTO installation ${sql.insert({ id: 1, ...row })} ON CONFLICT DO NOTHING`),
    installation: installation(undefined),
    userByName,
    candidate: (name: typeof UserName.Type) =>
      Effect.map(
        candidate(name),
        ({ disabled, email, passwordHash, sub, username }) =>
          sub === null || username === null || passwordHash === null || disabled === null
            ? Option.none()
            : Option.some({ sub, username, email, passwordHash, disabled })
      ),
    replacePassword: ({ from, sub, to }: { readonly sub: string; readonly from: string; readonly to: string }) =>
      Effect.orDie(sql`UPDATE users SET password_hash = ${to} WHERE sub = ${sub} AND password_hash = ${from}`),
    setDisabled: (request: typeof UserName.Type & { readonly disabled: number }) =>
      Effect.map(setDisabled(request), (found) => found.length === 1),
    userBySub,
    /** The id of the user, which is the given one when they are new. Nothing when nothing changes. */
    upsertUser: (row: typeof UserRow.Type) => Effect.map(upsertUser(row), Option.map(({ sub }) => sub)),
    /** Whether its user is there. */
    insertSession: (row: Parameters<typeof insertSession>[0]) =>
      Effect.map(insertSession(row), (inserted) => inserted.length === 1),
    // Looked up for every refresh, and all that most forged ones cost. It decides nothing.
    isRefreshToken: (hash: string) =>
      Effect.map(
        Effect.orDie(sql`SELECT 1 FROM sessions WHERE refresh_token_hash = ${hash}
          UNION ALL SELECT 1 FROM retired_tokens WHERE hash = ${hash}`),
        (found) => found.length > 0
      ),
    /** So many of those whose refresh token has ended before the instant. */
    deleteEndedSessions: ({ before, limit }: { readonly before: number; readonly limit: number }) =>
      Effect.orDie(sql`DELETE FROM sessions WHERE id IN (
        SELECT id FROM sessions WHERE expires_at < ${before} ORDER BY expires_at LIMIT ${limit} ${skipLocked(sql)}
      )`),
    touchSession,
    sessionByRefreshToken,
    sessionToRotate,
    retireToken: (row: { readonly hash: string; readonly session_id: string }) =>
      Effect.orDie(sql`INSERT INTO retired_tokens ${sql.insert(row)} ON CONFLICT DO NOTHING`),
    rotateSession,
    repeatRotation,
    sessionOfRetiredToken,
    revokeReused: (request: Parameters<typeof revokeReused>[0]) =>
      Effect.map(revokeReused(request), (ended) => ended.length === 1),
    denyPair: (request: Parameters<typeof deny>[0]) => Effect.map(deny(request), (denied) => denied.length === 1),
    forgetDenied: (now: number) =>
      Effect.orDie(sql`DELETE FROM denied_tokens
        WHERE event_id IN (SELECT event_id FROM denied_tokens WHERE expires_at <= ${now} ${skipLocked(sql)})`),
    revokeSession: (request: { readonly tenant: string; readonly id: string; readonly now: number }) =>
      Effect.map(revoke(request), (ended) => ended.length === 1),
    userOfLiveSession,
    tenantOf: (hash: string) => Effect.map(apiKey(hash), Option.map(({ tenant }) => tenant)),
    upsertApiKey,
    insertFirst,
    count
  }
}

export type Rows = ReturnType<typeof make>

const query = <Request, A>(
  run: (request: Request) => Effect.Effect<A, SqlError | Schema.SchemaError | Cause.NoSuchElementError>
) =>
(request: Request): Effect.Effect<A> => Effect.orDie(run(request))
