/**
 * A `SqlClient` over `node:sqlite`: one connection, no native addon.
 *
 * Statements run one at a time on the calling thread, and are prepared once. A file is opened in WAL mode, so other
 * processes can read it, and is its owner's alone, since it will hold private keys: a looser one is tightened.
 *
 * **Details**
 *
 * What another process's lock holds up is tried again for about five seconds, and other fibers run meanwhile. An error
 * says what SQLite or the system said.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import * as Reactivity from "effect/reactivity/Reactivity"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import * as SqlClient from "effect/sql/SqlClient"
import type * as SqlConnection from "effect/sql/SqlConnection"
import * as SqlError from "effect/sql/SqlError"
import * as Statement from "effect/sql/Statement"
import * as Stream from "effect/Stream"
import { chmodSync, closeSync, openSync, statSync } from "node:fs"
import { resolve } from "node:path"
import { DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite"
import { getSystemErrorMessage } from "node:util"

/**
 * @category options
 * @since 0.1.0
 */
export interface Options {
  /** The path of the file, made when it isn't there; never a URI. `:memory:` keeps everything in this process. */
  readonly filename: string
}

/**
 * Opens the database, and closes it with the scope.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(
  function*(
    options: Options
  ): Effect.fn.Return<SqlClient.SqlClient, SqlError.SqlError, Scope.Scope | Reactivity.Reactivity> {
    const filename = options.filename === memory ? memory : resolve(options.filename)
    const database = yield* retryBusy(
      Effect.acquireRelease(open(filename), (database) => Effect.sync(() => database.close()))
    )
    if (filename !== memory) yield* tighten(filename)
    const statements = new Map<string, StatementSync>()

    const prepare = (sql: string): StatementSync => {
      const prepared = statements.get(sql)
      if (prepared !== undefined) return prepared
      const statement = database.prepare(sql)
      // A program has a fixed set of statements; the bound is for one that builds them from data.
      if (statements.size < maxStatements) statements.set(sql, statement)
      return statement
    }

    const run = (sql: string, params: ReadonlyArray<unknown>) =>
      Effect.withFiber<ReadonlyArray<Row>, SqlError.SqlError>((fiber) =>
        Effect.try({
          try: () => {
            const statement = prepare(sql)
            statement.setReadBigInts(fiber.getRef(SqlClient.SafeIntegers))
            statement.setReturnArrays(false)
            return statement.all(...params.map(toInput))
          },
          catch: (cause) => toSqlError(cause, "execute")
        })
      )

    const runValues = (sql: string, params: ReadonlyArray<unknown>) =>
      Effect.withFiber<ReadonlyArray<ReadonlyArray<unknown>>, SqlError.SqlError>((fiber) =>
        Effect.try({
          try: () => {
            const statement = prepare(sql)
            statement.setReadBigInts(fiber.getRef(SqlClient.SafeIntegers))
            statement.setReturnArrays(true)
            const rows: ReadonlyArray<unknown> = statement.all(...params.map(toInput))
            return rows.filter((row) => Array.isArray(row))
          },
          catch: (cause) => toSqlError(cause, "execute")
        })
      )

    const rows: SqlConnection.Connection["execute"] = (sql, params, transformRows) =>
      transformRows === undefined ? run(sql, params) : Effect.map(run(sql, params), transformRows)

    const connection: SqlConnection.Connection = {
      execute: rows,
      executeUnprepared: rows,
      executeRaw: run,
      executeValues: runValues,
      executeValuesUnprepared: runValues,
      executeStream: (sql, params, transformRows) =>
        Stream.unwrap(Effect.map(rows(sql, params, transformRows), Stream.fromIterable))
    }

    const acquirers = SqlClient.makeSqliteAcquirers({
      connection: Effect.succeed(connection),
      semaphore: yield* Semaphore.make(1),
      isTransaction: () => database.isTransaction
    })
    const client = yield* SqlClient.make({
      ...acquirers,
      // Around the borrowing: whoever waits for a lock gives the connection back meanwhile.
      borrower: (use) => retryBusy(acquirers.borrower(use)),
      compiler: Statement.makeCompilerSqlite(),
      driver: "node-sqlite",
      // A transaction takes the write lock when it begins: taking it later can fail at once, whatever the timeout.
      beginTransaction: "BEGIN IMMEDIATE",
      spanAttributes: [["db.system.name", "sqlite"]]
    })
    const { withTransaction } = client
    return Object.assign(client, {
      withTransaction: <R, E, A>(self: Effect.Effect<A, E, R>) =>
        Effect.suspend(() => {
          let hasBegun = false
          const attempt = withTransaction(Effect.suspend(() => {
            hasBegun = true
            return self
          }))
          // What has begun may have done more than change the database, so it isn't repeated.
          return retryBusy(attempt, () => !hasBegun)
        })
    })
  }
)

const memory = ":memory:"

/** Tries again what another process's lock holds up, for about five seconds, whatever clock the fiber has. */
const retryBusy = <A, E, R>(self: Effect.Effect<A, E, R>, isSafe = () => true): Effect.Effect<A, E, R> =>
  Effect.retry(self, {
    while: (error) =>
      SqlError.isSqlError(error) && error.reason._tag === "LockTimeoutError" && isSafe()
        ? pause
        : Effect.succeed(false),
    times: 70
  })

const pause = Effect.sleep("50 millis").pipe(
  Effect.provideService(Clock.Clock, Clock.Clock.defaultValue()),
  Effect.as(true)
)

type Row = ReturnType<StatementSync["all"]>[number]

const maxStatements = 256

const open = (filename: string): Effect.Effect<DatabaseSync, SqlError.SqlError> =>
  Effect.try({
    try: () => {
      // SQLite gives the journal the permissions of the database.
      if (filename !== memory) closeSync(openSync(filename, "a", 0o600))
      // Waiting for a lock here keeps every fiber waiting: `retryBusy` does the rest.
      const database = new DatabaseSync(filename, { timeout: 20, enableForeignKeyConstraints: true })
      try {
        database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL")
      } catch (cause) {
        database.close()
        throw cause
      }
      return database
    },
    catch: (cause) => toSqlError(cause, "connect")
  })

/** Takes what others may do with the file, and with a journal that was left beside it. */
const tighten = (filename: string): Effect.Effect<void> =>
  Effect.try(() => {
    for (const path of [filename, `${filename}-wal`, `${filename}-shm`]) {
      const stats = statSync(path, { throwIfNoEntry: false })
      if (stats?.isFile() === true && (stats.mode & 0o077) !== 0) chmodSync(path, 0o600)
    }
  }).pipe(
    Effect.catch(() => Effect.logWarning(`Others can read the database ${filename}, which holds private keys`))
  )

const toInput = (value: unknown): SQLInputValue => {
  if (
    value === null || typeof value === "string" || typeof value === "number" || typeof value === "bigint" ||
    value instanceof Uint8Array
  ) {
    return value
  }
  if (value === undefined) return null
  if (typeof value === "boolean") return value ? 1 : 0
  if (value instanceof Date) return value.toISOString()
  throw new TypeError(`SQLite can't store a value of type ${typeof value}`)
}

const toSqlError = (cause: unknown, operation: string): SqlError.SqlError => {
  // `node:sqlite` has `errcode`; the classifier reads `errno`.
  const classified = Predicate.hasProperty(cause, "errcode") ? Object.assign(cause, { errno: cause.errcode }) : cause
  const sentence = operation === "connect" ? "The database can't be opened" : "The database refused a statement"
  const text = textOf(cause)
  const message = text === undefined ? sentence : `${sentence}: ${text}`
  return new SqlError.SqlError({ reason: SqlError.classifySqliteError(classified, { message, operation }) })
}

/** SQLite's own words, which hold no value of a row, or the system's without the path. */
const textOf = (cause: unknown): string | undefined => {
  if (!(cause instanceof Error)) return undefined
  if (Predicate.hasProperty(cause, "errcode")) return cause.message
  if (!Predicate.hasProperty(cause, "syscall") || !Predicate.hasProperty(cause, "errno")) return undefined
  return Predicate.isNumber(cause.errno) ? getSystemErrorMessage(cause.errno) : undefined
}

/**
 * The database of one file.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options): Layer.Layer<SqlClient.SqlClient, SqlError.SqlError> =>
  Layer.effect(SqlClient.SqlClient, make(options)).pipe(Layer.provide(Reactivity.layer))
